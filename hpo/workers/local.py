"""Several workers on one machine: started, watched over, replaced when they die."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch

from data.errors import UserError
from hpo.search.loop import DeviceFailure, MachineFailure
from hpo.search.objective import NEWS
from hpo.search.observer import Observer
from hpo.search.overrun import BudgetWatch
from hpo.search.stopping import Stop
from hpo.study.limits import reached
from hpo.study.study import StoredStudy
from hpo.study.trials import finished
from hpo.view.log import log_to_stderr, silence_optuna
from hpo.workers.worker import Work, work
from model.fast.heap import keep_freed
from model.history import Interrupted

LOOK = 0.5
"""Seconds between two looks at the study."""
DEATHS = 5
"""How often a worker may die, on average over the workers, without any trial being finished."""
SUPERVISOR_GRACE = 9.5
"""Seconds after SIGTERM until workers are killed: a little longer than they take themselves."""
FAILED, REPLACE = 3, 4
"""Exit statuses of a worker that told what went wrong: a person has to see to it, or a new process
can go on."""

logger = logging.getLogger(__name__)


def devices(chosen: torch.device, workers: int) -> list[str]:
    """A device for each worker: all GPUs in turn, unless one was named."""
    if chosen.type != "cuda" or chosen.index is not None:
        return [str(chosen)] * workers
    return [f"cuda:{i % torch.cuda.device_count()}" for i in range(workers)]


def cores_for(workers: int) -> int:
    """Cores for each worker: more threads together than there are cores slow all down."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (own or 1) // workers)


class Workers:
    """The processes of one search on this machine."""

    def __init__(self, jobs: Sequence[Work]) -> None:
        """Prepare a process for each job."""
        self._jobs = jobs
        # Neither fork, which breaks threads and CUDA, nor spawn, which imports PyTorch again.
        self._context = multiprocessing.get_context("forkserver")
        # The last is what an optimizer's first step would import, in every worker for seconds.
        self._context.set_forkserver_preload(
            ["hpo.workers.forkserver", "hpo.workers.local", "torch._dynamo"]
        )
        self._processes: dict[int, BaseProcess] = {}

    def run(self, stored: StoredStudy, timeout: float | None, observer: Observer) -> str | None:
        """Keep the workers going until the study is full or its budget spent.

        Returns:
            Why it ended before its time, or None.

        Raises:
            MachineFailure: workers die again and again, or tell of a failure of the machine.
        """
        study, seen = stored.study, Seen(stored, observer)
        stop = Stop(timeout, SUPERVISOR_GRACE)
        deaths, before = 0, finished(study)
        with stop.on_signals():
            try:
                _start_forkserver()
                for slot in range(len(self._jobs)):
                    self._start(slot)
                while self._processes:
                    stop.check()
                    wait([p.sentinel for p in self._processes.values()], timeout=LOOK)
                    seen.look()
                    for slot, code in self._dead():
                        stop.check()
                        if code == 0 and reached(stored):
                            continue
                        if code == FAILED:
                            raise MachineFailure(
                                "a worker gave up, as it said above: see to it, then type the "
                                "same line"
                            )
                        deaths = deaths + 1 if finished(study) == before else 1
                        before = finished(study)
                        if deaths > DEATHS * len(self._jobs):
                            raise MachineFailure(
                                f"workers died {deaths} times without a trial being finished "
                                f"(the last with status {code}): see to the machine, then type "
                                "the same line"
                            )
                        logger.info("worker %d died with status %s and is replaced", slot, code)
                        self._start(slot)
            except (Interrupted, KeyboardInterrupt):
                return stop.reason or "Ctrl-C"
            finally:
                self._stop()
                seen.look()
        return None

    def _start(self, slot: int) -> None:
        process = self._context.Process(target=_main, args=(self._jobs[slot],), daemon=True)
        process.start()
        self._processes[slot] = process

    def _dead(self) -> list[tuple[int, int | None]]:
        """Slot and exit status of the processes that have ended, each told once."""
        ended = [(slot, p.exitcode) for slot, p in self._processes.items() if not p.is_alive()]
        for slot, _ in ended:
            self._processes.pop(slot).join()
        return ended

    def _stop(self) -> None:
        """Let every worker hand its trial back; a second signal meanwhile ends them at once.

        They are told again and again: one that is only just begun passes over the first time.
        """
        processes = list(self._processes.values())
        try:
            while living := [process for process in processes if process.is_alive()]:
                for process in living:
                    process.terminate()
                wait([process.sentinel for process in living], timeout=LOOK)
        except KeyboardInterrupt:
            for process in processes:
                process.kill()
                process.join()
        self._processes.clear()


def go_on_in_a_process_of_its_own(
    error: DeviceFailure, job: Work, stored: StoredStudy, stop: Stop, observer: Observer
) -> str | None:
    """Search on in another process after a GPU has failed under this one, as `Workers.run` does."""
    logger.warning("%s", error.sentence)
    logger.info("the search goes on in another process")
    return Workers([job]).run(stored, stop.left(), observer)


class Seen:
    """Tells an observer of the trials that end in a study, and of its budget."""

    def __init__(self, stored: StoredStudy, observer: Observer) -> None:
        self._study, self._observer = stored.study, observer
        self._budget, self._looked = BudgetWatch(stored, observer), time.monotonic()
        ended = [t for t in self._study.get_trials(deepcopy=False) if t.state.is_finished()]
        self._told = {trial.number for trial in ended}

    def look(self) -> None:
        """Read the study, and tell."""
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.is_finished() and trial.number not in self._told:
                self._told.add(trial.number)
                self._observer.trial_finished(trial)
        if time.monotonic() - self._looked > NEWS:
            self._looked = time.monotonic()
            self._budget.look()


def _start_forkserver() -> None:
    """Start what workers are forked from; a Ctrl-C is for this process alone, so it is blocked."""
    resource_tracker.ensure_running()  # which it starts first, and which unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _main(job: Work) -> None:
    """A worker process: it obeys its supervisor, not the terminal, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow_parent, daemon=True).start()
    log_to_stderr()
    silence_optuna()
    keep_freed()
    try:
        work(job)
    except DeviceFailure as error:
        logger.warning("worker %d: %s", os.getpid(), error.sentence)
        sys.exit(REPLACE)
    except UserError as error:
        logger.error("worker %d: %s", os.getpid(), error.sentence)
        sys.exit(FAILED)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
