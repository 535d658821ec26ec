from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hpo.servers import MariaDB, Postgres, find


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    program = find("pg_ctl", "usr/lib/postgresql/*/bin")
    if program is None:
        pytest.skip("needs PostgreSQL: install the package postgresql")
    server = Postgres(tmp_path_factory.mktemp("postgres"), program)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    install, program = find("mariadb-install-db"), find("mariadbd")
    if install is None or program is None:
        pytest.skip("needs MariaDB: install the package mariadb-server")
    server = MariaDB(tmp_path_factory.mktemp("mariadb"), install, program)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    return str(request.getfixturevalue(request.param).url)
