"""Fisher's randomisation test: whether one of two that met the same tasks is behind by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def chance_to_trail(differences: NDArray[np.int64]) -> float:
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
