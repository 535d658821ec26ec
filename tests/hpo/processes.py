"""Command lines in processes of their own, killed, and the studies that they leave."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from optuna.trial import FrozenTrial, TrialState

from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, load
from hpo.study.trials import FINISHED


def begin(
    folder: Path, line: str, log: IO[str] | None = None, own_group: bool = False
) -> subprocess.Popen[str]:
    """A command line in a process of its own; what it says is in its stdout, or in ``log``.

    In a group of its own, it and all that it starts can be sent a signal, as a terminal does.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "hpo", *line.split()],
        cwd=folder,
        stdout=log or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=own_group,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HPO_CACHE": str(folder / "cache")},
    )


def opened(url: str, name: str, timeout: float = 60) -> StoredStudy:
    """The study, once another process has made it."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return load(name, open_storage(url, create=False))
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def check_whole(stored: StoredStudy, trials: int) -> None:
    """See that this many trials are finished, each with all of its epochs, and none still runs."""
    every = stored.study.get_trials(deepcopy=False)
    finished = [t for t in every if t.state in FINISHED]
    assert len(finished) == trials
    assert not [t.number for t in every if t.state == TrialState.RUNNING]
    for trial in finished:
        steps = sorted(trial.intermediate_values)
        assert steps == list(range(len(steps)))
        if trial.state == TrialState.COMPLETE and "fail_reason" not in trial.user_attrs:
            assert len(steps) == stored.settings.training.epochs
            assert trial.value == min(trial.intermediate_values.values())
    tried = [tuple(sorted(t.params.items())) for t in finished]
    assert len(set(tried)) == len(tried)


@contextmanager
def killing(stored: StoredStudy, seed: int, every: float) -> Iterator[list[int]]:
    """Kill the process of a random running trial again and again, as long as the block runs.

    Between two kills a trial has to end, so that a slow machine gets on as well.
    """
    chance, killed, over, before = random.Random(seed), list[int](), threading.Event(), -1

    def kill() -> None:
        nonlocal before
        while not over.wait(every * chance.uniform(0.5, 1.5)):
            ended = len(stored.study.get_trials(deepcopy=False, states=FINISHED))
            if ended == before:
                continue
            before = ended
            running = stored.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            pids = sorted(
                {t.user_attrs["owner"]["pid"] for t in running if "owner" in t.user_attrs}
            )
            if pids:
                victim = chance.choice(pids)
                try:
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)
                except ProcessLookupError:
                    pass

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def wait_until(happened: Callable[[], object], timeout: float = 120) -> None:
    """Wait for something to happen in another process."""
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)


def some(stored: StoredStudy, *states: TrialState) -> list[FrozenTrial]:
    """The trials of these states, as the database has them now."""
    return stored.study.get_trials(deepcopy=False, states=states or None)
