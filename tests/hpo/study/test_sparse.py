"""What is read of trials in a few queries is what Optuna's own reading gives."""

import math
from datetime import datetime

import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy import text

from hpo.study.checked import BrokenStudy
from hpo.study.sparse import read_params, read_sparsely
from hpo.study.study import StoredStudy
from tests.hpo.big_study import big_study

READ = {"fail_reason", "multiply_adds", "resumed_at", "retry_of", "seconds"}


@pytest.fixture
def both(database: str) -> tuple[StoredStudy, StoredStudy]:
    """Two studies in a database."""
    made = big_study(database, 45, 4, name="one"), big_study(database, 3, 2, name="other")
    made[0].study.ask()
    made[0].study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={"retry_of": 17}))
    return made


def test_trials_are_read_as_far_as_counts_need_them(
    both: tuple[StoredStudy, StoredStudy],
) -> None:
    for stored, count in zip(both, (47, 3), strict=True):
        found = read_sparsely(stored.storage, stored.study._study_id, {})
        whole = stored.study.get_trials()
        assert len(whole) == count
        assert list(found) == [trial._trial_id for trial in whole]
        for sparse, trial in zip(found.values(), whole, strict=True):
            assert (sparse.number, sparse.state, sparse.value) == (
                trial.number,
                trial.state,
                trial.value,
            )
            assert sparse.datetime_complete == trial.datetime_complete
            assert sparse.params == {}
            kept = {name: value for name, value in trial.user_attrs.items() if name in READ}
            assert sparse.user_attrs == kept
            epochs = list(sparse.intermediate_values.items())
            assert [epoch for epoch, _ in epochs] == list(trial.intermediate_values)
            assert all(math.isnan(error) for _, error in epochs)


def test_what_has_ended_is_read_once_and_what_runs_every_time(
    both: tuple[StoredStudy, StoredStudy],
) -> None:
    stored, _ = both
    number = stored.study._study_id
    before = read_sparsely(stored.storage, number, {})
    running, waiting = list(before)[-2:]
    stored.storage.set_trial_user_attr(running, "seconds", 7.5)
    stored.storage.set_trial_intermediate_value(running, 0, 0.5)
    after = read_sparsely(stored.storage, number, before)
    assert list(after) == list(before)
    assert all(after[i] is before[i] for i in before if i not in (running, waiting))
    assert after[running].user_attrs == {"seconds": 7.5}
    assert len(after[running].intermediate_values) == 1
    stored.study.add_trial(create_trial(value=0.5))  # a later one ends before
    known = read_sparsely(stored.storage, number, after)
    stored.storage.set_trial_user_attr(running, "seconds", 9.5)
    assert read_sparsely(stored.storage, number, known)[running].user_attrs == {"seconds": 9.5}
    stored.storage.set_trial_state_values(running, TrialState.COMPLETE, [0.25])
    ended = read_sparsely(stored.storage, number, after)[running]
    assert (ended.state, ended.value) == (TrialState.COMPLETE, 0.25)
    assert isinstance(ended.datetime_complete, datetime)


def test_parameters_are_those_of_the_trials_in_the_order_asked_for(
    both: tuple[StoredStudy, StoredStudy],
) -> None:
    trials = both[0].study.get_trials()
    asked = [trials[n]._trial_id for n in (7, 2, 30)]
    assert read_params(both[0].storage, asked) == [trials[n].params for n in (7, 2, 30)]
    assert read_params(both[0].storage, []) == []


def test_what_is_no_number_is_one_sentence(both: tuple[StoredStudy, StoredStudy]) -> None:
    stored, number = both[0], both[0].study._study_id
    with stored.storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_params SET param_value = 'much'"))
    with pytest.raises(BrokenStudy, match="a parameter of a trial is not as it was written"):
        read_params(stored.storage, [1])
    assert len(read_sparsely(stored.storage, number, {})) == 47
    with stored.storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_values SET value = 'much'"))
    with pytest.raises(BrokenStudy, match="the value of a trial is not as it was written"):
        read_sparsely(stored.storage, number, {})
