"""Trials by the errors that they came to."""

from __future__ import annotations

import math

import optuna
from optuna.trial import FrozenTrial, TrialState


def finite_errors(trial: FrozenTrial) -> dict[int, float]:
    """The errors that a trial reported, by epoch; what is no finite number is left out."""
    reported = sorted(trial.intermediate_values.items())
    return {epoch: error for epoch, error in reported if math.isfinite(error)}


def trained_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials, of those that trained at all; the lowest error first."""
    complete = [
        t
        for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if "fail_reason" not in t.user_attrs
    ]
    return sorted(complete, key=lambda t: (t.value, t.number))


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The complete trial of the lowest error, of those that trained at all."""
    return next(iter(trained_trials(study)), None)
