from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy import text

from hpo.settings import StudySettings
from hpo.study import (
    RETRIES,
    StoredStudy,
    StudyError,
    create_or_resume,
    finished,
    load,
    open_storage,
    owner,
    reclaim,
    shown,
)
from tests.hpo.tiny_study import tiny_settings

Open = Callable[[StudySettings], StoredStudy]


def gone() -> dict[str, object]:
    """The owner of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return {**owner(), "pid": process.pid}


def begin(stored: StoredStudy, holder: dict[str, object]) -> int:
    """A trial that runs in another process."""
    trial = stored.study.ask()
    trial.set_user_attr("owner", holder)
    trial.set_user_attr("seed", 5)
    stored.space.suggest(trial)
    trial.report(0.5, 0)
    return trial.number


def test_a_study_is_made_once_and_resumed(tmp_path: Path, database: str) -> None:
    settings, storage = tiny_settings(tmp_path), open_storage(database, create=True)
    stored, created = create_or_resume("tiny", settings, "f", storage)
    assert created
    again, created = create_or_resume("tiny", settings, "f", open_storage(database, create=True))
    assert not created
    assert again.settings == settings == stored.settings
    assert load("tiny", storage).data_fingerprint == "f"


def test_other_settings_or_data_are_refused_with_the_difference(
    tmp_path: Path, open_study: Open
) -> None:
    storage = open_study(tiny_settings(tmp_path)).storage
    changed = tiny_settings(tmp_path, "training.epochs=9", "search.sampler=gp")
    with pytest.raises(StudyError) as raised:
        create_or_resume("tiny", changed, "strokes-1-0", storage)
    assert "search.sampler: random → gp; " in str(raised.value) or "epochs: 3 → 9; " in str(
        raised.value
    )
    assert "training.epochs: 3 → 9" in str(raised.value)
    with pytest.raises(StudyError, match="data's content: strokes-1-0 → other"):
        create_or_resume("tiny", tiny_settings(tmp_path), "other", storage)


def test_a_study_of_another_format_is_refused(tmp_path: Path, open_study: Open) -> None:
    stored = open_study(tiny_settings(tmp_path))
    stored.study.set_user_attr("format", 99)
    with pytest.raises(StudyError, match="has format 99 where this program reads 1"):
        load("tiny", stored.storage)


def test_a_database_of_another_optuna_is_refused(
    tmp_path: Path, database: str, open_study: Open
) -> None:
    engine = open_study(tiny_settings(tmp_path)).storage.engine
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v99.0.0.a'"))
        connection.execute(text("UPDATE version_info SET schema_version = 99"))
    with pytest.raises(StudyError, match="another version of Optuna"):
        open_storage(database, create=False)


def test_a_study_that_is_not_there(tmp_path: Path, database: str) -> None:
    with pytest.raises(StudyError, match="start one with `hpo run`"):
        open_storage(database, create=False)
    assert not (tmp_path / "study.db").exists()
    storage = open_storage(database, create=True)
    with pytest.raises(StudyError, match="there is no study tiny in sqlite"):
        load("tiny", storage)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        ("oracle9://x/y", "not a database URL"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", "needs its driver|cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used(url: str, message: str) -> None:
    with pytest.raises(StudyError, match=message) as raised:
        open_storage(url, create=True)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_database(tmp_path: Path, database: str) -> None:
    (tmp_path / "study.db").write_text("not a database, but long enough to look at" * 100)
    with pytest.raises(StudyError, match="cannot be used as a study database"):
        open_storage(database, create=True)


def test_a_read_only_folder(tmp_path: Path, without_privileges: None) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StudyError, match="locked is read-only: make it writable, or name another"):
        open_storage(f"sqlite:///{tmp_path / 'locked' / 'study.db'}", create=True)
    (tmp_path / "locked").chmod(0o700)
    with pytest.raises(StudyError, match="cannot be made .* --storage"):
        open_storage("sqlite:////usr/hpo/study.db", create=True)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="name another place with --storage"):
        open_storage(f"sqlite:///{tmp_path / 'file' / 'sub' / 'study.db'}", create=True)


def test_passwords_are_not_shown() -> None:
    assert shown("postgresql+psycopg://me:secret@host/x") == "postgresql+psycopg://me:***@host/x"


def test_sqlite_lets_readers_and_a_writer_work_at_once(tmp_path: Path, open_study: Open) -> None:
    open_study(tiny_settings(tmp_path))
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_trial_whose_process_died_is_queued_with_its_parameters_and_seed(
    tmp_path: Path, open_study: Open
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    number = begin(stored, gone())
    assert reclaim(stored) == 1
    old, new = stored.study.trials
    assert old.state == TrialState.FAIL
    assert old.user_attrs["fail_reason"] == "its process died"
    assert new.state == TrialState.WAITING
    assert new.params == old.params
    assert new.user_attrs == {"seed": 5, "deaths": 1, "retry_of": number}
    assert reclaim(stored) == 0
    assert len(stored.study.trials) == 2
    assert finished(stored.study) == 0


def test_a_reclaim_that_was_cut_short_is_finished_without_a_second_copy(
    tmp_path: Path, open_study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    begin(stored, gone())
    with monkeypatch.context() as patch:
        patch.setattr(stored.study, "tell", lambda *a, **k: (_ for _ in ()).throw(KeyError))
        with pytest.raises(KeyError):
            reclaim(stored)
    assert reclaim(stored) == 0
    assert [t.state for t in stored.study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_trials_of_living_processes_and_other_machines_are_left_alone(
    tmp_path: Path, open_study: Open
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    begin(stored, owner())
    begin(stored, {**gone(), "host": "another"})
    assert reclaim(stored) == 0
    assert [t.state for t in stored.study.trials] == [TrialState.RUNNING] * 2


def test_a_trial_that_kills_its_process_is_not_retried_for_ever(
    tmp_path: Path, open_study: Open
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    begin(stored, gone())
    for _ in range(RETRIES + 2):
        reclaim(stored)
        waiting = [t for t in stored.study.trials if t.state == TrialState.WAITING]
        if not waiting:
            break
        trial = stored.study.ask()
        assert trial.number == waiting[0].number
        trial.set_user_attr("owner", gone())
    assert len(stored.study.trials) == RETRIES + 1
    assert {t.state for t in stored.study.trials} == {TrialState.FAIL}
