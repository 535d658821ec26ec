"""Whether the lead of the first of the confirmed trials over the second is significant."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, ttest_ind_from_stats

from hpo.study.confirmations import Confirmed
from model.scoring import unpack

ALPHA = 0.05
"""A lead that two equal trials have less often than this is called significant."""


@dataclass(frozen=True)
class Lead:
    """The first trial against the second, trained from as many seeds, on the same fresh tasks.

    Attributes:
        trial, of: the first and the second.
        points: by how many points its error is lower.
        tasks, seeds: how many.
        p_tasks: the chance that one of two equal trials leads by so much or more, whichever it is,
            on other tasks.
        p_seeds: likewise, from other seeds; None of one seed.
    """

    trial: int
    of: int
    points: float
    tasks: int
    seeds: int
    p_tasks: float
    p_seeds: float | None

    @property
    def is_significant(self) -> bool | None:
        """Whether neither the choice of the tasks nor that of the seeds explains it.

        None of one seed, which says nothing of others.
        """
        return None if self.p_seeds is None else max(self.p_tasks, self.p_seeds) < ALPHA

    def __str__(self) -> str:
        ahead = (
            f"trial {self.trial} is ahead of trial {self.of} by {self.points:.1f} points on the "
            f"same {self.tasks:,} tasks, {_chance(self.p_tasks)}"
        )
        if self.p_seeds is None:
            return f"{ahead}; with one seed each there is no verdict: a larger --seeds gives one"
        verdict = "significant" if self.is_significant else "not significant"
        return f"{ahead}, and from {self.seeds} seeds each, {_chance(self.p_seeds)}: {verdict}"


def compare_best(ranked: Sequence[Confirmed], way: int) -> Lead | None:
    """How sure the rank of the first trial is; None where there is no second one to compare.

    Both tests are Student's, two-sided, since nobody said beforehand which of the two would lead:
    of the differences in each draw of the tasks, which share their support set; and of the errors
    of each seed, without taking their variances for equal (Welch).

    Args:
        ranked: the confirmed trials, the best first.
        way: tasks of a draw.
    """
    if len(ranked) < 2:
        return None
    first, second = ranked[:2]
    if not (first.matches(second) and first.outcomes and second.outcomes):
        return None
    seeds = len(first.errors)
    return Lead(
        trial=first.trial,
        of=second.trial,
        points=100 * (second.mean - first.mean),
        tasks=first.tasks,
        seeds=seeds,
        p_tasks=_over_tasks(_right_by_draw(first, way) - _right_by_draw(second, way)),
        p_seeds=_over_seeds(first.errors, second.errors) if seeds > 1 else None,
    )


def _right_by_draw(one: Confirmed, way: int) -> NDArray[np.int64]:
    """(R,) how many tasks of each draw the networks of all seeds answered rightly."""
    right = np.stack([unpack(text, one.tasks) for text in one.outcomes]).astype(np.int64)
    by_draw: NDArray[np.int64] = right.reshape(len(right), -1, way).sum(axis=(0, 2))
    return by_draw


def _over_tasks(differences: NDArray[np.int64]) -> float:
    """The p-value of (R,) differences; one draw alone says nothing."""
    if len(differences) > 1 and differences.std() > 0:
        return float(ttest_1samp(differences, 0).pvalue)
    return 0.0 if len(differences) > 1 and differences.any() else 1.0


def _over_seeds(first: Sequence[float], second: Sequence[float]) -> float:
    """The p-value of two groups of errors, of which at least one has a spread or they are alike."""
    if max(np.ptp(first), np.ptp(second)) > 0:
        moments = [moment for x in (first, second) for moment in (mean(x), stdev(x), len(x))]
        return float(ttest_ind_from_stats(*moments, equal_var=False).pvalue)
    return 1.0 if first[0] == second[0] else 0.0


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
