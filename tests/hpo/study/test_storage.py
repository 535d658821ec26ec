import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, create_engine, inspect, text
from sqlalchemy.exc import OperationalError

from hpo.study.patient_storage import PatientStorage
from hpo.study.storage import NoStudy, StorageError, open_storage, shown
from hpo.study.study import load
from hpo.study.trials import finished
from hpo.view.status import StatusReader
from tests.conftest import ordinary_user
from tests.hpo.big_study import big_study
from tests.hpo.fixture_types import Open


def test_another_optunas_database_is_refused(database: str, open_study: Open) -> None:
    engine = open_study().storage.engine
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v99.0.0.a'"))
        connection.execute(text("UPDATE version_info SET schema_version = 99"))
    with pytest.raises(StorageError, match="another version of Optuna"):
        open_storage(database, create=False)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        ("oracle9://x/y", "not a database URL"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", "needs its driver|cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=message) as raised:
        open_storage(url, create=True)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StorageError, match=r"needs its driver: install the extra for it") as raised:
        open_storage("postgresql://me:secret@127.0.0.1:1/x", create=True)
    assert "secret" not in str(raised.value)


def test_a_database_of_something_else_is_not_filled_by_reading(
    tmp_path: Path, database: str
) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE recipes (name TEXT)"))
    with pytest.raises(NoStudy, match="holds no studies yet"):
        open_storage(database, create=False)
    assert inspect(engine).get_table_names() == ["recipes"]


def test_a_file_that_is_no_database(tmp_path: Path, database: str) -> None:
    (tmp_path / "study.db").write_text("not a database, but long enough to look at" * 100)
    with pytest.raises(StorageError, match="cannot be used as a study database"):
        open_storage(database, create=True)


def test_a_read_only_folder(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    with ordinary_user(tmp_path):
        with pytest.raises(StorageError, match="locked is read-only: make it writable, or"):
            open_storage(f"sqlite:///{locked / 'study.db'}", create=True)
        with pytest.raises(StorageError, match=r"cannot be reached or made .* --storage"):
            open_storage("sqlite:////usr/hpo/study.db", create=True)


@pytest.mark.parametrize(
    ("state", "mode"),
    [
        ("clean", 0o444),
        ("clean", 0o666),  # its folder alone is read-only
        ("with its log", 0o444),
        ("with its log", 0o666),
        ("with its log and index", 0o444),
    ],
)
def test_a_study_that_may_not_be_written_is_read(tmp_path: Path, state: str, mode: int) -> None:
    live = tmp_path / "live"
    live.mkdir()
    stored = big_study(f"sqlite:///{live / 'study.db'}", trials=3, epochs=2)
    if state == "clean":
        stored.storage.engine.dispose()
    backup = tmp_path / "back up #1"
    shutil.copytree(live, backup)
    if state == "with its log":
        (backup / "study.db-shm").unlink()
    held = {"study.db", "study.db-wal", "study.db-shm"} - {
        "clean": {"study.db-wal", "study.db-shm"},
        "with its log": {"study.db-shm"},
    }.get(state, set())
    assert {p.name for p in backup.iterdir()} == held
    before = {p: p.read_bytes() for p in backup.iterdir()}
    for path in (*backup.iterdir(), backup):
        path.chmod(0o555 if path == backup else mode)
    url, live_ones = f"sqlite:///{backup / 'study.db'}", stored.study.trials
    with ordinary_user(tmp_path):
        read = load("paper", open_storage(url, create=False, read_only=True))
        assert [t.params for t in read.study.trials] == [t.params for t in live_ones]
        assert StatusReader(read).read().finished == finished(read.study)
        with pytest.raises(StorageError, match="study.db is read-only: make it writable"):
            open_storage(url, create=False)
    assert {p: p.read_bytes() for p in backup.iterdir()} == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="name another place with --storage"):
        open_storage(f"sqlite:///{tmp_path / 'file' / 'sub' / 'study.db'}", create=True)


def test_passwords_are_not_shown() -> None:
    assert shown("postgresql+psycopg://me:secret@host/x") == "postgresql+psycopg://me:***@host/x"


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("user=me&password=secret", "password=***&user=***"),
        ("sslmode=require&ssl_key_password=secret", "ssl_key_password=***&sslmode=require"),
        ("options=secret&options=secret2", "options=***"),
    ],
)
def test_a_password_in_the_query_is_not_shown(query: str, seen: str) -> None:
    told = shown(f"postgresql://host/db?{query}")
    assert told.replace("%2A", "*") == f"postgresql://host/db?{seen}"


@pytest.mark.parametrize(
    "password", ["sec@ret", "se:cr@ret", "12/sec@ret", "sec@12/ret", "sec:ret", "sec/r?et"]
)
@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
def test_a_password_that_is_not_escaped_is_not_shown(backend: str, password: str) -> None:
    url = f"{backend}://me:{password}@127.0.0.1:1/x"
    sentence = "write % as %25, @ as %40" if "@" in password else "cannot be used"
    with pytest.raises(StorageError, match=sentence) as error:
        open_storage(url, create=False)
    for told in (str(error.value), shown(url)):
        assert "sec" not in told
        assert "r?e" not in told
        assert "@ret" not in told
        assert "/ret" not in told


def test_a_password_that_is_escaped_arrives() -> None:
    """As far as a server that is not there: what is wrong with the URL would be said before."""
    with pytest.raises(StorageError, match="cannot be used as a study database") as error:
        open_storage("postgresql://me:a%40b%2Fc%3Ad@127.0.0.1:1/x", create=False, give_up=bool)
    assert "a@b" not in str(error.value)


def test_sqlite_lets_readers_and_a_writer_work_at_once(tmp_path: Path, open_study: Open) -> None:
    open_study()
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.soak
def test_processes_that_make_the_tables_at_once_all_get_them(database: str) -> None:
    code = f"from hpo.study.storage import open_storage; open_storage({database!r}, create=True)"
    racing = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [process.communicate()[1] for process in racing]
    assert [process.returncode for process in racing] == [0] * 4, errors


def test_a_connection_that_is_cut_while_it_is_opened_is_made_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PatientStorage.__init__
    cut = OperationalError("SELECT", {}, Exception("gone"), connection_invalidated=True)
    refused = OperationalError("SELECT", {}, Exception("connection refused"))
    for error, tries in ((cut, 2), (refused, 1)):
        init = Mock(side_effect=[error, None])

        def opened(self: PatientStorage, *given: Any, init: Mock = init, **more: Any) -> None:
            init()
            plain(self, *given, **more)

        monkeypatch.setattr(PatientStorage, "__init__", opened)
        with contextlib.suppress(StorageError):
            open_storage(database, create=True)
        assert init.call_count == tries


PLAIN = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))


@given(
    driver=st.sampled_from(["postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql"]),
    password=st.text(PLAIN, min_size=1, max_size=12).map(lambda some: f"<{some}>"),
    in_query=st.booleans(),
)
def test_no_password_is_ever_shown(driver: str, password: str, in_query: bool) -> None:
    """The brackets tell the password from what else is in the URL."""
    url = URL.create(driver, "me", None if in_query else password, "host", 5, "studies")
    if in_query:
        url = url.update_query_dict({"password": password})
    written = url.render_as_string(hide_password=False)
    said = shown(written)
    assert "***" in unquote(said)
    for form in (password, quote(password), quote_plus(password), quote(password, safe="")):
        assert form not in said
