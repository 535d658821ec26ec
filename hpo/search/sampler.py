"""Samplers by name, and the wrapper that keeps every proposal buildable and new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from data.errors import UserError
from hpo.search.gaussian_process import GaussianProcess
from hpo.study.settings import SamplerName
from hpo.study.space import SearchSpace
from hpo.study.study import StoredStudy
from hpo.study.trials import FINISHED

ATTEMPTS = 8
"""Proposals that are asked of a sampler before chance takes over from one that repeats itself."""
CHANCES = 200
"""Uniform draws, after these, before the space counts as used up."""


Key = tuple[Any, ...]
"""The values of one configuration."""


class SpaceUsedUp(UserError):
    """Every configuration that was drawn is in the study already."""


MakeSampler = Callable[[int], BaseSampler]
"""Gives a sampler for a seed."""


def inner_sampler(
    name: SamplerName, space: SearchSpace, startup_trials: int, seed: int
) -> BaseSampler:
    """A sampler by the name that a study file has for it.

    Args:
        name: of the sampler.
        space: what is searched.
        startup_trials: finished ones before its model takes over.
        seed: of its chance.
    """
    match name:
        case "tpe":
            return TPESampler(
                seed=seed, n_startup_trials=startup_trials, multivariate=True, constant_liar=True
            )
        case "tpe-univariate":
            return UnivariateTPE(startup_trials, seed)
        case "gp":
            return GaussianProcess(space, startup_trials, seed)
        case "random":
            return RandomSampler(seed=seed)


def make_sampler(stored: StoredStudy) -> BuildableSampler:
    """The sampler that a study names."""
    search = stored.settings.search
    make = partial(inner_sampler, search.sampler, stored.space, search.startup_trials)
    return BuildableSampler(make, stored.space, search.seed, stored.study)


class BuildableSampler(BaseSampler):
    """Wraps a sampler so that all it proposes can be built and has not been tried.

    Most of the paper's filter sizes do not fit behind one another. The inner sampler sees the
    whole static space; kernels that it proposes together and that do not fit are shrunk, one
    at random at a time, until they do: not always the same layer, so that proposals
    from beyond the border do not all fall on one point of it. While the inner sampler has no
    model yet, configurations are drawn uniformly from those that can be built. All parameters of
    a trial are proposed at once, so that what is recorded is what was meant.

    Every trial gets an inner sampler of its own, seeded by the study's seed and the trial's
    number: a study that is stopped between two trials goes on as if it had not been, and no
    two workers draw the same numbers.
    """

    def __init__(self, make: MakeSampler, space: SearchSpace, seed: int, study: Study) -> None:
        """Wrap a sampler for one study.

        Args:
            make: gives the inner sampler of a trial.
            space: what is searched.
            seed: the study's.
            study: all of it, which the inner sampler learns from. Hyperband shows a sampler the
                trials of one bracket alone, and they would be counted as all that there are.
        """
        self._make, self._space, self._seed, self._study = make, space, seed, study
        self._inner: BaseSampler = RandomSampler(0)  # until a trial begins
        self._ended: dict[int, Key] = {}

    def reseed_rng(self) -> None:
        """Nothing to do: the seed follows from the trial's number."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make this trial's inner sampler."""
        seed = int(self._chance(trial).integers(2**31))
        self._inner = self._make(seed)
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the inner sampler."""
        self._inner.after_trial(study, trial, state, values)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The whole static space: all parameters are proposed together."""
        return self._space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """One configuration for all parameters, buildable and unlike any in the study.

        What a trial was enqueued with is kept, and the rest is proposed so that it goes with that.
        """
        chance = self._chance(trial)
        open_space = {n: d for n, d in search_space.items() if not d.single()}
        enqueued = trial.system_attrs.get("fixed_params", {})
        given = {name: enqueued[name] for name in open_space if name in enqueued}
        known = self._known(trial, open_space)
        for attempt in range(ATTEMPTS + CHANCES):
            proposal: dict[str, Any] = {}
            if attempt < ATTEMPTS:
                proposal = self._inner.sample_relative(self._study, trial, open_space)
            proposal = {**(proposal or self._space.draw(chance)), **given}
            self._shrink(proposal, given, chance)
            if tuple(proposal[name] for name in open_space) not in known:
                return proposal
        raise SpaceUsedUp(
            "every configuration that the sampler finds is in the study already: "
            "widen the ranges of the study file, or stop here"
        )

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter that the space does not know of; the space's own are proposed together."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def _chance(self, trial: FrozenTrial) -> np.random.Generator:
        return np.random.default_rng([self._seed, trial.number])

    def _known(self, trial: FrozenTrial, names: Iterable[str]) -> set[Key]:
        """What the other trials of the study have tried; those that have ended are kept in mind."""
        running: set[Key] = set()
        for other in self._study.get_trials(deepcopy=False):
            if other.number in self._ended or other.number == trial.number:
                continue
            key = tuple(other.params.get(name) for name in names)
            running.add(key)
            if other.state.is_finished():
                self._ended[other.number] = key
        return running.union(self._ended.values())

    def _shrink(
        self, proposal: dict[str, Any], given: Mapping[str, Any], chance: np.random.Generator
    ) -> None:
        """Lower one size at random by a step, again and again, until the network may be built.

        Kernels alone until all of them fit; then any size while the network is over the limit.
        What was given stands, even where nothing that goes with it is within the limit.
        """
        space, sizes = self._space, self._space.sizes
        single = {name: sizes[name].low for name in sizes if name not in proposal}
        while True:
            whole = {**single, **proposal}
            if not space.fits([whole[name] for name in space.kernels]):
                names = space.kernels
            elif not space.affordable(whole):
                names = list(sizes)
            else:
                return
            larger = [n for n in names if n not in given and whole[n] > sizes[n].low]
            if not larger:
                return
            chosen = larger[chance.integers(len(larger))]
            proposal[chosen] -= sizes[chosen].step


class UnivariateTPE(TPESampler):
    """Proposes every parameter from the good and the poor values of that parameter alone.

    Optuna's own univariate TPE is asked for one parameter after the other while a trial runs; this
    one proposes all of them at once, so that what cannot be built together can be mended. With
    two dozen parameters and few trials, what goes well together cannot be told yet
    (Bergstra et al. 2011 have it so).
    """

    def __init__(self, startup_trials: int, seed: int) -> None:
        """Prepare.

        Args:
            startup_trials: finished ones before which nothing is proposed.
            seed: of its chance.
        """
        super().__init__(
            n_startup_trials=startup_trials, multivariate=False, constant_liar=True, seed=seed
        )
        self._startup = startup_trials

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for every parameter, or none at all in the beginning."""
        if len(study.get_trials(deepcopy=False, states=FINISHED)) < self._startup:
            return {}
        return {n: self.sample_independent(study, trial, n, d) for n, d in search_space.items()}
