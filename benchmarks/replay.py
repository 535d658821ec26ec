"""``python -m benchmarks.replay``: whole searches of `small`'s space on a stand-in, in seconds.

Every sampler with every pruner, from many seeds, each with the same compute to spend. What
counts of a search is the expected error of the network that it would hand over, not the error that
it saw, which luck has flattered.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import optuna
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

from benchmarks.networks import settings
from benchmarks.stopwatch import Row, table
from benchmarks.surrogate import Surrogate, read_record
from data.files import write_whole
from hpo.search.sampler import BuildableSampler, UnivariateTPE
from hpo.study.space import SearchSpace

BASE = ("random", "none")
TRIALS = 200
"""Full trainings, of a network of mean cost, that random search may spend; others have a share."""


SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "random": RandomSampler,
    "quasi-random": lambda seed: QMCSampler(seed=seed, scramble=True),
    "TPE": lambda seed: TPESampler(seed=seed, multivariate=True),
    "TPE, constant liar": lambda seed: TPESampler(seed=seed, constant_liar=True),
    "TPE, univariate": lambda seed: UnivariateTPE(settings("small").search.startup_trials, seed),
    "GP": lambda seed: GPSampler(seed=seed),
    "CMA-ES": lambda seed: CmaEsSampler(seed=seed),
}
PRUNERS: Mapping[str, Callable[[int], BasePruner]] = {
    "none": lambda epochs: NopPruner(),
    "median": lambda epochs: MedianPruner(),
    "halving": lambda epochs: HalvingPruner(min_resource=2, reduction_factor=2),
    "Hyperband": lambda epochs: HyperbandPruner(1, epochs, 3),
}

Trace = list[tuple[float, float, float]]
"""Each time the best trial changes: compute spent, in full trainings of mean cost; the error that
the search saw; the expected error."""


@cache
def surrogate(record: Path) -> Surrogate:
    """Fitted once a process."""
    return Surrogate(read_record(record), SearchSpace(settings("small")))


def search(record: Path, sampler: str, pruner: str, seed: int, budget: float) -> Trace:
    """One search on the stand-in, until it has spent its budget, in full trainings."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    stand_in, space = surrogate(record), SearchSpace(settings("small"))
    epochs = len(stand_in.epochs)
    study = optuna.create_study(pruner=PRUNERS[pruner](epochs))
    study.sampler = BuildableSampler(SAMPLERS[sampler], space, seed, study)
    spent, best, trace = 0.0, np.inf, Trace()
    while spent < budget:
        trial = study.ask()
        params = space.suggest(trial)
        played = stand_in.play(params, np.random.default_rng([seed, trial.number]))
        for epoch, error in enumerate(played.errors):
            spent += played.cost / epochs
            trial.report(float(error), epoch)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            seen = float(played.errors.min())
            study.tell(trial, seen)
            if seen < best:
                best = seen
                trace.append((spent, seen, float(stand_in.curve(params).min())))
    return trace


def at(trace: Trace, spent: float) -> float:
    """The expected error of what a search would hand over by then; chance before its first."""
    return next((true for when, _, true in reversed(trace) if when <= spent), 0.95)


def reaching(trace: Trace, error: float) -> float:
    """When what a search would hand over is first as good as this; never is infinite."""
    return next((when for when, _, true in trace if true <= error), np.inf)


def shown(traces: Mapping[tuple[str, str], list[Trace]], share: float) -> list[Row]:
    """A line for each combination, those that are best at the end of their budget first."""
    target = float(np.median([at(t, TRIALS) for t in traces[BASE]]))
    rows: list[Row] = []
    for (sampler, pruner), searches in traces.items():
        end = np.array([at(t, share * TRIALS) for t in searches])
        reached = np.array([reaching(t, target) for t in searches])
        low, high = _interval(end)
        rows.append(
            {
                "sampler": sampler,
                "pruner": pruner,
                "seeds": len(searches),
                f"error after {share * TRIALS:.0f} trainings' compute, %": 100 * np.median(end),
                "95 % interval": f"{100 * low:.2f} to {100 * high:.2f}",
                f"compute to random's best of {TRIALS}": float(np.median(reached)),
                "share of random's": float(np.median(reached)) / TRIALS,
            }
        )
    return sorted(rows, key=lambda row: float(list(row.values())[3]))


def plot(traces: Mapping[tuple[str, str], list[Trace]], chosen: list[str], path: Path) -> None:
    """Draw the expected error against the compute spent, medians and quartiles over the seeds."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name in chosen:
        sampler, pruner = name.split("/")
        searches = traces[sampler, pruner]
        end = TRIALS if (sampler, pruner) == BASE else max(t[-1][0] for t in searches if t)
        spent = np.linspace(1, end, 400)
        errors = 100 * np.array([[at(trace, when) for when in spent] for trace in searches])
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
    """95 %, of the median, by the bootstrap."""
    chance = np.random.default_rng(0)
    medians = np.median(chance.choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Run the searches that the output file does not hold, then print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("record", type=Path, help="CSV of benchmarks.record")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON; resumed from")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--share", type=float, default=1 / 3, help="of random's compute")
    parser.add_argument("--samplers", nargs="*", default=list(SAMPLERS))
    parser.add_argument("--pruners", nargs="*", default=list(PRUNERS))
    parser.add_argument("--plot", nargs="+", metavar="X", help="FILE, then SAMPLER/PRUNER to draw")
    chosen = parser.parse_args()
    found: dict[str, Trace] = {}
    if chosen.output.exists():
        found = json.loads(chosen.output.read_text())["searches"]
    wanted = {BASE, *product(chosen.samplers, chosen.pruners)}
    jobs = []
    for (sampler, pruner), seed in product(sorted(wanted), range(chosen.seeds)):
        if f"{sampler}/{pruner}/{seed}" not in found:
            budget = TRIALS if (sampler, pruner) == BASE else chosen.share * TRIALS
            jobs.append((sampler, pruner, seed, budget))
    fit = surrogate(chosen.record).fit
    print(f"stand-in: {fit}")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(search, chosen.record, *job): job for job in jobs}
        for done, task in enumerate(as_completed(running), start=1):
            sampler, pruner, seed, _ = running[task]
            found[f"{sampler}/{pruner}/{seed}"] = task.result()
            if done % 20 == 0 or done == len(jobs):
                print(f"{done} of {len(jobs)} searches", file=sys.stderr, flush=True)
                text = json.dumps({"fit": vars(fit), "searches": found})
                write_whole(chosen.output, text.encode())
    traces: dict[tuple[str, str], list[Trace]] = {}
    for name, trace in found.items():
        sampler, pruner, _ = name.split("/")
        if (sampler, pruner) in wanted:
            traces.setdefault((sampler, pruner), []).append(trace)
    print(table(shown(traces, chosen.share)))
    if chosen.plot:
        plot(traces, chosen.plot[1:], Path(chosen.plot[0]))


if __name__ == "__main__":
    main()
