import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from hpo.results.significance import Lead, compare_best, p_value
from hpo.study.confirmations import Confirmed
from model.scoring import pack

TASKS = 200  # ten draws


def network(trial: int, *seeds: list[int]) -> Confirmed:
    """A trial with one network for each seed, which has this many of each draw's 20 tasks right."""
    texts = []
    for by_draw in seeds:
        right = np.arange(20) < np.array(by_draw)[:, None]
        texts.append(pack(right.flatten()))
    errors = tuple(1 - sum(s) / TASKS for s in seeds)
    mean = sum(errors) / len(errors)
    return Confirmed(trial, 0.1, errors, mean, math.nan, 1, TASKS, tuple(texts))


def test_a_lead_in_every_draw_is_beyond_chance() -> None:
    found = compare_best([network(3, [16] * 10), network(5, [15] * 10)])
    assert found == Lead(3, 5, TASKS, 2 / 1024)
    assert str(found) == (
        "trial 3 is ahead of trial 5 on the same 200 tasks, p = 0.002: significant"
    )


def test_a_lead_in_six_draws_of_ten_is_not() -> None:
    found = compare_best([network(3, [16] * 6 + [15] * 4), network(5, [15] * 6 + [16] * 4)])
    assert found is not None
    assert found.p == pytest.approx(2 * 386 / 1024)  # 4 heads or fewer of 10
    assert "p = 0.75: not significant" in str(found)


def test_seeds_are_added_up() -> None:
    one = network(3, [17] * 10, [15] * 10)
    assert compare_best([one, network(5, [16] * 10, [16] * 10)]) == Lead(3, 5, TASKS, 1.0)
    assert compare_best([one, network(5, [16] * 10, [15] * 10)]) == Lead(3, 5, TASKS, 2 / 1024)


def test_what_cannot_be_compared_is_not() -> None:
    one, other = network(3, [16] * 10), network(5, [15] * 10)
    assert compare_best([]) is None
    assert compare_best([one]) is None
    assert compare_best([one, replace(other, outcomes=())]) is None  # kept before outcomes were
    assert compare_best([one, network(5, [15] * 10, [15] * 10)]) is None
    assert compare_best([one, replace(other, tasks=400)]) is None
    assert compare_best([one, replace(other, outcomes=()), other]) is None


def wins(won: int, lost: int, drawn: int = 5) -> np.ndarray:
    return np.array([1] * won + [-1] * lost + [0] * drawn)


def test_it_is_the_sign_test_where_there_is_but_right_and_wrong() -> None:
    # Of 10 tosses at most 2 heads: 1 + 10 + 45 of 1024.
    assert p_value(wins(2, 8)) == pytest.approx(56 / 1024)
    for won, lost in ((0, 4), (5, 5), (24, 36), (90, 110), (8, 2)):
        expected = binomtest(won, won + lost, alternative="less").pvalue
        assert p_value(wins(won, lost)) == pytest.approx(expected)


def test_larger_differences_weigh_more() -> None:
    differences = np.array([-3, 1, 1, -2, 0, 2])
    sums = [
        sum(sign * abs(d) for sign, d in zip(signs, differences, strict=True))
        for signs in itertools.product((-1, 1), repeat=6)
    ]
    expected = sum(s <= differences.sum() for s in sums) / len(sums)
    assert p_value(differences) == pytest.approx(expected)


def test_no_difference_says_nothing() -> None:
    assert p_value(wins(0, 0)) == 1
