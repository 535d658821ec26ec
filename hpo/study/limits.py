"""How far a study goes: a number of finished trials, an amount of compute, or the first of both.

It is kept with the study, so that every process of the search, on any machine, ends there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, TypeAdapter

from hpo.study.checked import checked
from hpo.study.settings import SettingsError
from hpo.study.study import StoredStudy
from hpo.study.trials import finished, multiply_adds_spent, record, running, seconds_spent
from model.recipe import Training

SECONDS = {"h": 3600, "m": 60, "s": 1}
WANTED = "trials_wanted"
"""The attribute of a study that holds how many finished trials it is to have."""
BUDGET = "budget"
"""The attribute of a study that holds what its trials may spend together."""
OVERRUN = 2
"""How many times its budget a study may spend so that trials that were begun are finished."""
LEAST = 1e6
"""Multiply-adds of the smallest budget: no study takes fewer, and a forgotten unit is noticed."""


@dataclass(frozen=True)
class Budget:
    """An amount of training compute.

    Attributes:
        amount: above 0.
        unit: ``seconds`` of training and validation, those of two workers added; or
            ``multiply-adds`` of the forward passes over the training images.
    """

    amount: Annotated[float, Field(gt=0)]
    unit: Literal["seconds", "multiply-adds"]


_WANTED = TypeAdapter(Annotated[int, Field(ge=0)] | None)
_BUDGET = TypeAdapter(Budget | None)


@dataclass(frozen=True)
class Spending:
    """A budget, and what is spent of it.

    Attributes:
        budget: the whole.
        spent: in the budget's unit.
        seconds: that the trials took for it.
    """

    budget: Budget
    spent: float
    seconds: float

    @classmethod
    def of(cls, budget: Budget, trials: Sequence[FrozenTrial], training: Training) -> Spending:
        """What the trials of a study, those that run included, have spent of its budget."""
        seconds = math.fsum(seconds_spent(trials))
        if budget.unit == "seconds":
            return cls(budget, seconds, seconds)
        # A network that cannot train counts an epoch here: in a space that has no others, trials
        # without end would spend nothing.
        spent = [multiply_adds_spent(trial, training, count_mark=True) for trial in trials]
        return cls(budget, math.fsum(one or 0.0 for one in spent), seconds)

    @property
    def used_up(self) -> bool:
        """Whether nothing is left."""
        return self.spent >= self.budget.amount

    @property
    def overdrawn(self) -> bool:
        """Whether the trials that run are to end too."""
        return self.spent >= OVERRUN * self.budget.amount

    @property
    def seconds_left(self) -> float | None:
        """Of work, at the pace so far; None where there is no pace yet."""
        left = max(self.budget.amount - self.spent, 0.0)
        if self.budget.unit == "seconds":
            return left
        return left * self.seconds / self.spent if self.spent else None


def read_budget(text: str) -> Budget:
    """A budget as a person writes it: 2h, 90m, 45s, or a number of multiply-adds.

    Raises:
        SettingsError: it is none, or nothing.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\+?\d+)?) ?([hms]?)", text.strip().lower())
    amount = float(found[1]) if found else math.nan
    if not found or not 0 < amount < math.inf:
        raise SettingsError(
            f"--budget {text} is no amount of compute: write a time such as 2h, 90m or 45s, or "
            "multiply-adds such as 3e15"
        )
    if found[2]:
        return Budget(amount * SECONDS[found[2]], "seconds")
    if amount < LEAST:
        raise SettingsError(
            f"--budget {text} is that many multiply-adds, and no network trains with so few: for "
            f"a time write {found[1]}h, {found[1]}m or {found[1]}s"
        )
    return Budget(amount, "multiply-adds")


def set_limits(study: optuna.Study, trials: int | None, budget: Budget | None) -> None:
    """Keep how far the study goes, instead of what was kept before.

    Args:
        study: the study.
        trials: finished ones that it will hold, or None for any number.
        budget: what they may spend, or None for any amount.
    """
    limits = {WANTED: trials, BUDGET: budget and dataclasses.asdict(budget)}
    if budget is None and BUDGET not in study.user_attrs:
        del limits[BUDGET]
    # A limit that comes before one that goes: other processes at no moment see none at all.
    for name in sorted(limits, key=lambda name: limits[name] is None):
        study.set_user_attr(name, limits[name])


def wanted_trials(study: optuna.Study) -> int | None:
    """How many finished trials the study will hold; None where its budget alone ends it."""
    return checked(_WANTED, study.user_attrs.get(WANTED, 0), "the number of trials wanted")


def budget_of(study: optuna.Study) -> Budget | None:
    """What the trials of the study may spend, if it has such a limit."""
    return checked(_BUDGET, study.user_attrs.get(BUDGET), "the budget")


def spending_of(stored: StoredStudy) -> Spending | None:
    """The budget of the study and what is spent of it, if it has one."""
    budget = budget_of(stored.study)
    if budget is None:
        return None
    trials = stored.study.get_trials(deepcopy=False)
    return Spending.of(budget, trials, stored.settings.training)


def reached(stored: StoredStudy) -> bool:
    """Whether no process has anything left to do.

    The trials that were begun before the budget was used up are finished, unless it is overdrawn.
    """
    study, limit = stored.study, wanted_trials(stored.study)
    if limit is not None and finished(study) >= limit:
        return True
    spent = spending_of(stored)
    if spent is None or not spent.used_up:
        return False
    return spent.overdrawn or not (running(study) or waiting_to_go_on(study))


def has_place(stored: StoredStudy) -> bool:
    """Whether a process may take up a trial now: a new one, or one that waits to go on."""
    study, limit = stored.study, wanted_trials(stored.study)
    if limit is not None and finished(study) + len(running(study)) >= limit:
        return False
    spent = spending_of(stored)
    if spent is None or not spent.used_up:
        return True
    return not spent.overdrawn and bool(waiting_to_go_on(study))


def may_begin(stored: StoredStudy, trial: optuna.Trial) -> bool:
    """Whether a trial that was just taken up has a place: another process may have been first."""
    study, limit = stored.study, wanted_trials(stored.study)
    if limit is not None and _ahead_of(study, trial.number) >= limit:
        return False
    spent = spending_of(stored)
    return _was_begun(trial) or spent is None or not spent.used_up


def waiting_to_go_on(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that wait to go on from where an earlier try was stopped."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return [trial for trial in waiting if _was_begun(trial)]


def _was_begun(trial: FrozenTrial | optuna.Trial) -> bool:
    """Whether the trial, or the earlier try that it goes on from, is more than enqueued."""
    return record(trial).seed is not None


def _ahead_of(study: optuna.Study, number: int) -> int:
    """How many trials are finished, or run or wait and were made before this one."""
    unfinished = (TrialState.RUNNING, TrialState.WAITING)
    others = study.get_trials(deepcopy=False, states=unfinished)
    return finished(study) + sum(trial.number < number for trial in others)
