from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpo.search.outcomes import OUTCOMES
from hpo.search.paired_pruner import PairedPruner
from model.scoring import pack

TASKS = 320


def answers(wrong: range) -> str:
    """The outcomes of a network that has only these tasks wrong."""
    right = np.ones(TASKS, np.bool_)
    right[wrong] = False
    return pack(right)


def best_of(*outcomes: str, error: float = 0.1, **attributes: object) -> optuna.Study:
    """A study whose one complete trial has these outcomes by epoch."""
    study = optuna.create_study()
    kept = {OUTCOMES: list(outcomes)} | attributes
    study.add_trial(create_trial(value=error, user_attrs=kept))
    return study


def pruned(study: optuna.Study, *outcomes: str, error: float = 0.5, warmup: int = 1) -> bool:
    """Whether a trial that runs is, after so many epochs."""
    trial = create_trial(
        state=TrialState.RUNNING,
        intermediate_values=dict.fromkeys(range(len(outcomes)), error),
        user_attrs={OUTCOMES: list(outcomes)},
    )
    return PairedPruner(warmup).prune(study, trial)


# Of 10 tasks on which two networks differ, an equal wins 2 or fewer with 56 / 1024 = 0.055.
BEST, FAR = answers(range(2)), answers(range(2, 10))


def test_a_trial_that_is_far_behind_is_pruned() -> None:
    assert pruned(best_of(BEST, BEST), BEST, FAR)
    assert not pruned(best_of(BEST, BEST), FAR, BEST)  # of this epoch, not of another


def test_a_trial_that_is_a_little_behind_is_not() -> None:
    best, near = answers(range(3)), answers(range(3, 10))  # 3 of 10 or fewer: 0.17
    assert not pruned(best_of(best, best), best, near)


def test_a_large_error_alone_is_no_reason() -> None:
    assert not pruned(best_of(FAR, FAR), FAR, FAR, error=0.99)
    assert not pruned(best_of(FAR, FAR), BEST, BEST, error=0.99)


def test_nothing_is_pruned_while_warming_up() -> None:
    assert not pruned(best_of(*[BEST] * 9), FAR, FAR, warmup=2)
    assert pruned(best_of(*[BEST] * 9), FAR, FAR, FAR, warmup=2)


@pytest.mark.parametrize("error", [0.05, 0.1])
def test_a_trial_that_was_as_good_as_the_best_is_never_pruned(error: float) -> None:
    assert not pruned(best_of(BEST, BEST), FAR, FAR, error=error)
    assert pruned(best_of(BEST, BEST), FAR, FAR, error=0.11)


def test_the_best_is_the_lowest_complete_trial_that_trained() -> None:
    study = best_of(FAR, FAR, error=0.2)
    assert not pruned(study, FAR, FAR)
    study.add_trial(create_trial(value=0.1, user_attrs={OUTCOMES: [BEST, BEST]}))
    assert pruned(study, FAR, FAR)
    untrainable = best_of(BEST, BEST, error=1.0, fail_reason="diverged")
    assert not pruned(untrainable, FAR, FAR, error=1.5)


def test_without_the_outcomes_of_that_epoch_nothing_is_pruned() -> None:
    assert not pruned(optuna.create_study(), FAR, FAR)
    assert not pruned(best_of(), FAR, FAR)
    assert not pruned(best_of(BEST), FAR, FAR)
    assert not pruned(best_of(BEST, ""), FAR, FAR)
    old = optuna.create_study()  # from before outcomes were kept
    old.add_trial(create_trial(value=0.1))
    assert not pruned(old, FAR, FAR)
    assert not pruned(best_of(BEST, BEST), FAR, "")
    other = pack(np.ones(2 * TASKS, np.bool_))
    assert not pruned(best_of(other, other), FAR, FAR)
