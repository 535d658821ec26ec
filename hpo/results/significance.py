"""Whether the lead of the first of the confirmed trials over the second is significant."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.tasks import WAY
from hpo.study.confirmations import Confirmed
from model.scoring import unpack

ALPHA = 0.05
"""A lead that two equal trials have less often than this is called significant."""


@dataclass(frozen=True)
class Lead:
    """The first trial against the second, on the same fresh tasks.

    Attributes:
        trial, of: the first and the second.
        tasks: how many.
        p: the chance that one of two equal trials leads by so much or more, whichever it is.
    """

    trial: int
    of: int
    tasks: int
    p: float

    def __str__(self) -> str:
        chance = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.2g}"
        verdict = "significant" if self.p < ALPHA else "not significant"
        return (
            f"trial {self.trial} is ahead of trial {self.of} on the same {self.tasks:,} tasks, "
            f"{chance}: {verdict}"
        )


def compare_best(ranked: Sequence[Confirmed]) -> Lead | None:
    """How sure the rank of the first trial is; None where there is no second one to compare.

    The test is of the networks that were trained: it says how much is due to the choice of
    the tasks, and nothing of other seeds. The tasks of a draw share their support set, so it is the
    draws that count as independent. Since nobody said beforehand which of the two would lead,
    leads of either are counted.

    Args:
        ranked: the confirmed trials, the best first.
    """
    if len(ranked) < 2:
        return None
    first, second = ranked[:2]
    if not (first.matches(second) and first.outcomes and second.outcomes):
        return None
    p = 2 * p_value(_right_by_draw(second) - _right_by_draw(first))
    return Lead(first.trial, second.trial, first.tasks, min(1.0, p))


def _right_by_draw(one: Confirmed) -> NDArray[np.int64]:
    """(R,) how many tasks of each draw the networks of all seeds answered rightly."""
    right = np.stack([unpack(text, one.tasks) for text in one.outcomes]).astype(np.int64)
    by_draw: NDArray[np.int64] = right.reshape(len(right), -1, WAY).sum(axis=(0, 2))
    return by_draw


def p_value(differences: NDArray[np.int64]) -> float:
    """The chance that the lesser of two equals is as far behind, or further.

    If they were equal, every difference might as well have had the other sign; all choices of
    signs are counted, so the chance is exact. Where all differences are -1, 0 or 1 this is the
    sign test, and Wilcoxon's signed-rank test is then the same.

    Args:
        differences: (N,) whole numbers, what the one has more than the other, of N independent
            meetings.

    Returns:
        The p-value, one-sided: low where the sum is far below 0.
    """
    chance = np.ones(1)  # of what the negative differences sum to, without their sign, from 0 on
    for size in np.abs(differences[differences != 0]):
        chance = (np.pad(chance, (0, size)) + np.pad(chance, (size, 0))) / 2
    lost = -int(differences[differences < 0].sum())
    return min(1.0, float(chance[lost:].sum()))
