from unittest.mock import Mock

import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from hpo.study import sparse
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, load
from hpo.view import status
from hpo.view.status import StatusReader, as_json
from tests.hpo.big_study import big_study
from tests.hpo.made_up import check_standing


def test_the_standing_is_what_the_trials_say(database: str) -> None:
    stored = big_study(database, trials=60, epochs=3)
    stored.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"retry_of": 3}))
    stored.study.add_trial(create_trial(state=TrialState.WAITING))
    stored.study.ask()
    other = big_study(database, trials=5, epochs=3, name="other")  # in the same database
    for one in (stored, other):
        check_standing(one)
    figures = as_json(stored, StatusReader(stored).read())
    assert figures["retried"] == 1
    assert [one["errors"] for one in figures["running"]] == [[]]


def test_a_network_that_could_not_train_never_leads(stored: StoredStudy) -> None:
    for _ in range(2):
        stored.study.add_trial(create_trial(value=1.0, user_attrs={"fail_reason": "diverged"}))
    reader = StatusReader(stored)
    now = reader.read()
    assert (now.finished, now.untrainable, now.leaders, now.best) == (2, 2, [], None)
    stored.study.add_trial(create_trial(value=1.0))
    assert [trial.number for trial in reader.read().leaders] == [2]


def test_what_ended_since_is_seen(database: str) -> None:
    stored = big_study(database, trials=12, epochs=3)
    reader = StatusReader(stored)
    before = reader.read()
    elsewhere = load("paper", open_storage(database, create=False)).study
    assert before.best is not None
    assert before.best.value is not None
    elsewhere.add_trial(
        create_trial(value=before.best.value / 2, user_attrs={"best_epoch": 0, "seconds": 1.0})
    )
    after = reader.read()
    assert after.finished == before.finished + 1
    assert after.best is not None
    assert after.best.number == 12


def test_a_database_that_is_away_is_waited_for(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = StatusReader(big_study(database, trials=2, epochs=1))
    away = OperationalError("SELECT", {}, Exception("connection refused"))
    plain = sparse.read_sparsely
    found = Mock(side_effect=[away, plain])
    monkeypatch.setattr(status, "read_sparsely", lambda *given: found()(*given))
    assert reader.read().finished == 2
    assert found.call_count == 2
