import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from hpo.results.significance import Lead, compare_best
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


def test_a_lead_on_all_tasks_and_from_all_seeds_is_significant() -> None:
    one = network(3, [17, 16] * 5, [16, 17, 17, 16, 17] * 2, [17, 16] * 5)
    other = network(5, [15] * 10, [15, 14] * 5, [14, 15] * 5)
    found = compare_best([one, other], 20)
    assert found is not None
    assert (found.trial, found.of, found.tasks, found.seeds) == (3, 5, TASKS, 3)
    assert found.points == pytest.approx(100 * (other.mean - one.mean))
    assert found.is_significant
    assert str(found) == (
        "trial 3 is ahead of trial 5 by 9.3 points on the same 200 tasks, p < 0.001, and from 3 "
        "seeds each, p = 0.0062: significant"
    )


def test_a_lead_that_other_tasks_may_turn_is_not() -> None:
    luck = [20, 12] * 5  # in every second draw far ahead, in the others behind
    found = compare_best([network(3, luck, luck), network(5, [15] * 10, [15] * 10)], 20)
    assert found is not None
    assert found.p_tasks == pytest.approx(ttest_1samp([10, -6] * 5, 0).pvalue)
    assert found.p_seeds == 0
    assert found.is_significant is False
    assert str(found).endswith("p < 0.001: not significant")


def test_a_lead_that_other_seeds_may_turn_is_not() -> None:
    one, other = network(3, [19] * 9 + [18], [15] * 10), network(5, [16] * 9 + [15], [16] * 10)
    found = compare_best([one, other], 20)
    assert found is not None
    assert found.p_tasks < 0.001
    assert found.p_seeds == pytest.approx(
        ttest_ind(one.errors, other.errors, equal_var=False).pvalue
    )
    assert found.is_significant is False


def test_seeds_that_give_one_error_are_no_cause_for_a_librarys_warning() -> None:
    one, other = network(3, [17, 16] * 5, [17, 16] * 5), network(5, [15] * 10, [15, 14] * 5)
    with warnings.catch_warnings(action="error"):
        found = compare_best([one, other], 20)
    assert found is not None
    assert found.p_seeds == pytest.approx(0.0903, abs=1e-4)  # t = 7 with one degree of freedom


def test_one_seed_gives_no_verdict() -> None:
    found = compare_best([network(3, [19] * 9 + [18]), network(5, [16] * 10)], 20)
    assert found is not None
    assert found.p_seeds is found.is_significant is None
    assert "significant" not in str(found)
    assert "a larger --seeds" in str(found)


def test_equal_trials_and_one_draw_say_nothing() -> None:
    one = network(3, [16] * 10, [16] * 10)
    found = compare_best([one, replace(one, trial=5)], 20)
    assert found is not None
    assert (found.points, found.p_tasks, found.p_seeds) == (0, 1, 1)
    alone = replace(network(3, [16], [16]), tasks=20), replace(network(5, [15], [15]), tasks=20)
    found = compare_best(alone, 20)
    assert found is not None
    assert found.p_tasks == 1


def test_what_cannot_be_compared_is_not() -> None:
    one, other = network(3, [16] * 10), network(5, [15] * 10)
    assert compare_best([], 20) is None
    assert compare_best([one], 20) is None
    assert compare_best([one, replace(other, outcomes=())], 20) is None  # kept before outcomes were
    assert compare_best([one, network(5, [15] * 10, [15] * 10)], 20) is None
    assert compare_best([one, replace(other, tasks=400)], 20) is None
    assert compare_best([one, replace(other, outcomes=()), other], 20) is None


def test_two_draws_and_small_differences_are_tested_too() -> None:
    for ahead in ([2, 1], [1, 0] * 5):
        by_draw = [[10 + more for more in ahead], [10] * len(ahead)]
        alone = [replace(network(n, d), tasks=20 * len(ahead)) for n, d in enumerate(by_draw)]
        found = compare_best(alone, 20)
        assert found is not None
        assert found.p_tasks == pytest.approx(ttest_1samp(ahead, 0).pvalue)
    same = [replace(network(n, [16 - n] * 2), tasks=40) for n in (0, 1)]
    found = compare_best(same, 20)
    assert found is not None
    assert found.p_tasks == 0  # ahead by as much in both


def test_a_chance_of_a_thousandth_is_named() -> None:
    lead = Lead(trial=0, of=1, points=1.0, tasks=200, seeds=1, p_tasks=0.001, p_seeds=None)
    assert "200 tasks, p = 0.001;" in str(lead)
    assert "200 tasks, p < 0.001;" in str(replace(lead, p_tasks=0.00099))
