"""``python -m benchmarks.paper_cost``: what 200 trials of `paper` would cost, simulated.

The study's own sampler, pruner, schedule and patience, and networks of its space at their cost; the
learning curves are made up. They have the form of the published network's, which on a GPU had an
error of 57.6 % after 164,000 pairs, 35.7 after 655,000, 30.6 after 1.1 million and 27.8 after 2.2
million: where a network levels off, and how soon, depends on its parameters.
"""

import argparse
from statistics import mean

import numpy as np
import optuna
from optuna.trial import TrialState

from benchmarks.networks import STUDIES
from benchmarks.stopwatch import Row, table
from hpo.search.cost_estimate import DRAWS
from hpo.search.pruners import make_pruner
from hpo.search.sampler import BuildableSampler, inner_sampler
from hpo.study.settings import StudySettings, read_settings
from hpo.study.space import Params, SearchSpace, place_in_range
from hpo.study.trials import images_per_epoch

TRIALS = 200
CHANCE, FLOOR = 0.95, 0.15
HALF_WAY = 150_000
"""Pairs after which the published network is half-way from chance to where it levels off."""
WORSE = 0.8
"""Error that a network levels off at beyond `FLOOR`, whose parameters are as far off as can be."""
LUCK = 0.024
"""Standard deviation of an error on 320 tasks near 25 %."""
PACE = 9050.0
"""Pairs a second of the space's mean network on an H200 (benchmarks/results/gpu.md)."""


def simulated(study_settings: StudySettings, seed: int) -> Row:
    """One study of made-up trials."""
    space, training = SearchSpace(study_settings), study_settings.training
    chance = np.random.default_rng(seed)
    best = {name: chance.uniform(0.2, 0.8) for name in space.distributions}
    drawn = [space.architecture(space.draw(chance)).multiply_adds for _ in range(DRAWS)]
    pairs = images_per_epoch(training) / 2
    study = optuna.create_study(pruner=make_pruner(study_settings))
    search = study_settings.search
    study.sampler = BuildableSampler(
        lambda s: inner_sampler(search.sampler, space, search.startup_trials, s),
        space,
        seed,
        study,
    )
    seen, spent, whole = 0.0, 0.0, 0
    for _ in range(TRIALS):
        trial = study.ask()
        params = space.suggest(trial)
        level, half_way = curve(params, space, best, chance)
        cost = space.architecture(params).multiply_adds / mean(drawn)
        lowest, since = 1.0, 0
        for epoch in range(training.epochs):
            seen, spent = seen + pairs, spent + pairs * cost
            error = level + (CHANCE - level) / (1 + (epoch + 1) * pairs / half_way)
            error = float(np.clip(error + LUCK * chance.normal(), 0.01, 1))
            lowest, since = (error, 0) if error < lowest else (lowest, since + 1)
            trial.report(error, epoch)
            if trial.should_prune() and epoch < training.epochs - 1:
                study.tell(trial, state=TrialState.PRUNED)
                break
            if since >= training.patience:
                study.tell(trial, lowest)
                break
        else:
            study.tell(trial, lowest)
            whole += 1
    return {
        "seed": seed,
        "million pairs": seen / 1e6,
        "hours of an H200": spent / PACE / 3600,
        "complete": len(study.get_trials(states=(TrialState.COMPLETE,))),
        "to the last epoch": whole,
    }


def curve(
    params: Params, space: SearchSpace, best: Params, chance: np.random.Generator
) -> tuple[float, float]:
    """Where a network levels off, and after how many pairs it is half-way there."""
    off = [abs(place_in_range(d)(params[n]) - best[n]) for n, d in space.distributions.items()]
    # Of a network at random about a third off, give or take a little: spread over the range.
    away = float(np.clip((mean(off) - 0.15) / 0.3, 0, 1))
    return FLOOR + WORSE * away, HALF_WAY * float(np.exp(chance.normal() + away))


def main() -> None:
    """Print a line for each study that is simulated."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_cost", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], help="changes of the study file")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = read_settings(STUDIES / "paper.toml", chosen.set)
    print(table([simulated(study, seed) for seed in range(chosen.seeds)]))


if __name__ == "__main__":
    main()
