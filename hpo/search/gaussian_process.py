"""A sampler that asks a Gaussian process where an improvement is to be expected."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from hpo.search.posterior import Posterior, known_of
from hpo.study.space import SearchSpace, value_at
from hpo.study.trials import FINISHED

DRAWN = 300
"""Configurations drawn at random that a proposal is chosen from."""
KEPT = 8
"""Of the best so far, whose neighbours are looked at next."""
NEIGHBOURS = 60
"""Of each."""
ROUNDS = ((0.3, 0.3), (0.2, 0.2), (0.1, 0.2), (0.05, 0.15), (0.03, 0.1))
"""How far, as a share of its range, a parameter of a neighbour is moved, and how many are."""

Floats = NDArray[np.float64]


class GaussianProcess(BaseSampler):
    """Proposes the configuration of the highest expected improvement, learning from pruned trials.

    Optuna's own Gaussian process passes over the trials that were pruned, most of a study. Here
    they count as well: each for the final error that it would probably have had, with the doubt
    that there is about that (`hpo.search.posterior`). The improvement (LogEI, Ament et al. 2023) is
    that over the best expected error, not over the luckiest that was seen. It is looked for
    among configurations that can be built: random ones first, then neighbours of the best.
    """

    def __init__(self, space: SearchSpace, startup_trials: int, seed: int) -> None:
        """Prepare.

        Args:
            space: what is searched.
            startup_trials: finished ones before which nothing is proposed.
            seed: of its chance.
        """
        self._space, self._startup = space, startup_trials
        self._chance = np.random.default_rng(seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The whole static space: all parameters are proposed together."""
        return self._space.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for every parameter, or none at all in the beginning."""
        trials = study.get_trials(deepcopy=False)
        finished = [one for one in trials if one.state in FINISHED]
        known = known_of(finished, self._space.settings.data.validation_tasks)
        if len(finished) < self._startup or not known:
            return {}
        running = [
            one.params
            for one in trials
            if one.state == TrialState.RUNNING and search_space.keys() <= one.params.keys()
        ]
        posterior = Posterior(search_space, known)
        posterior.expect(running)
        return self._best(posterior, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter that the space does not know of, at random."""
        return optuna.samplers.RandomSampler(int(self._chance.integers(2**31))).sample_independent(
            study, trial, param_name, param_distribution
        )

    def _best(
        self, posterior: Posterior, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The best that is found of what can be built."""
        from botorch.acquisition.analytic import LogExpectedImprovement

        values = {name: value_at(d) for name, d in search_space.items()}
        steps = np.array([_steps(d) for d in search_space.values()])
        expected = posterior.expected(posterior.inputs([k.trial.params for k in posterior.known]))
        improvement = LogExpectedImprovement(posterior.model, best_f=expected.max())

        def configuration(places: Floats, names: Collection[str] = values) -> dict[str, Any]:
            both = zip(values.items(), places, strict=True)
            return {name: value(place) for (name, value), place in both if name in names}

        def gains(places: Floats) -> Floats:
            with torch.no_grad():
                found: Floats = improvement(torch.from_numpy(places)[:, None]).numpy()
            return found

        pool = posterior.inputs([self._space.draw(self._chance) for _ in range(DRAWN)]).numpy()
        worth = gains(pool)
        best = [posterior.known[i].trial for i in expected.argsort(descending=True)[:KEPT]]
        centres = posterior.inputs([trial.params for trial in best]).numpy()
        alone = {n: d.low for n, d in self._space.sizes.items() if n not in search_space}
        for far, many in ROUNDS:
            near = self._neighbours(centres, steps, far, many)
            sizes = [configuration(row, self._space.sizes) for row in near]
            near = near[[self._space.can_be_built(alone | one) for one in sizes]]
            if len(near):
                pool = np.concatenate((pool, near))
                worth = np.concatenate((worth, gains(near)))
            first = np.argsort(-worth)[:KEPT]
            centres = pool = pool[first]
            worth = worth[first]
        return configuration(pool[0])

    def _neighbours(self, centres: Floats, steps: Floats, far: float, many: float) -> Floats:
        """(N, P) places that differ from centres in some parameters, on the steps of all."""
        near = np.repeat(centres, NEIGHBOURS, axis=0)
        moved = self._chance.random(near.shape) < many
        near += np.where(moved, far * self._chance.normal(size=near.shape), 0)
        near[:] = 1 - np.abs(1 - np.abs(near) % 2)  # what would leave its range is turned back
        whole = np.isfinite(steps)
        near[:, whole] = np.round(near[:, whole] * steps[whole]) / np.maximum(steps[whole], 1)
        return near


def _steps(distribution: BaseDistribution) -> float:
    """From one end of a range to the other; infinitely many between real numbers."""
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step
    return math.inf
