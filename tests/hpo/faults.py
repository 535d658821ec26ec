"""Faults of every kind that may befall a search, and searches that go on in spite of them."""

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from optuna.trial import TrialState
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from hpo.study.study import StoredStudy
from hpo.study.trials import record
from tests.hpo.processes import begin, some
from tests.hpo.servers import Server

Fault = Callable[[], None]
NOBODY = 2**22 + 1  # a number that no process has
SILENCE = 330  # seconds after which a suspended process counts as dead
SIZE = "96m"  # of the disk that is filled up

HELD = "SELECT * FROM trials FOR UPDATE"
LOCKS = {"sqlite": "UPDATE trials SET number = number", "postgresql": HELD, "mysql": HELD}
"""What another process holds for a while."""
CONNECTIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity "
    "WHERE usename = current_user AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE id <> connection_id()",
}
CUT = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}

FULL = r"No space left|disk is full|disk I/O error|unable to open database"
AWAY = r"refused|starting up|shutting down|closed the connection|Lost connection"
"""What a search may say that ended with status 2: the disk was full, or the database was away at
the very beginning, where a wrong URL would look the same."""


class Search:
    """A command line that a person types again whenever it has ended before its time."""

    def __init__(self, folder: Path, line: str, log: TextIO) -> None:
        self._folder, self._line, self._log = folder, line, log
        self._process = begin(folder, line, log)
        self._read = 0

    @property
    def pid(self) -> int | None:
        """Of its process, while that lives."""
        return None if self._process.poll() is not None else self._process.pid

    def ended(self, again: bool = True) -> bool:
        """Whether it has ended well.

        If it was killed, or ended by a full disk, it begins again; if not ``again``, that is its
        end too.
        """
        code = self._process.poll()
        if code is None:
            return False
        said = Path(self._log.name).read_text()[self._read :]
        assert "Traceback" not in said, said
        if code == 0:
            return True
        known = FULL if "workers  " in said else f"{FULL}|{AWAY}"
        ended = code == 2 and re.search(known, said)
        assert code == -signal.SIGKILL or ended, (code, said[-3000:])
        self._read += len(said)
        if not again:
            return True
        self._process = begin(self._folder, self._line, self._log)
        return False

    def kill(self) -> None:
        """End it for good."""
        self._process.kill()
        self._process.wait()


class Faults:
    """The faults that can befall searches of one study, two at once.

    Attributes:
        happened: how often each has, by its name.
    """

    def __init__(
        self,
        stored: StoredStudy,
        searches: list[Search],
        server: Server | None,
        disk: Path | None,
        chance: random.Random,
        long: bool,
    ) -> None:
        """Prepare.

        Args:
            stored: the study, opened for this alone.
            searches: that may be killed.
            server: of the database, if it has one.
            disk: a small one that holds the results, if there is one.
            chance: decides what happens when, and to whom.
            long: whether a worker is suspended for so long that its trial is taken away.
        """
        self._long = long
        self._stored, self._searches, self._server = stored, searches, server
        self._disk, self._chance = disk, chance
        engine = stored.storage.engine
        self._dialect, self._engine = engine.dialect.name, create_engine(engine.url)
        kinds = [self.kill_a_worker, self.stop_a_worker, self.kill_a_search, self.hold_a_lock]
        kinds += [self.cut_the_connections, self.restart_the_database] if server else []
        kinds += [self.fill_the_disk] if disk else []
        self._kinds: list[Fault] = kinds
        self._left: list[Fault] = []
        self._pool, self._going_on = ThreadPoolExecutor(2), dict[str, Future[None]]()
        self.happened: dict[str, int] = {kind.__name__: 0 for kind in kinds}

    def next(self) -> None:
        """Let the next fault happen, unless two go on; each kind comes once before any comes again.

        One that the database was not there for is not counted.
        """
        self._end(lambda future: future.done())
        if not self._left:
            self._left = self._chance.sample(self._kinds, len(self._kinds))
        if self._long and some(self._stored, TrialState.RUNNING):
            self._left.append(self.stop_a_worker_for_long)
            self._long = False
        if len(self._going_on) < 2 and self._left[-1].__name__ not in self._going_on:
            fault = self._left.pop()
            self._going_on[fault.__name__] = self._pool.submit(fault)

    def end(self) -> None:
        """Wait until no fault goes on."""
        self._end(lambda _: True)

    def _end(self, is_over: Callable[[Future[None]], bool]) -> None:
        for name, future in list(self._going_on.items()):
            if is_over(future):
                del self._going_on[name]
                with suppress(SQLAlchemyError):
                    future.result()
                    self.happened[name] = self.happened.get(name, 0) + 1

    def kill_a_worker(self) -> None:
        """Kill the process of a trial that runs."""
        with suppress(ProcessLookupError):
            os.kill(self._victim(), signal.SIGKILL)

    def stop_a_worker(self) -> None:
        """Suspend one for a while."""
        self._suspend(self._chance.uniform(1, 8))

    def stop_a_worker_for_long(self) -> None:
        """Suspend one until its trial has been given to another."""
        self._suspend(SILENCE)

    def _suspend(self, seconds: float) -> None:
        victim = self._victim()
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(victim, signal.SIGCONT)

    def kill_a_search(self) -> None:
        """Kill the command itself."""
        pid = self._chance.choice(self._searches).pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def hold_a_lock(self) -> None:
        """Hold all trials locked for a while."""
        with self._engine.connect() as connection:
            connection.execute(text(LOCKS[self._dialect]))
            time.sleep(self._chance.uniform(0.5, 5))
            connection.rollback()

    def cut_the_connections(self) -> None:
        """Have the server end every connection but this one."""
        with self._engine.connect() as connection:
            for one in connection.execute(text(CONNECTIONS[self._dialect])).scalars().all():
                with suppress(Exception):  # it is gone already
                    connection.execute(text(CUT[self._dialect].format(int(one))))

    def restart_the_database(self) -> None:
        """Crash the server, and start it after a while."""
        assert self._server
        self._engine.dispose()
        self._server.stop()
        time.sleep(self._chance.uniform(0, 5))
        self._server.start()

    def fill_the_disk(self) -> None:
        """Leave no space for a while."""
        assert self._disk
        ballast = self._disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))
        time.sleep(self._chance.uniform(2, 5))
        ballast.unlink()

    def _victim(self) -> int:
        """The process of some running trial, or nobody's number."""
        owners = [record(t).owner for t in some(self._stored, TrialState.RUNNING)]
        pids = sorted({int(owner["pid"]) for owner in owners if owner})
        return self._chance.choice(pids or [NOBODY])


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk of its own at this folder, which is soon full; None where none may be mounted."""
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(line, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
