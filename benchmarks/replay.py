"""``python -m benchmarks.replay``: whole searches of `small`'s space on stand-ins, in minutes.

Every sampler with every pruner, from many seeds, each with the same compute to spend. Each begins
with the study's hand-set first trial, as `hpo run` does. What counts of a search is the expected
error of the network that it would hand over, not the error that it saw, which luck has flattered.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from itertools import product
from pathlib import Path
from typing import TypedDict

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.pruners import SuccessiveHalvingPruner as HalvingPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import TrialState
from scipy.stats import t as student

from benchmarks.networks import STUDIES
from benchmarks.stopwatch import Row, table
from benchmarks.surrogate import Surrogate, read_record
from data.files import write_whole
from hpo.search.gaussian_process import GaussianProcess
from hpo.search.sampler import BuildableSampler, UnivariateTPE
from hpo.study.settings import StudySettings, read_settings
from hpo.study.space import SearchSpace

BASE = ("random", "none")
TRIALS = 200
"""Full trainings, of a network of mean cost, that random search may spend; others have a share."""
WORLDS = 4
"""Stand-ins that the searches are spread over, by their seeds."""
RECORDED = ("space.filters.high=64", "space.fc_units.high=512", "space.momentum.high=0.95")
"""The ranges that the record was made in, where the study's are wider now."""
MOMENTS = (1 / 6, 1 / 3, 2 / 3, 1)
"""Shares of a budget at which searches are compared."""


@cache
def settings() -> StudySettings:
    """Those of `small`, in the ranges of the record."""
    return read_settings(STUDIES / "small.toml", RECORDED)


@cache
def space() -> SearchSpace:
    """Of `small`, likewise."""
    return SearchSpace(settings())


SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "random": RandomSampler,
    "quasi-random": lambda seed: QMCSampler(seed=seed, scramble=True),
    "TPE": lambda seed: TPESampler(seed=seed, multivariate=True),
    "TPE, univariate": lambda seed: UnivariateTPE(6, seed),
    "GP, Optuna's": lambda seed: GPSampler(seed=seed),
    "GP": lambda seed: GaussianProcess(space(), 3, seed),
    "CMA-ES": lambda seed: CmaEsSampler(seed=seed),
}
PRUNERS: Mapping[str, Callable[[int], BasePruner]] = {
    "none": lambda epochs: NopPruner(),
    "median": lambda epochs: MedianPruner(),
    "halving": lambda epochs: HalvingPruner(min_resource=2, reduction_factor=2),
    "Hyperband": lambda epochs: HyperbandPruner(1, epochs, 3),
}


class Replayed(TypedDict):
    """A search on a stand-in.

    Attributes:
        best: each time the trial of the lowest error changes: the compute spent, in full trainings
            of mean cost; the error that the search saw; the expected error.
        trials: how many were finished.
    """

    best: list[tuple[float, float, float]]
    trials: int


@cache
def surrogate(record: Path, world: int) -> Surrogate:
    """Fitted once a process."""
    return Surrogate(read_record(record), space(), world)


def search(record: Path, sampler: str, pruner: str, seed: int, budget: float) -> Replayed:
    """One search on the stand-in of its seed, until it has spent its budget, in full trainings."""
    study, best = searched(record, sampler, pruner, seed, budget)
    return {"best": best, "trials": len(study.trials)}


def searched(
    record: Path, sampler: str, pruner: str, seed: int, budget: float
) -> tuple[optuna.Study, list[tuple[float, float, float]]]:
    """The same as a study, and as `Replayed.best`."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    stand_in = surrogate(record, seed % WORLDS)
    epochs = len(stand_in.epochs)
    study = optuna.create_study(pruner=PRUNERS[pruner](epochs))
    study.sampler = BuildableSampler(SAMPLERS[sampler], space(), seed, study)
    for first in space().checked_first():
        study.enqueue_trial(first)
    spent, lowest = 0.0, np.inf
    found = list[tuple[float, float, float]]()
    while spent < budget:
        trial = study.ask()
        params = space().suggest(trial)
        played = stand_in.play(params, np.random.default_rng([seed, trial.number]))
        for epoch, error in enumerate(played.errors):
            spent += played.cost / epochs
            trial.report(float(error), epoch)
            if trial.should_prune() and epoch < epochs - 1:
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            seen = float(played.errors.min())
            study.tell(trial, seen)
            if seen < lowest:
                lowest = seen
                found.append((spent, seen, float(stand_in.curve(params).min())))
    return study, found


def at(trace: Sequence[Sequence[float]], spent: float) -> float:
    """The expected error of what a search would hand over by then; chance before its first."""
    return next((true for when, _, true in reversed(trace) if when <= spent + 1e-9), 0.95)


def reaching(trace: Sequence[Sequence[float]], error: float) -> float:
    """When what a search would hand over is first as good as this; never is infinite."""
    return next((when for when, _, true in trace if true <= error), np.inf)


Searches = Mapping[tuple[str, str], Mapping[int, Replayed]]
"""By sampler and pruner, then by seed."""


def shown(searches: Searches, budget: float) -> list[Row]:
    """A line for each combination, those that are best at the end of their budget first."""
    base = searches[BASE].values()
    target = float(np.median([at(one["best"], TRIALS) for one in base]))
    rows: list[Row] = []
    for (sampler, pruner), by_seed in searches.items():
        end = np.array([at(one["best"], budget) for one in by_seed.values()])
        reached = np.median([reaching(one["best"], target) for one in by_seed.values()])
        low, high = _interval(end)
        rows.append(
            {
                "sampler": sampler,
                "pruner": pruner,
                "seeds": len(by_seed),
                f"error after {budget:.0f} trainings' compute, %": 100 * float(np.mean(end)),
                "95 % interval": f"{100 * low:.1f} to {100 * high:.1f}",
                f"compute to random's best of {TRIALS}": float(reached),
                "trials": float(np.median([one["trials"] for one in by_seed.values()])),
            }
        )
    return sorted(rows, key=lambda row: float(list(row.values())[3]))


def paired(searches: Searches, against: tuple[str, str], budget: float) -> list[Row]:
    """By how much each combination is ahead of one of them, on the same seeds and worlds."""
    rows: list[Row] = []
    other = searches[against]
    for (sampler, pruner), by_seed in searches.items():
        seeds = sorted(by_seed.keys() & other.keys())
        row: Row = {"sampler": sampler, "pruner": pruner, "pairs": len(seeds)}
        for share in MOMENTS:
            spent = share * budget
            row[f"points ahead at {spent:.0f}"] = difference(
                [at(other[s]["best"], spent) - at(by_seed[s]["best"], spent) for s in seeds]
            )
        rows.append(row)
    return rows


def difference(values: Sequence[float]) -> str:
    """The mean and its 95 % interval, in points."""
    points = 100 * np.array(values)
    if len(points) < 2:
        return f"{points.mean():+.1f}"
    half = student.ppf(0.975, len(points) - 1) * points.std(ddof=1) / np.sqrt(len(points))
    return f"{points.mean():+.1f} ({points.mean() - half:+.1f} to {points.mean() + half:+.1f})"


def plot(searches: Searches, chosen: Sequence[str], path: Path) -> None:
    """Draw the expected error against the compute spent, medians and quartiles over the seeds."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name in chosen:
        sampler, pruner = name.split("/")
        traces = [one["best"] for one in searches[sampler, pruner].values()]
        end = TRIALS if (sampler, pruner) == BASE else max(t[-1][0] for t in traces if t)
        spent = np.linspace(1, end, 400)
        errors = 100 * np.array([[at(trace, when) for when in spent] for trace in traces])
        low, middle, high = np.quantile(errors, [0.25, 0.5, 0.75], axis=0)
        axes.plot(spent, middle, label=f"{sampler}, {'no' if pruner == 'none' else pruner} pruner")
        axes.fill_between(spent, low, high, alpha=0.2)
    axes.set(xlabel="compute, in full trainings of mean cost", ylabel="error, %", xscale="log")
    axes.set_ylim(top=float(np.quantile(errors, 0.9)) + 5)
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 %, of the mean, by the bootstrap."""
    chance = np.random.default_rng(0)
    means = np.mean(chance.choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Run the searches that the output file does not hold, then print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("record", type=Path, help="CSV of benchmarks.record")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON; resumed from")
    parser.add_argument("--first-seed", type=int, default=0, help="new ones judge a choice")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--share", type=float, default=1 / 3, help="of random's compute")
    parser.add_argument("--samplers", nargs="*", default=list(SAMPLERS))
    parser.add_argument("--pruners", nargs="*", default=list(PRUNERS))
    parser.add_argument("--against", default="TPE/median", help="of the paired differences")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--plot", nargs="+", metavar="X", help="FILE, then SAMPLER/PRUNER to draw")
    chosen = parser.parse_args()
    found: dict[str, Replayed] = {}
    if chosen.output.exists():
        found = json.loads(chosen.output.read_text())["searches"]
    wanted = {BASE, *product(chosen.samplers, chosen.pruners)}
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    budget, jobs = chosen.share * TRIALS, []
    for seed, (sampler, pruner) in product(seeds, sorted(wanted)):
        if f"{sampler}/{pruner}/{seed}" not in found:
            to_spend = TRIALS if (sampler, pruner) == BASE else budget
            jobs.append((sampler, pruner, seed, to_spend))
    one = surrogate(chosen.record, 0)
    corner = one.corner(np.random.default_rng(0))
    print(f"stand-in: {one.fit}, {corner:.0%} of the parameters at an edge at its optimum")
    with ProcessPoolExecutor(chosen.processes) as pool:
        running = {pool.submit(search, chosen.record, *job): job for job in jobs}
        for done, task in enumerate(as_completed(running), start=1):
            sampler, pruner, seed, _ = running[task]
            found[f"{sampler}/{pruner}/{seed}"] = task.result()
            if done % 10 == 0 or done == len(jobs):
                print(f"{done} of {len(jobs)} searches", file=sys.stderr, flush=True)
                text = json.dumps({"fit": vars(one.fit), "searches": found})
                write_whole(chosen.output, text.encode())
    searches: dict[tuple[str, str], dict[int, Replayed]] = {}
    for name, replayed in found.items():
        sampler, pruner, seed = name.split("/")
        if (sampler, pruner) in wanted and int(seed) in seeds:
            searches.setdefault((sampler, pruner), {})[int(seed)] = replayed
    print(table(shown(searches, budget)))
    sampler, pruner = chosen.against.split("/")
    if (sampler, pruner) in searches:
        print(table(paired(searches, (sampler, pruner), budget)))
    if chosen.plot:
        plot(searches, chosen.plot[1:], Path(chosen.plot[0]))


if __name__ == "__main__":
    main()
