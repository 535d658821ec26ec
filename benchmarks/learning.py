"""``python -m benchmarks.learning``: how soon the paper's recipe teaches the published network.

Random pairs, the binary loss, layer-wise SGD and the paper's initial weights at 105×105, with the
rates of `paper`'s first trial. An epoch is a small part of the set, so that the momentum has risen
after 200,000 pairs, and the learning rates are a tenth after seven million.
"""

import argparse
import json
import time
from pathlib import Path

from benchmarks.networks import first, settings
from benchmarks.stopwatch import Row, machine, table
from benchmarks.throughput import Setting, make_trainer
from data.sources.by_name import open_set
from hpo.study.paths import data_folder
from hpo.view.log import log_to_stderr, silence_optuna
from model.configuration import Configuration
from model.fast.device import find_device
from model.fast.heap import keep_freed
from model.history import Interrupted
from model.recipe import RandomPairs
from model.training import train

STEPS = 160  # between two looks: 20,480 pairs
TASKS, TASK_SEED = 4000, 7  # of the validation alphabets; the 320 of a search have seed 0


def main() -> None:
    """Train for the given time; a row for every look at the validation tasks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, help="folder with the Omniglot zips")
    parser.add_argument("-o", "--output", type=Path, help="write JSON")
    chosen = parser.parse_args()
    keep_freed()
    log_to_stderr()
    silence_optuna()
    device = find_device(chosen.device)
    drawings = open_set("omniglot", 0, data_folder(chosen.data))
    trainer = make_trainer(Setting(drawings, device, 0, 1, print), _recipe(), TASKS, TASK_SEED)
    end, rows = time.monotonic() + chosen.seconds, list[Row]()

    def on_epoch(number: int, error: float) -> None:
        epochs = trainer.history.epochs
        row: Row = {
            "pairs": sum(e.pairs for e in epochs),
            "mean loss": epochs[-1].loss,
            "error, %": 100 * error,
            "pairs/s": epochs[-1].pairs / epochs[-1].train_seconds,
        }
        rows.append(row)
        print(" · ".join(f"{key} {value:,.4g}" for key, value in row.items()), flush=True)
        if time.monotonic() > end:
            raise Interrupted

    try:
        train(trainer, on_epoch)
    except Interrupted:
        print(f"\n{table(rows)}")
    if chosen.output:
        found = {"machine": machine(device), "rows": rows}
        chosen.output.write_text(json.dumps(found, indent=2) + "\n")


def _recipe() -> Configuration:
    sampling = RandomPairs(pairs=150_000, copies=8, steps=STEPS)
    return first(settings("paper")).with_training(
        sampling=sampling, epochs=100_000, patience=10**9, momentum_ramp=10, lr_decay=0.993
    )


if __name__ == "__main__":
    main()
