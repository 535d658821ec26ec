from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from hpo.randomisation import chance_to_trail


def wins(won: int, lost: int, drawn: int = 5) -> np.ndarray:
    return np.array([1] * won + [-1] * lost + [0] * drawn)


def test_it_is_the_sign_test_where_there_is_but_right_and_wrong() -> None:
    # Of 10 tosses at most 2 heads: 1 + 10 + 45 of 1024.
    assert chance_to_trail(wins(2, 8)) == pytest.approx(56 / 1024)
    for won, lost in ((0, 4), (5, 5), (24, 36), (90, 110), (8, 2)):
        expected = binomtest(won, won + lost, alternative="less").pvalue
        assert chance_to_trail(wins(won, lost)) == pytest.approx(expected)


def test_larger_differences_weigh_more() -> None:
    differences = np.array([-3, 1, 1, -2, 0, 2])
    sums = [
        sum(sign * abs(d) for sign, d in zip(signs, differences, strict=True))
        for signs in itertools.product((-1, 1), repeat=6)
    ]
    expected = sum(s <= differences.sum() for s in sums) / len(sums)
    assert chance_to_trail(differences) == pytest.approx(expected)


def test_no_difference_says_nothing() -> None:
    assert chance_to_trail(wins(0, 0)) == 1
