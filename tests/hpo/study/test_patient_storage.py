import contextlib
import fcntl
import gc
import os
import weakref
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import text
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError

from hpo.study.patient_storage import PatientStorage, is_away
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy

POSTGRES = "40001", "40P01", "55P03", "57014", "25006"


class Coded(Exception):
    """What the drivers raise, in whatever language the server speaks; only MySQL's has numbers."""

    def __init__(self, state: str, *number: int) -> None:
        super().__init__(*number, "in German")
        self.sqlstate = state


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (OperationalError("SELECT 1", {}, Exception("connection timeout expired")), True),
        (OperationalError("SELECT 1", {}, Exception("(2013, 'Lost connection to server')")), True),
        (OperationalError("SELECT 1", {}, Exception("password authentication failed")), False),
        (ProgrammingError("SELECT 1", {}, Exception("no such column")), False),
        (ValueError("connection refused"), False),
        *((OperationalError("SELECT 1", {}, Coded(code)), True) for code in POSTGRES),
        (InternalError("SELECT 1", {}, Coded("25006")), True),
        (ProgrammingError("SELECT 1", {}, Coded("42P01")), False),
        *(
            (OperationalError("SELECT 1", {}, Exception(n, "in German")), True)
            for n in (1205, 1213)
        ),
    ],
)
def test_a_server_that_is_away_is_told_from_one_that_refuses(error: Exception, away: bool) -> None:
    assert is_away(error) == away
    wrapped = StorageInternalError("commit")
    wrapped.__cause__ = error
    assert is_away(wrapped) == away


AWAY = OperationalError("SELECT 1", {}, Exception("connection refused"))


@pytest.fixture
def long_silent(stored: StoredStudy) -> PatientStorage:
    """A storage with a running trial whose last heartbeat is long ago."""
    stored.study.ask()
    stored.storage.record_heartbeat(1)
    with stored.storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'"))
    assert stored.storage.silent_trial_ids(1) == [1]
    return stored.storage


def test_none_is_dead_where_the_question_itself_met_the_absence(
    long_silent: PatientStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock(side_effect=[AWAY, [1]])
    monkeypatch.setattr(RDBStorage, "_get_stale_trial_ids", asked)
    assert long_silent.silent_trial_ids(1) == []


def test_an_error_keeps_nothing_of_what_its_call_held(stored: StoredStudy) -> None:
    def fails() -> weakref.ref[set[int]]:
        held = set[int]()
        with contextlib.suppress(ZeroDivisionError):
            stored.storage.outlast(lambda _: 1 / 0)
        return weakref.ref(held)

    gc.disable()
    try:
        assert fails()() is None
    finally:
        gc.enable()


def test_none_is_dead_after_an_absence(
    long_silent: PatientStorage, stored: StoredStudy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hpo")
    storage, trial = long_silent, stored.study.trials[0]

    def away_once(number: int) -> None:
        if number == 1:
            raise AWAY
        storage.record_heartbeat(1)

    storage.outlast(away_once)
    said = caplog.messages
    assert [part in said[0] for part in ("is away", "600 s")] == [True, True]
    assert said[1] == "the database is back"
    assert storage.silent_trial_ids(1) == []
    assert trial.number == 0


def test_who_has_no_time_waits_no_longer(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept = Mock()
    monkeypatch.setattr("time.sleep", slept)
    for hurried in ([True], [False, True], [False, False, True]):
        storage = open_storage(database, create=True, give_up=Mock(side_effect=hurried))
        call = Mock(side_effect=[*[AWAY] * len(hurried), "it is back"])
        slept.reset_mock()
        with pytest.raises(OperationalError, match="connection refused"):
            storage.outlast(call)
        assert call.call_count == len(hurried)
        assert slept.call_count == len(hurried) - 1


def test_on_sqlite_one_process_at_a_time_begins_a_trial(
    stored: StoredStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.study.enqueue_trial({"conv1_kernel": 3})
    plain, alone = RDBStorage.set_trial_state_values, list[bool]()

    def is_held() -> bool:
        """Whether another process would have to wait."""
        folder = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(folder)
        return False

    def observed(storage: RDBStorage, trial_id: int, state: TrialState, *values: None) -> bool:
        alone.append(is_held())
        return plain(storage, trial_id, state, *values)

    monkeypatch.setattr(RDBStorage, "set_trial_state_values", observed)
    assert stored.storage.set_trial_state_values(1, TrialState.RUNNING)
    assert not is_held()
    stored.storage.set_trial_state_values(1, TrialState.FAIL)
    assert alone == [True, False]


def test_a_heartbeat_that_cannot_be_written_is_left_out(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial_id = stored.study.ask()._trial_id
    full = StorageInternalError("commit")
    full.__cause__ = OperationalError("UPDATE", {}, Exception("database or disk is full"))
    with monkeypatch.context() as patch:
        patch.setattr(RDBStorage, "record_heartbeat", Mock(side_effect=full))
        stored.storage.record_heartbeat(trial_id)
    stored.storage.record_heartbeat(trial_id)
    with stored.storage.engine.connect() as connection:
        assert connection.execute(text("SELECT trial_id FROM trial_heartbeats")).all() == [
            (trial_id,)
        ]


def test_an_end_that_arrived_without_an_answer_is_no_error_and_no_other_end(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RDBStorage.set_trial_state_values
    answers = iter([False, True, True, False, True])

    def answered(storage: RDBStorage, *given: Any) -> bool:
        done = plain(storage, *given)
        if not next(answers):
            raise AWAY
        return done

    monkeypatch.setattr("time.sleep", Mock())
    monkeypatch.setattr(RDBStorage, "set_trial_state_values", answered)
    stored.study.tell(stored.study.ask(), 0.25)
    assert stored.study.trials[0].value == 0.25
    with pytest.raises(UpdateFinishedTrialError):
        stored.storage.set_trial_state_values(1, TrialState.COMPLETE, [0.25])


def test_an_end_that_another_process_wrote_meanwhile_is_not_taken_for_ones_own(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RDBStorage.set_trial_state_values

    def ended_elsewhere(storage: RDBStorage, number: int, state: TrialState, _: Any) -> bool:
        plain(storage, number, state, [0.5])
        monkeypatch.setattr(RDBStorage, "set_trial_state_values", plain)
        raise AWAY

    trial = stored.study.ask()
    monkeypatch.setattr("time.sleep", Mock())
    monkeypatch.setattr(RDBStorage, "set_trial_state_values", ended_elsewhere)
    with pytest.raises(UpdateFinishedTrialError):
        stored.storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.25])
    assert stored.study.trials[0].value == 0.5
