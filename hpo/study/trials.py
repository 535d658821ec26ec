"""The record of a trial: what it keeps of itself, under which names, and what follows from that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from hpo.study.checked import BrokenStudy, Text, checked
from hpo.study.owner import Owner
from hpo.study.space import holds
from model.recipe import Precision, Training

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of the trials that a study counts."""
INTERRUPTED, SURPLUS = "interrupted by ", "the study was full when it began"
HANDED_BACK = (INTERRUPTED, SURPLUS)
"""How the reason of a trial begins that was handed back though nothing went wrong with it."""
_STORED = {"begun_with": "from", "retry": "to_be_retried"}
"""Names of attributes that are no names of fields."""


class Record(NamedTuple):
    """The user attributes of a trial; None is what it does not have, or not yet.

    Attributes:
        owner: the process that runs it, as `hpo.study.owner.owner` tells it from all others.
        seed: of the initial weights and the order of the batches; a retry has the first try's.
        begun_with: the trial of another study that it has its parameters from.
        weights, multiply_adds: of its network; the multiply-adds encode one image. A trial that has
            them has all of its parameters.
        device, precision: what it trains on, in words, and in which arithmetic.
        fallback: why it computes in fp32 and by PyTorch's own operations alone, if it does.
        images_at_once: how many images were normalised together, where memory did not hold a batch.
        resumed_at: how many epochs an earlier try had done, where it goes on from one.
        seconds: of training and validation so far, those of an earlier try included.
        pairs_per_second: in training.
        best_epoch, best_error: the first epoch (from 0) of the lowest error, and that error.
        outcomes: the tasks that were answered rightly after that epoch, from `model.scoring`.
        peak_memory_mb: MiB.
        retry: whether it is to be enqueued again once it has failed, and whether that counts
            towards the number of retries.
        fail_reason: why it failed; of a complete trial, why its network could not train.
        retry_of, first_try: numbers of the trial that it is a retry of, and of the first of them.
        deaths: how many processes in a row have died under it and its earlier tries.
    """

    owner: Owner | None = None
    seed: int | None = None
    begun_with: Text | None = None
    weights: int | None = None
    multiply_adds: int | None = None
    device: Text | None = None
    precision: Precision | None = None
    fallback: Text | None = None
    images_at_once: int | None = None
    resumed_at: int | None = None
    seconds: float | None = None
    pairs_per_second: float | None = None
    best_epoch: int | None = None
    best_error: float | None = None
    outcomes: str | None = None
    peak_memory_mb: int | None = None
    retry: Literal["counted", "free"] | None = None  # before the reason: it is written first
    fail_reason: Text | None = None
    retry_of: int | None = None
    first_try: int | None = None
    deaths: int | None = None

    @classmethod
    def from_attributes(cls, kept: Mapping[str, Any]) -> Record:
        """What user attributes say; those that are not the program's are passed over.

        Raises:
            BrokenStudy: one is not of its kind.
        """
        known = {_FIELDS[name]: value for name, value in kept.items() if name in _FIELDS}
        return checked(_RECORD, known, "an attribute of a trial")

    @property
    def attributes(self) -> dict[str, Any]:
        """As user attributes."""
        values = {name: getattr(self, field) for name, field in _FIELDS.items()}
        return {name: value for name, value in values.items() if value is not None}

    def write(self, trial: optuna.Trial) -> None:
        """Keep what it has with a running trial."""
        for name, value in self.attributes.items():
            trial.set_user_attr(name, value)


_RECORD = TypeAdapter(Record)
_FIELDS = {_STORED.get(field, field): field for field in Record._fields}


@with_config(ConfigDict(strict=True))
class _Read(TypedDict):
    """What Optuna, or the program, reads of a trial besides its record."""

    values: list[float] | None
    params: dict[str, int | float]
    intermediate_values: dict[int, float]
    fixed_params: dict[str, int | float]
    rungs: dict[str, float]


_TRIAL = TypeAdapter(_Read)


def check_trial(trial: FrozenTrial) -> None:
    """See that a trial holds what a search writes; its record is checked when it is read.

    Raises:
        BrokenStudy: it does not.
    """
    system = trial.system_attrs
    held = {
        "values": trial.values,
        "params": trial.params,
        "intermediate_values": trial.intermediate_values,
        "fixed_params": system.get("fixed_params", {}),
        "rungs": {k: v for k, v in system.items() if k.startswith("completed_rung_")},
    }
    checked(_TRIAL, held, f"trial {trial.number}")
    for name, distribution in trial.distributions.items():
        if not holds(distribution, trial.params[name]):
            raise BrokenStudy(
                f"trial {trial.number} is not as it was written ({name} = {trial.params[name]}, "
                "which is not in its range)"
            )


def derived_seed(study_seed: int, *path: int) -> int:
    """A 31-bit seed that follows from a study's and from what it is for, the same on any day.

    Args:
        study_seed: of the study.
        path: numbers that no other use of the study's seed has.
    """
    sequence = np.random.SeedSequence([study_seed, *path])
    return int(sequence.generate_state(1)[0] >> 1)


def record(trial: FrozenTrial | optuna.Trial) -> Record:
    """What a trial keeps of itself."""
    return Record.from_attributes(trial.user_attrs)


def is_trained(trial: FrozenTrial) -> bool:
    """Whether a trial was trained to its end."""
    return trial.state == TrialState.COMPLETE and record(trial).fail_reason is None


def is_handed_back(trial: FrozenTrial) -> bool:
    """Whether a trial is in the state of failed ones for no other reason than `HANDED_BACK`."""
    reason = record(trial).fail_reason or ""
    return trial.state == TrialState.FAIL and reason.startswith(HANDED_BACK)


def is_untrainable(trial: FrozenTrial) -> bool:
    """Whether a trial is complete and its network could not train; its last epoch is the mark."""
    return trial.state == TrialState.COMPLETE and record(trial).fail_reason is not None


def trained_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that were trained to their end, the lowest error first."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(filter(is_trained, complete), key=lambda t: (t.value, t.number))


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The trial of the lowest error, of those that were trained to their end."""
    return next(iter(trained_trials(study)), None)


def finished(study: optuna.Study) -> int:
    """How many trials are complete or pruned."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def running(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that run, and those whose process died unnoticed."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def finite_errors(trial: FrozenTrial) -> dict[int, float]:
    """The errors that a trial reported, by epoch; what is no finite number is left out."""
    reported = sorted(trial.intermediate_values.items())
    return {epoch: error for epoch, error in reported if math.isfinite(error)}


def lowest_error(trial: FrozenTrial) -> float | None:
    """The lowest finite error of any epoch, of a pruned trial too."""
    return min(finite_errors(trial).values(), default=None)


def first_try(trial: FrozenTrial | optuna.Trial) -> int:
    """The number of the first of the tries that this trial is one of, or its own."""
    first = record(trial).first_try
    return trial.number if first is None else first


def retries(trials: Iterable[FrozenTrial]) -> dict[int, int]:
    """Of every trial that was enqueued again, its number and that of its retry.

    Where two processes enqueued it again at once, the first of the two is its retry.

    Args:
        trials: in the order of their numbers.
    """
    found = dict[int, int]()
    for trial in trials:
        retry_of = record(trial).retry_of
        if retry_of is not None:
            found.setdefault(retry_of, trial.number)
    return found


def seconds_spent(trials: Sequence[FrozenTrial]) -> list[float]:
    """Seconds that each trial trained and validated.

    Those of a try that another went on from are among the later one's, and not its own.
    """
    kept = [record(trial) for trial in trials]
    went_on = {one.retry_of for one in kept if one.resumed_at is not None}
    return [
        0.0 if trial.number in went_on else one.seconds or 0.0
        for trial, one in zip(trials, kept, strict=True)
    ]


def multiply_adds_spent(
    trial: FrozenTrial, training: Training, count_mark: bool = False
) -> float | None:
    """Multiply-adds of a trial's forward passes over the training images, if they are known.

    Epochs that an earlier try had trained count with that try alone.

    Args:
        trial: the trial.
        training: of the study.
        count_mark: whether the mark of a network that could not train counts as an epoch.
    """
    kept, mark = record(trial), is_untrainable(trial) and not count_mark
    if kept.multiply_adds is None:
        return None
    own = max(len(trial.intermediate_values) - (kept.resumed_at or 0) - mark, 0)
    return own * images_per_epoch(training) * float(kept.multiply_adds)


def images_per_epoch(training: Training) -> int:
    """Images that an epoch of training encodes."""
    sampling = training.sampling
    if sampling.steps is None:
        return 2 * sampling.pairs * (1 + sampling.copies)
    return sampling.images * sampling.steps
