"""``python -m benchmarks.how_soon``: from an empty folder to a network, and how good it is.

`hpo train` is run as a person runs it, each time from another seed in an empty folder, with nothing
kept from before: its seconds are those of the whole process, the packing of the data included. The
network is then scored on 4,000 fresh tasks of the validation alphabets. How soon a score is reached
follows from trainings of several lengths, as the learning rate of each falls to its own end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.stopwatch import Row, machine, table
from data.files import write_whole
from data.tasks import OneShotTasks
from hpo.results.evaluate import class_scores, evaluate_scores
from hpo.results.full_training import inputs_of
from hpo.results.retrain import fresh_tasks
from hpo.study.paths import data_folder
from model.checkpoint import load_checkpoint
from model.configuration import Configuration
from model.fast.device import find_device

CONFIGURATION = Path(__file__).with_name("how_soon.toml")
TASKS = 4000


def trained_and_scored(
    configuration: Configuration, seed: int, data: Path, tasks: OneShotTasks, device: torch.device
) -> Row:
    """Train once in an empty folder, and score."""
    with TemporaryDirectory() as empty:
        source, target = Path(empty) / "network.toml", Path(empty) / "network.safetensors"
        source.write_text(configuration.to_toml())
        line = [sys.executable, "-m", "hpo", "train", str(source), "-o", str(target)]
        line += ["--seed", str(seed), "--data", str(data), "--device", str(device)]
        begun = time.perf_counter()
        subprocess.run(line, env={**os.environ, "HPO_CACHE": empty}, check=True)  # noqa: S603
        seconds = time.perf_counter() - begun
        checkpoint = load_checkpoint(target, device)
    score = evaluate_scores("siamese", class_scores(checkpoint, tasks, device), tasks)
    low, high = score.interval
    return {
        "epochs": configuration.training.epochs,
        "seed": seed,
        "seconds": round(seconds, 1),
        "correct, %": round(100 * score.accuracy, 3),
        "95 % interval": f"{100 * low:.1f} to {100 * high:.1f}",
    }


def main() -> None:
    """Train for each number of epochs from several seeds, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.how_soon", description=__doc__)
    parser.add_argument("configuration", nargs="?", type=Path, default=CONFIGURATION)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 2], help="lengths")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each length")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, help="folder with the Omniglot zips")
    parser.add_argument("-o", "--output", type=Path, help="JSON")
    chosen = parser.parse_args()
    folder, device = data_folder(chosen.data).resolve(), find_device(chosen.device)
    configuration = Configuration.read(chosen.configuration)
    inputs = inputs_of(configuration, folder, device)
    tasks = fresh_tasks(configuration.data, inputs, TASKS)
    rows = []
    for epochs in chosen.epochs:
        this_long = configuration.with_training(epochs=epochs, patience=epochs)
        rows += [
            trained_and_scored(this_long, seed, folder, tasks, device)
            for seed in range(1, 1 + chosen.seeds)
        ]
    print(table(rows))
    if chosen.output:
        found = {"machine": machine(device), "rows": rows}
        write_whole(chosen.output, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
