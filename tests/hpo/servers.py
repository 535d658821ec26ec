"""Real database servers for the tests, each in a folder of its own, on a free port."""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine, create_engine

from tests.hpo.processes import wait_until

PASSWORD = "geheim-7"


def free_port() -> int:
    """A port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find(program: str, *folders: str) -> str | None:
    """The path of a server's program, also where distributions hide it."""
    places = [str(p) for pattern in folders for p in sorted(Path("/").glob(pattern))]
    return shutil.which(program, path=os.pathsep.join([*places, os.environ["PATH"], "/usr/sbin"]))


class Server:
    """A server with a database ``hpo``, a user ``hpo`` and its `PASSWORD`.

    Attributes:
        url: of the database, the password included.
    """

    url: str

    def start(self) -> None:
        """Start it, or start it again."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it at once, as a crash would."""
        raise NotImplementedError

    def __init__(self, folder: Path, user: str) -> None:
        self.folder, self.port = folder, free_port()
        # Servers refuse to run as root; there they run as their package's user.
        self._user = user if os.geteuid() == 0 else getpass.getuser()
        if os.geteuid() == 0:
            owner = pwd.getpwnam(user)
            folder.chmod(0o700)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            for parent in list(folder.parents)[:-1]:
                parent.chmod(parent.stat().st_mode | 0o011)

    def admin(self) -> Engine:
        """A connection of one who may make other users."""
        raise NotImplementedError

    def as_user(self, command: Sequence[str]) -> list[str]:
        """The command as the server's user."""
        if os.geteuid() == 0:
            return ["setpriv", f"--reuid={self._user}", "--init-groups", *command]
        return list(command)

    def do(self, *command: str, text: str | None = None) -> None:
        """Run a command to its end."""
        done = subprocess.run(
            self.as_user(command),
            input=text,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def wait(self) -> None:
        """Wait until the port answers."""

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(answers)


class Postgres(Server):
    """PostgreSQL."""

    def __init__(self, folder: Path, pg_ctl: str) -> None:
        super().__init__(folder, "postgres")
        self._bin, self._data = Path(pg_ctl).parent, folder / "data"
        self.url = f"postgresql://hpo:{PASSWORD}@127.0.0.1:{self.port}/hpo"
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self.do(
            str(self._bin / "initdb"),
            *("-D", str(self._data), "-U", "hpo", "-A", "scram-sha-256"),
            f"--pwfile={secret}",
            "--no-sync",
        )
        self.start()
        self.do(
            "env",
            f"PGPASSWORD={PASSWORD}",
            str(self._bin / "createdb"),
            *("-h", "127.0.0.1", "-p", str(self.port), "-U", "hpo", "hpo"),
        )

    def start(self) -> None:
        """Start it, or start it again."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -F"
        log = str(self.folder / "log")
        self._ctl("-l", log, "-o", options, "-w", "start")
        self.wait()

    def stop(self) -> None:
        """Stop it at once, as a crash would."""
        self._ctl("-m", "immediate", "stop")

    def admin(self) -> Engine:
        """As the user ``hpo``, whom the server was made for."""
        return create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"))

    def _ctl(self, *what: str) -> None:
        self.do(str(self._bin / "pg_ctl"), "-D", str(self._data), *what)


class MariaDB(Server):
    """MariaDB, which speaks MySQL's language."""

    def __init__(self, folder: Path, install: str, server: str) -> None:
        super().__init__(folder, "mysql")
        self.url = f"mysql://hpo:{PASSWORD}@127.0.0.1:{self.port}/hpo"
        data = str(folder / "data")
        as_root = "--auth-root-authentication-method=normal"
        self.do(install, "--no-defaults", f"--datadir={data}", as_root)
        first = folder / "first.sql"
        first.write_text(
            "CREATE DATABASE hpo;\n"
            f"CREATE USER hpo@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON hpo.* TO hpo@'127.0.0.1';\n"
        )
        first.chmod(0o644)
        self._line = [
            server,
            "--no-defaults",
            f"--datadir={data}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={folder / 's'}",
            "--skip-name-resolve",
        ]
        self._launch(f"--init-file={first}")

    def admin(self) -> Engine:
        """As root."""
        url = self.url.replace(f"hpo:{PASSWORD}", "root").replace("mysql:", "mysql+pymysql:")
        return create_engine(url)

    def start(self) -> None:
        """Start it again."""
        self._launch()

    def _launch(self, *more: str) -> None:
        with (self.folder / "log").open("a") as log:
            line = self.as_user([*self._line, *more])
            self._process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=log)
        self.wait()

    def stop(self) -> None:
        """Kill it, as a crash would."""
        self._process.kill()
        self._process.wait()
