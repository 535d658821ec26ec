"""The SQL database of a study: connect to it, and say what is wrong with it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from optuna.exceptions import StorageInternalError
from sqlalchemy import URL, create_engine, event, inspect, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from data.errors import UserError
from hpo.study.patient_storage import PatientStorage
from hpo.study.retry import GRACE

HEARTBEAT = 60  # seconds between two heartbeats of a running trial
CONNECTING = 10  # seconds to wait for a server to answer
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
HARMLESS = {"charset", "connect_timeout", "mode", "sslmode", "timeout", "uri"}
"""Keys of a URL's query whose values may be shown."""
SQLITE_TIMEOUT = 60  # seconds to wait for another process's write


class StorageError(UserError):
    """A database that is absent, no database, or out of reach. One sentence with the way out."""


def shown(url: str) -> str:
    """A storage URL without its password, wherever in it that stands."""
    try:
        parsed = _parsed(url)
    except (ArgumentError, StorageError):
        return "the storage"
    query = {key: value if key in HARMLESS else "***" for key, value in parsed.query.items()}
    return parsed.set(query=query).render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    """The parts of a storage URL.

    Raises:
        ArgumentError: it is none.
        StorageError: a character of the password is taken for one between two parts.
    """
    try:
        parsed = make_url(url)
        server = parsed.get_backend_name() != "sqlite"
        mistaken = server and "@" in f"{parsed.host}{parsed.database}"
    except ValueError:  # what follows a colon is no port; the message would quote it
        mistaken = True
    if mistaken:
        raise StorageError(
            "the storage URL cannot be taken apart: in its user name and password write "
            "% as %25, @ as %40, : as %3A and / as %2F"
        )
    return parsed


class NoStudy(StorageError):
    """A study that is not in its storage, or a storage that is not there."""

    advice = "start one with `hpo run`"


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what a database can raise while it is used into a `StorageError`."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        inner = error.__cause__ if isinstance(error, StorageInternalError) else error
        cause = str(getattr(inner, "orig", None) or inner or error).splitlines()[0]
        raise StorageError(
            f"{shown(url)} cannot be used as a study database ({cause}): check that it is one, "
            "and that it can be reached and written; what it holds is kept"
        ) from error


@contextmanager
def _opening_errors(url: str) -> Iterator[None]:
    try:
        yield
    except (ArgumentError, NoSuchModuleError) as error:
        raise StorageError(
            "the storage is not a database URL that is supported: write it as "
            "sqlite:///FILE, postgresql://USER@HOST/NAME or mysql://USER@HOST/NAME"
        ) from error
    except ImportError as error:
        raise StorageError(
            f"{shown(url)} needs its driver: install the extra for it, as in "
            "pip install 'hpo-siamese[postgres]' or 'hpo-siamese[mysql]'"
        ) from error
    except RuntimeError as error:
        if isinstance(error, StorageInternalError) or "version" not in str(error):
            raise
        raise StorageError(
            f"{shown(url)} was made by another version of Optuna ({error}): use that version, or "
            "another storage"
        ) from error


def open_storage(
    url: str,
    create: bool,
    give_up: Callable[[], bool] = lambda: False,
    read_only: bool = False,
) -> PatientStorage:
    """Connect to a database.

    Args:
        url: as SQLAlchemy takes it; PostgreSQL and MySQL need not name their driver.
        create: whether the tables are made if they are absent, and a SQLite file with its folder.
        give_up: says when a database that is away is waited for no longer.
        read_only: whether a SQLite file that may not be written will do; nothing is then written.

    Raises:
        NoStudy: it is not there, and is not to be made.
        StorageError: it cannot be reached, read or written.
    """
    with storage_errors(url), _opening_errors(url):
        parsed = _parsed(url)
        backend = parsed.get_backend_name()
        if parsed.drivername in DRIVERS:
            parsed = parsed.set(drivername=DRIVERS[parsed.drivername])
        arguments: dict[str, Any]
        copied, locked = None, False
        if backend == "sqlite":
            _prepare_file(parsed.database, create, read_only)
            locked = read_only and _is_locked_up(parsed.database)
            if locked:
                parsed, copied = _for_reading(parsed)
            arguments = {"connect_args": {"timeout": SQLITE_TIMEOUT}}
        else:
            arguments = {"connect_args": {"connect_timeout": CONNECTING}, "pool_pre_ping": True}
        full = parsed.render_as_string(hide_password=False)

        def connected() -> PatientStorage:
            if not create:
                _check_tables(full, arguments)
            return PatientStorage(
                full,
                give_up,
                engine_kwargs=arguments,
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
            )

        storage = Retrying(
            retry=retry_if_exception(_is_worth_another_try),
            stop=stop_after_attempt(4),
            wait=wait_exponential(0.5),
            reraise=True,
        )(connected)
        storage.copied = copied
        if backend == "sqlite" and not locked:
            event.listen(storage.engine, "connect", _write_ahead)
            storage.engine.dispose()
        return storage


def _is_worth_another_try(error: BaseException) -> bool:
    """Whether another process makes the same tables at the moment, or a connection was cut."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, IntegrityError):
        return True
    if isinstance(cause, DBAPIError) and cause.connection_invalidated:
        return True
    return isinstance(cause, SQLAlchemyError) and "already exists" in str(cause)


def _check_tables(url: str, arguments: dict[str, Any]) -> None:
    """Find out whether a database holds studies at all: Optuna would make the tables."""
    engine = create_engine(url, **arguments)
    try:
        found = inspect(engine).has_table("studies")
    finally:
        engine.dispose()
    if not found:
        raise NoStudy(f"{shown(url)} holds no studies yet")


def _is_locked_up(database: str | None) -> bool:
    """Whether a SQLite file is read-only, or its folder, where SQLite keeps what comes next."""
    if not database or database == ":memory:":
        return False
    return not (_writable(Path(database)) and _writable(Path(database).parent))


def _for_reading(parsed: URL) -> tuple[URL, TemporaryDirectory[str] | None]:
    """The URL by which a SQLite file that may not be written can be read; and a copy, if one is.

    SQLite reads what is not in the file yet from two others beside it. Where both are, a process
    works with them. Where none is, all is in the file. Where one is missing, SQLite would have to
    make it, so it does that for a copy.
    """
    file = Path(parsed.database or "")
    log, index = (file.with_name(f"{file.name}-{end}") for end in ("wal", "shm"))
    if log.exists() and index.exists():
        return parsed, None
    if not log.exists():
        uri = f"file:{quote(str(file.absolute()))}"
        return parsed.set(database=uri, query={"immutable": "1", "uri": "true"}), None
    copied = TemporaryDirectory()
    for one in (file, log):
        shutil.copyfile(one, Path(copied.name) / one.name)
    return parsed.set(database=str(Path(copied.name) / file.name)), copied


def _prepare_file(database: str | None, create: bool, read_only: bool) -> None:
    if not database or database == ":memory:":
        return
    file = Path(database)
    try:
        exists = file.exists()
        if create:
            file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{file} cannot be reached or made ({error.strerror}): name another place with "
            "--storage"
        ) from error
    if not exists and not create:
        raise NoStudy(f"there is no study in {file}")
    place = file if exists else file.parent
    if not read_only and not (_writable(place) and _writable(file.parent)):
        raise StorageError(
            f"{place} is read-only: make it writable, or name another place with --storage"
        )


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _write_ahead(connection: Any, _record: Any) -> None:
    """Let readers and a writer work at once, and make a commit cost one flush."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
