"""What a trial keeps of itself, and what follows from that."""

import math

import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.study.checked import BrokenStudy
from hpo.study.trials import (
    Record,
    best_trial,
    check_trial,
    derived_seed,
    finished,
    finite_errors,
    first_try,
    is_handed_back,
    is_trained,
    is_untrainable,
    lowest_error,
    multiply_adds_spent,
    record,
    retries,
    running,
    seconds_spent,
    trained_trials,
)
from model.recipe import RandomPairs, Training
from tests.hpo.made_up import study_with


def numbered(number: int, state: TrialState = TrialState.FAIL, **kept: object) -> FrozenTrial:
    value = 0.5 if state == TrialState.COMPLETE else None
    trial = create_trial(state=state, value=value, user_attrs=dict(kept))
    trial.number = number
    return trial


def test_a_record_has_the_names_that_studies_of_all_versions_have() -> None:
    kept = {"from": "old 3", "to_be_retried": "free", "seed": 5, "deaths": 2, "device": "a\x07"}
    found = Record.from_attributes({**kept, "a stranger's": 1})
    assert (found.begun_with, found.retry, found.seed, found.deaths) == ("old 3", "free", 5, 2)
    assert found.device == "a\N{REPLACEMENT CHARACTER}"
    assert Record(begun_with="old 3", retry="free", seed=0).attributes == {
        "from": "old 3",
        "to_be_retried": "free",
        "seed": 0,
    }
    with pytest.raises(BrokenStudy, match="an attribute of a trial is not as it was written"):
        record(numbered(0, seed="five"))


def test_the_reason_is_written_after_what_is_to_be_done() -> None:
    """A process that is killed between the two leaves no failure that nobody retries."""
    names = list(Record(fail_reason="it died", retry="counted", retry_of=1).attributes)
    assert names.index("to_be_retried") < names.index("fail_reason")


def test_a_seed_follows_from_its_path_and_stays_the_same() -> None:
    assert [derived_seed(7, number, 1) for number in range(3)] == [
        1014427442,
        291303631,
        530129297,
    ]
    assert len({derived_seed(*path) for path in ((1, 2), (2, 1), (1, 2, 3), (1, 3))}) == 4
    drawn = [derived_seed(0, number) for number in range(200)]
    assert 0 <= min(drawn) < 2**30 < max(drawn) < 2**31


@pytest.mark.parametrize(
    ("state", "reason", "trained", "back", "untrainable"),
    [
        (TrialState.COMPLETE, None, True, False, False),
        (TrialState.COMPLETE, "diverged", False, False, True),
        (TrialState.COMPLETE, "interrupted by nobody", False, False, True),
        (TrialState.PRUNED, None, False, False, False),
        (TrialState.FAIL, "interrupted by Ctrl-C", False, True, False),
        (TrialState.FAIL, "the study was full when it began", False, True, False),
        (TrialState.FAIL, "it was interrupted by", False, False, False),
        (TrialState.FAIL, None, False, False, False),
        (TrialState.RUNNING, "interrupted by Ctrl-C", False, False, False),
    ],
)
def test_what_became_of_a_trial(
    state: TrialState, reason: str | None, trained: bool, back: bool, untrainable: bool
) -> None:
    trial = numbered(0, state, **({"fail_reason": reason} if reason else {}))
    found = is_trained(trial), is_handed_back(trial), is_untrainable(trial)
    assert found == (trained, back, untrainable)


def test_trials_are_ranked_by_error_and_then_by_number() -> None:
    study = study_with(0.4, 0.2, 0.3, 0.2)
    study.add_trial(create_trial(value=0.1, user_attrs={"fail_reason": "diverged"}))
    study.add_trial(create_trial(state=TrialState.PRUNED, value=0.05))
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.ask()
    assert [trial.number for trial in trained_trials(study)] == [1, 3, 2, 0]
    best = best_trial(study)
    assert best is not None
    assert best.number == 1
    assert finished(study) == 6
    assert [trial.number for trial in running(study)] == [7]
    assert best_trial(study_with()) is None


def test_errors_that_are_no_numbers_are_left_out() -> None:
    trial = numbered(0)
    trial.intermediate_values = {2: 0.3, 0: 0.5, 1: math.nan, 3: math.inf}
    assert list(finite_errors(trial).items()) == [(0, 0.5), (2, 0.3)]
    assert lowest_error(trial) == 0.3
    trial.intermediate_values = {0: math.nan}
    assert lowest_error(trial) is None


def test_tries_know_the_first_and_the_next() -> None:
    assert first_try(numbered(4)) == 4
    assert first_try(numbered(4, first_try=0)) == 0
    trials = [numbered(0), numbered(1), numbered(2, retry_of=0), numbered(3, retry_of=0)]
    assert retries([*trials, numbered(4, retry_of=2)]) == {0: 2, 2: 4}


def test_seconds_count_once_where_a_retry_went_on() -> None:
    trials = [
        numbered(0, seconds=3.0),
        numbered(1, seconds=5.0, retry_of=0, resumed_at=0),
        numbered(2, seconds=7.0),
        numbered(3, seconds=2.0, retry_of=2),
        numbered(4),
    ]
    assert seconds_spent(trials) == [0.0, 5.0, 7.0, 2.0, 0.0]


PAIRS = Training(sampling=RandomPairs(pairs=30, copies=2, batch=8))


def test_work_counts_the_epochs_of_a_try_alone() -> None:
    trial = numbered(0, TrialState.COMPLETE, multiply_adds=1000)
    trial.intermediate_values = dict.fromkeys(range(5), 0.5)
    assert multiply_adds_spent(trial, PAIRS) == 5 * 180 * 1000
    trial.user_attrs["resumed_at"] = 2
    assert multiply_adds_spent(trial, PAIRS) == 3 * 180 * 1000
    trial.user_attrs["fail_reason"] = "diverged"  # the last epoch is the mark of that
    assert multiply_adds_spent(trial, PAIRS) == 2 * 180 * 1000
    assert multiply_adds_spent(trial, PAIRS, count_mark=True) == 3 * 180 * 1000
    trial.user_attrs["resumed_at"] = 5
    assert multiply_adds_spent(trial, PAIRS) == 0
    assert multiply_adds_spent(numbered(0), PAIRS) is None


@pytest.mark.parametrize(
    "change",
    [
        {"values": ["much"]},
        {"params": {"kernel": 99}},
        {"params": {"kernel": "3"}},
        {"intermediate_values": {0: "much"}},
        {"system_attrs": {"fixed_params": {"kernel": "3"}}},
        {"system_attrs": {"completed_rung_0": "much"}},
    ],
)
def test_a_trial_that_no_search_wrote_is_named(change: dict[str, object]) -> None:
    trial = create_trial(
        value=0.5,
        params={"kernel": 9},
        distributions={"kernel": IntDistribution(3, 9)},
        intermediate_values={0: 0.5},
        system_attrs={"fixed_params": {"kernel": 3}, "completed_rung_0": 0.5, "more": "text"},
    )
    trial.number = 4
    check_trial(trial)
    for name, value in change.items():
        setattr(trial, name, value)
    with pytest.raises(BrokenStudy, match="trial 4 is not as it was written"):
        check_trial(trial)
