"""``python -m benchmarks.ablation``: what each choice of the study `modern` is worth.

The network that the study sets by hand for its first trial is trained by the recipe of its full
training, and again with one choice made otherwise. All are scored on 4,000 fresh tasks of the
validation alphabets.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import torch

from benchmarks.networks import STUDIES, first
from benchmarks.replay import difference
from benchmarks.stopwatch import Row, machine, table
from data.files import write_whole
from hpo.results.full_training import inputs_of
from hpo.results.retrain import fresh_tasks
from hpo.study.paths import data_folder
from hpo.study.settings import read_settings
from model.configuration import Configuration
from model.fast.device import find_device
from model.history import Diverged
from model.training import train

TASKS = 4000


@dataclass(frozen=True)
class Change:
    """One choice made otherwise."""

    settings: tuple[str, ...] = ()
    """As ``hpo run --set`` takes them."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Of every layer."""
    halved: bool = False
    """The filters of every convolution and the units."""


PAPERS_RATES = {"lr": 0.1, "momentum": 0.9, "l2": 1e-5}  # the first trial of `small` has them
WHOLE = "as it stands"
CHANGES: Mapping[str, Change] = {
    WHOLE: Change(),
    "the paper's 12 drawers": Change(("data.all_drawers=false",)),
    "drawings not framed": Change(("network.framed=false",)),
    "one view": Change(("network.eight_views=false",)),
    "40×40 pixels": Change(("network.image_size=40",)),
    "56×56 pixels": Change(("network.image_size=56",)),
    "half the filters and units": Change(halved=True),
    "the last weights, not an average": Change(("training.averaging=0",)),
    "alphabets not distorted as a whole": Change(("training.sampling.alphabet_distortion=0",)),
    "alphabets not turned, one view": Change(
        ("training.sampling.turned=false", "network.eight_views=false")
    ),
    "every drawing distorted by itself too": Change(
        ("training.sampling.distorted=true", "training.sampling.distortion_width=1.5")
    ),
    "every drawing distorted by the paper's width": Change(("training.sampling.distorted=true",)),
    "no normalisation": Change(("network.normalisation=none",)),
    "the paper's initial weights": Change(("network.initial_weights=paper",)),
    "SGD with momentum": Change(("training.optimizer=sgd",), PAPERS_RATES),
    "rates that fall by 1 % an epoch": Change(("training.schedule=decay",)),
    "20 characters of an alphabet, not 50": Change(("full_training.sampling.per_alphabet=20",)),
    "50 characters a batch, not 100": Change(("training.sampling.characters=50",)),
    "binary loss over all pairs": Change(("training.sampling.loss=binary",)),
    "random pairs": Change(
        (
            'training.sampling={ kind = "random-pairs", pairs = 30000, batch = 128, steps = 200 }',
            'full_training.sampling={ kind = "random-pairs" }',
        )
    ),
}


def changed(change: Change, seed: int) -> Configuration:
    """The study's first network with its full training, one choice made otherwise."""
    settings = read_settings(STUDIES / "modern.toml", change.settings)
    configuration = first(settings)
    network, training = configuration.network, settings.trained_in_full()
    rates = {
        layer: one.model_copy(update=dict(change.rates))
        for layer, one in configuration.rates.items()
    }
    if change.halved:
        convolutions = tuple(
            one.model_copy(update={"filters": one.filters // 2}) for one in network.convolutions
        )
        halves = {"convolutions": convolutions, "fc_units": network.fc_units // 2}
        network = network.model_copy(update=halves)
    found = {"network": network, "training": training, "rates": rates, "seed": seed}
    return configuration.model_copy(update=found)


def score(name: str, seed: int, epochs: int | None, device: torch.device, folder: Path) -> Row:
    """Train with one change, and score."""
    if device.type == "cpu":
        torch.set_num_threads(1)
    configuration = changed(CHANGES[name], seed)
    if epochs:
        configuration = configuration.with_training(epochs=epochs, patience=epochs)
    inputs = inputs_of(configuration, folder, device)
    trainer = inputs.trainer(configuration)
    row: Row = {"change": name, "seed": seed}
    try:
        train(trainer)
    except Diverged as error:
        return row | {"error": None, "note": str(error)}
    history = trainer.history
    trainer.tasks = fresh_tasks(configuration.data, inputs, TASKS)
    return row | {
        "error": trainer.validate(),
        "search_like_error": history.best_error,
        "seconds": round(history.seconds, 1),
    }


def shown(rows: list[Row]) -> list[Row]:
    """A line for every change: the mean over the seeds, and its distance from the whole."""
    by_change: dict[str, dict[int, float]] = {name: {} for name in CHANGES}
    for row in rows:
        by_change[row["change"]][row["seed"]] = 1.0 if row["error"] is None else row["error"]
    whole = by_change[WHOLE]
    lines: list[Row] = []
    for name, errors in by_change.items():
        costs = [error - whole[seed] for seed, error in errors.items() if seed in whole]
        if costs:
            lines.append(
                {
                    "change": name,
                    "correct, %": 100 * (1 - mean(errors.values())),
                    "seeds": len(errors),
                    "costs, points (95 % interval)": "" if name == WHOLE else difference(costs),
                }
            )
    return lines


def main() -> None:
    """Measure what the output file does not hold yet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each")
    parser.add_argument("--epochs", type=int, help="instead of the study's")
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=CHANGES, metavar="CHANGE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, help="folder with the Omniglot zips")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON; resumed from")
    chosen = parser.parse_args()
    device = find_device(chosen.device)
    about = {"epochs": chosen.epochs, "tasks": TASKS, "machine": machine(device)}
    found = json.loads(chosen.output.read_text()) if chosen.output.exists() else {"rows": []}
    rows: list[Row] = found["rows"]
    if found.get("epochs", chosen.epochs) != chosen.epochs:
        parser.error(f"{chosen.output} holds trainings of another length")
    if unknown := {row["change"] for row in rows} - CHANGES.keys():
        parser.error(f"{chosen.output} holds changes that are no more: {', '.join(unknown)}")
    done = {(row["change"], row["seed"]) for row in rows}
    wanted = [(n, s) for s in range(chosen.seeds) for n in chosen.only if (n, s) not in done]
    at_once = (os.cpu_count() or 1) if device.type == "cpu" else 1
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=spawn) as pool:
        folder = data_folder(chosen.data)
        tasks = [pool.submit(score, n, s, chosen.epochs, device, folder) for n, s in wanted]
        for task in as_completed(tasks):
            rows.append(task.result())
            _say(str(rows[-1]))
            write_whole(
                chosen.output, (json.dumps(about | {"rows": rows}, indent=1) + "\n").encode()
            )
    print(table(shown(rows)))


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
