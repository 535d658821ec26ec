import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from hpo.study.confirmations import confirmed, p_value
from tests.hpo.made_up import keep, study_with


def test_the_mean_ranks_and_not_the_luckiest_seed() -> None:
    study = study_with(0.10, 0.12, 0.14)
    keep(study, 0, 0.10, 0.30)
    keep(study, 1, 0.18, 0.20)
    keep(study, 2, 0.50, 0.50)
    first, second, third = confirmed(study)
    assert (first.trial, second.trial, third.trial) == (1, 0, 2)
    assert first.mean == pytest.approx(0.19)
    assert first.spread == pytest.approx(math.sqrt(0.0002))
    assert first.flattered == pytest.approx(0.07)
    assert (first.search_error, first.errors, first.tasks) == (0.12, (0.18, 0.20), 100)


def test_fewer_seeds_or_other_tasks_come_last_however_low() -> None:
    study = study_with(0.1, 0.1, 0.1, 0.1)
    keep(study, 0, 0.3, 0.3, 0.3)
    keep(study, 1, 0.1)
    keep(study, 2, 0.2, 0.2, 0.2)
    keep(study, 3, 0.1, 0.1, 0.1, tasks=80)
    assert [c.trial for c in confirmed(study)] == [2, 0, 3, 1]
    assert [c.rank for c in confirmed(study)] == [1, 2, 3, 4]
    keep(study, 1, 0.1, 0.5, 0.2, 0.3)
    assert confirmed(study)[0].trial == 1
    keep(study, 0, 0.9, tasks=400)  # begun anew with more tasks: two of the old ones still count
    assert next(c for c in confirmed(study) if c.trial == 0).errors == (0.3, 0.3)


def test_the_tenth_seed_comes_after_the_second() -> None:
    study = study_with(0.1)
    keep(study, 0, *(k / 100 for k in range(12)))
    assert confirmed(study)[0].errors == tuple(k / 100 for k in range(12))


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
