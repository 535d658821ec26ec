"""``python -m benchmarks.searches``: real searches of a study, side by side on the same seeds.

Ours as the study file has it, Optuna's default sampler and pruner, and random search, each with the
hand-set first trial and the same budget; random search then goes on to several times as much. The
winner of each is confirmed from two new seeds on 4,000 fresh tasks. Every step is a command of the
program, and the same line goes on where it was stopped.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

from benchmarks.networks import STUDIES
from benchmarks.replay import difference
from benchmarks.stopwatch import Row, table
from data.files import write_whole

OURS, DEFAULT, RANDOM, LONGER = "ours", "Optuna's default", "random", "random, longer"
ARMS: Mapping[str, Sequence[str]] = {
    DEFAULT: ("--sampler", "tpe", "--pruner", "median", "--set", "search.startup_trials=10"),
    RANDOM: ("--sampler", "random", "--pruner", "none"),
}
SEEDS = 2  # of each confirmation


class Searches:
    """The searches of one study, in a folder that holds a database for each."""

    def __init__(
        self, study: str, folder: Path, budget: str, longer: int, device: str, ours: Sequence[str]
    ) -> None:
        self._study, self._folder, self._budget, self._device = study, folder, budget, device
        self._longer = longer
        self._arms = {OURS: ours, **ARMS}
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "found.json"
        self.found: dict[str, float] = {}
        if self._file.exists():
            self.found = json.loads(self._file.read_text())

    def run(self, arm: str, seed: int) -> None:
        """One search, and the confirmation of its winner; random search twice."""
        name = f"{arm.split()[0].lower()}-{seed}".replace("'", "")
        storage = f"sqlite:///{(self._folder / name).absolute()}.db"
        place = ["--storage", storage, "--device", self._device, "--threads", "1"]
        file = str(STUDIES / f"{self._study}.toml")
        goes_on = arm == RANDOM and self._longer > 1
        for label, times in ((arm, 1), (LONGER, self._longer))[: 2 if goes_on else 1]:
            if f"{label}/{seed}" in self.found:
                continue
            run = [
                "run",
                file,
                "--seed",
                str(seed),
                *self._arms[arm],
                "--budget",
                self._times(times),
            ]
            self._hpo([*run, *place, "--results", str(self._folder / name)])
            confirm = ["confirm", file, "--top", "1", "--seeds", str(SEEDS), "--json"]
            ranked = json.loads(self._hpo([*confirm, *place]))["confirmed"]
            winner = min(ranked, key=lambda one: one["search_error"])
            self.found[f"{label}/{seed}"] = winner["mean"]
            write_whole(self._file, json.dumps(self.found, indent=1).encode())

    def _times(self, times: int) -> str:
        amount = self._budget.rstrip("hms")
        return f"{float(amount) * times:g}{self._budget[len(amount) :]}"

    def _hpo(self, arguments: Sequence[str]) -> str:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "hpo", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return done.stdout


def main() -> None:
    """Run what is left of the searches, then print what each found and how they compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searches", description=__doc__)
    parser.add_argument("study", help="small or modern")
    parser.add_argument("folder", type=Path, help="for the databases; resumed from")
    parser.add_argument("--budget", default="8m", help="of each search, as `hpo run` takes it")
    parser.add_argument(
        "--longer",
        type=int,
        default=3,
        help="budgets that random search goes on to; 1: it does not",
    )
    parser.add_argument("--first-seed", type=int, default=1, help="seeds that chose nothing")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--ours", default="", help="options of `hpo run` for ours, where it is to be another"
    )
    chosen = parser.parse_args()
    ours = shlex.split(chosen.ours)
    searches = Searches(
        chosen.study, chosen.folder, chosen.budget, chosen.longer, chosen.device, ours
    )
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    arms = [OURS, *ARMS]
    labels = [*arms, LONGER] if chosen.longer > 1 else arms
    with ThreadPoolExecutor(chosen.at_once) as pool:
        for task in [pool.submit(searches.run, arm, seed) for seed in seeds for arm in arms]:
            task.result()
    found = searches.found
    rows: list[Row] = [
        {"seed": seed, **{a: 100 * found[f"{a}/{seed}"] for a in labels}} for seed in seeds
    ]
    print(table(rows))
    compared: list[Row] = [
        {
            "of": one,
            "against": other,
            "points ahead (95 % interval)": difference(
                [found[f"{other}/{seed}"] - found[f"{one}/{seed}"] for seed in seeds]
            ),
        }
        for one, other in combinations(labels, 2)
    ]
    print(table(compared))


if __name__ == "__main__":
    main()
