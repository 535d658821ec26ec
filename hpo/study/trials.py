"""What a study keeps of its trials: their errors, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from model.recipe import Training


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


KEPT = ("seconds", "multiply_adds", "retry_of", "resumed_at", "fail_reason")
"""The attributes of a trial that tell its cost."""


@dataclass(frozen=True)
class Effort:
    """What a trial keeps of its cost.

    Attributes:
        number: of the trial.
        epochs: that it reported; those of an earlier try that it went on from are its first.
        seconds: up to its last epoch, or its end, likewise; None before the first.
        multiply_adds: of its network for one image; None until its parameters are all drawn.
        retry_of: the number of the earlier try, if there was one.
        resumed_at: after how many epochs it went on from there; None if it began anew.
        untrainable: whether its last epoch is but the mark that the network could not train.
    """

    number: int
    epochs: int
    seconds: float | None
    multiply_adds: float | None
    retry_of: int | None
    resumed_at: int | None
    untrainable: bool


def effort_of(trial: FrozenTrial) -> Effort:
    """What a trial keeps of its cost."""
    epochs = len(trial.intermediate_values)
    return effort(trial.number, trial.state, epochs, trial.user_attrs)


def effort(number: int, state: TrialState, epochs: int, kept: Mapping[str, Any]) -> Effort:
    """What is kept of a trial's cost.

    Args:
        number, state: of the trial.
        epochs: that it reported.
        kept: those of its attributes that `KEPT` names, or more.
    """
    return Effort(
        number=number,
        epochs=epochs,
        seconds=kept.get("seconds"),
        multiply_adds=kept.get("multiply_adds"),
        retry_of=kept.get("retry_of"),
        resumed_at=kept.get("resumed_at"),
        untrainable=state == TrialState.COMPLETE and "fail_reason" in kept,
    )


def seconds_spent(efforts: Iterable[Effort]) -> float:
    """Seconds that all trials of a study trained and validated."""
    every = list(efforts)
    # The seconds of a try that another went on from are in those of the later one.
    went_on = {e.retry_of for e in every if e.resumed_at is not None}
    return fsum(e.seconds or 0.0 for e in every if e.number not in went_on)


def multiply_adds_of(effort: Effort, training: Training) -> float | None:
    """Multiply-adds of a trial's forward passes over the training images, if they are known.

    Epochs that an earlier try had trained count with that try alone.
    """
    if effort.multiply_adds is None:
        return None
    own = effort.epochs - (effort.resumed_at or 0) - effort.untrainable
    return max(own, 0) * images_per_epoch(training) * float(effort.multiply_adds)


def images_per_epoch(training: Training) -> int:
    """Images that an epoch of training encodes."""
    sampling = training.sampling
    if sampling.steps is None:
        return 2 * sampling.pairs * (1 + sampling.copies)
    return sampling.images * sampling.steps
