"""The search itself: trial after trial until the study holds as many as are wanted."""

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import suppress

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial

from data.errors import UserError, in_a_line
from hpo.search.objective import Objective
from hpo.search.observer import Observer
from hpo.search.overrun import OverBudget
from hpo.search.pruners import make_pruner
from hpo.search.sampler import make_sampler
from hpo.search.stopping import Stop
from hpo.study.limits import has_place, may_begin, reached
from hpo.study.retry import (
    RETRIES,
    is_given_up,
    is_lost_at,
    is_second_copy,
    reclaim,
    retry_later,
)
from hpo.study.study import StoredStudy
from hpo.study.trials import FINISHED, INTERRUPTED, SURPLUS, Record, record, running
from model.fast.heap import spare_the_living
from model.history import Interrupted

WAITING = 0.5
"""Seconds between two looks at a study whose last trials run elsewhere."""
QUIET = 10.0
"""Seconds that a process waits for the trials of others without a word."""
FAILURES = 5
"""Trials in a row that may fail, none finished between them, until the search ends."""

NOT_OF_THE_TRIAL = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EIO,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
}
"""A full, broken, read-only or forbidden disk: any other trial would have met it too."""

logger = logging.getLogger(__name__)


class MachineFailure(UserError):
    """A disk or a device that failed under a trial, or trials that fail one after the other."""


class DeviceFailure(MachineFailure):
    """A GPU that answers this process no more; another process may go on with it."""


class _Failed(Exception):
    """A trial that could not be trained here, the safe way neither."""


class _Surplus(Exception):
    """A trial that began at the same moment as another one for the last place."""


class _SecondCopy(Exception):
    """A retry of a trial that another trial is the retry of."""


def search(stored: StoredStudy, objective: Objective, stop: Stop, observer: Observer) -> str | None:
    """Run trials until the study holds as many finished ones as are wanted, or its budget is spent.

    The process is meant to do nothing else from here on: what lives now is not collected.
    Other processes may do the same at once. A trial is begun only where finished and running
    trials leave a place, so the study ends with exactly as many as are wanted. No trial is begun
    once the budget is used up; those that run go on until it is overdrawn, and are then handed
    back. A worker without a place waits, and takes over if another's trial is lost.

    Args:
        stored: the study.
        objective: runs a trial, and checks ``stop`` after every step.
        stop: ends the search; the running trial is then enqueued again.
        observer: is told of every trial that ends.

    Returns:
        Why it ended before its time, or None.

    Raises:
        DeviceFailure: the trial is handed back, and a new process has to go on.
        MachineFailure: the trial is handed back, and somebody has to see to the machine.
    """
    study, storage = stored.study, stored.storage
    study.sampler, study.pruner = make_sampler(stored), make_pruner(stored.settings)
    study_id = storage.get_study_id_from_name(study.study_name)
    lost: list[StorageInternalError] = []
    failures, waiting = list[str](), _Waiting(study)
    spare_the_living()

    def attempt(trial: optuna.Trial) -> float:
        try:
            # A trial that has no heartbeat would never be missed.
            storage.record_heartbeat(
                storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            )
            if is_second_copy(study, trial):
                Record(fail_reason="another retry of the same trial was first").write(trial)
                raise _SecondCopy
            if not may_begin(stored, trial):
                raise _Surplus
            return objective(trial)
        except _Surplus:
            retry_later(trial, SURPLUS, counted=False)
            raise
        except (Interrupted, KeyboardInterrupt) as error:
            by = str(error) or stop.reason or "Ctrl-C"
            retry_later(trial, f"{INTERRUPTED}{by}", counted=False)
            raise
        except StorageInternalError as error:
            lost.append(error)
            raise
        except (OSError, torch.AcceleratorError) as error:
            device, reason = isinstance(error, torch.AcceleratorError), in_a_line(error)
            if device:  # the next try does without what may have broken it
                Record(fallback=reason).write(trial)
            full = isinstance(error, OSError) and error.errno in NOT_OF_THE_TRIAL
            retry_later(trial, reason, counted=not full)
            given_up = is_given_up(study.get_trials(deepcopy=False)[trial.number])
            then = (
                f"given up after {RETRIES + 1} failures in a row" if given_up else "enqueued again"
            )
            raise (DeviceFailure if device else MachineFailure)(
                f"trial {trial.number} failed with the machine ({reason}) and is {then}: "
                "see to the machine, then type the same line"
            ) from error
        except (_SecondCopy, optuna.TrialPruned):
            raise
        except UpdateFinishedTrialError:
            raise  # declared dead while it was suspended, and enqueued again: go on with another
        except Exception as error:
            Record(fail_reason=in_a_line(error)).write(trial)
            if isinstance(error, RuntimeError):  # as PyTorch raises of a network it cannot do
                raise _Failed from error
            raise

    def ended(_study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.state in FINISHED:
            objective.forget(trial)
            failures.clear()
        else:
            failures.append(str(record(trial).fail_reason))
        observer.trial_finished(trial)

    def hand_back() -> None:
        with suppress(KeyboardInterrupt):  # what there is no time for, the next process does
            reclaim(study, storage)

    objective.sweep(study.get_trials(deepcopy=False))
    with stop.on_signals():
        while True:
            try:
                stop.check()
                reclaim(study, storage)
                if reached(stored):
                    objective.sweep(study.get_trials(deepcopy=False))
                    return None
                if not has_place(stored):
                    waiting.wait()
                    continue
                waiting = _Waiting(study)
                study.optimize(attempt, n_trials=1, catch=_Failed, callbacks=[ended])
                if len(failures) >= FAILURES:
                    raise MachineFailure(
                        f"{len(failures)} trials in a row failed (the last: {failures[-1]}): see "
                        "to the machine, or to the study file, then type the same line"
                    )
            except OverBudget:
                continue  # it is handed back, and the study is as far as it goes
            except (Interrupted, KeyboardInterrupt):
                hand_back()
                return stop.reason or "Ctrl-C"
            except MachineFailure:
                hand_back()
                raise
            except (_Surplus, _SecondCopy, UpdateFinishedTrialError):
                continue
            except Exception as error:
                # Where the database fails, Optuna stumbles again over what it cannot write.
                lost += [e for e in _chain(error) if isinstance(e, StorageInternalError)]
                if lost:
                    raise lost[0]  # noqa: B904 - its cause is the database's own error
                if isinstance(error, ValueError) and "Cannot tell a" in str(error):
                    continue
                raise


class _Waiting:
    """A wait for the trials of other processes, which says after a while for which."""

    def __init__(self, study: optuna.Study) -> None:
        self._study, self._begun, self._told = study, time.monotonic(), set[int]()

    def wait(self) -> None:
        """Wait for a moment."""
        time.sleep(WAITING)
        if time.monotonic() - self._begun < QUIET:
            return
        new = [trial for trial in running(self._study) if trial.number not in self._told]
        self._told.update(trial.number for trial in new)
        for trial in new:
            logger.info("waiting for trial %d, %s", trial.number, _where(trial))


def _where(trial: FrozenTrial) -> str:
    kept, lost_at = record(trial).owner, is_lost_at(trial)
    if kept:
        return f"which runs in process {kept['pid']} of {kept['host']}"
    until = f": unless it shows up it is lost at {lost_at:%H:%M:%S}" if lost_at else ""
    return f"whose process is not known{until}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those on whose account it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
