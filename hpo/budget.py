"""How much compute the trials of a study may spend together, and how much of it they have."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from hpo.settings import SettingsError
from hpo.spending import Effort, multiply_adds_of, seconds_spent
from hpo.wording import duration, magnitude
from model.recipe import Training

SECONDS = {"h": 3600, "m": 60, "s": 1}
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

    amount: float
    unit: Literal["seconds", "multiply-adds"]

    def spending(self, efforts: Iterable[Effort], training: Training) -> Spending:
        """What is spent of it.

        Args:
            efforts: of all trials of the study, those that run included.
            training: of the study.
        """
        every = list(efforts)
        seconds = seconds_spent(every)
        if self.unit == "seconds":
            return Spending(self, seconds, seconds)
        # A network that cannot train is counted an epoch here: of a space that has no others,
        # trials without end would else spend nothing.
        counted = [multiply_adds_of(replace(e, untrainable=False), training) for e in every]
        return Spending(self, math.fsum(spent or 0.0 for spent in counted), seconds)


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

    def __str__(self) -> str:
        amount, spent = self.budget.amount, self.spent
        if self.budget.unit == "seconds":
            return f"{duration(spent)} of {duration(amount)}"
        return f"{magnitude(spent)} of {magnitude(amount)} multiply-adds"

    @property
    def used_up(self) -> bool:
        """Whether nothing is left."""
        return self.spent >= self.budget.amount

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
