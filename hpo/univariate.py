"""TPE that looks at each parameter alone."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState


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
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        if len(study.get_trials(deepcopy=False, states=ended)) < self._startup:
            return {}
        return {n: self.sample_independent(study, trial, n, d) for n, d in search_space.items()}
