"""The search itself: trial after trial until the study holds as many as are wanted."""

import errno
import time
from collections.abc import Iterator

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from data.errors import UserError
from hpo.search.objective import Objective
from hpo.search.observer import Observer
from hpo.search.pruners import make_pruner
from hpo.search.sampler import make_sampler
from hpo.search.stopping import Stop
from hpo.study.limits import has_place, may_begin, reached
from hpo.study.retry import RETRIES, is_given_up, is_second_copy, reclaim, retry_later
from hpo.study.study import StoredStudy
from hpo.study.trials import Record
from model.training import Interrupted

WAITING = 0.5
"""Seconds between two looks at a study whose last trials run elsewhere."""

NOT_OF_THE_TRIAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""No space, no quota, a read-only or a broken disk: any other trial would have met them too."""


class MachineFailure(UserError):
    """A disk or a device that failed under a trial."""


class _Surplus(Exception):
    """A trial that began at the same moment as another one for the last place."""


class _SecondCopy(Exception):
    """A retry of a trial that another trial is the retry of."""


def search(stored: StoredStudy, objective: Objective, stop: Stop, observer: Observer) -> str | None:
    """Run trials until the study holds as many finished ones as are wanted, or its budget is spent.

    Other processes may do the same at once. A trial is begun only where the finished ones
    and those that run leave a place, so that the study ends with exactly as many as are wanted; and
    none once the budget is used up. A worker without a place waits, and takes over if another's
    trial is lost.

    Args:
        stored: the study.
        objective: runs a trial, and checks ``stop`` after every step.
        stop: ends the search; the running trial is then enqueued again.
        observer: is told of every trial that ends.

    Returns:
        Why it ended before its time, or None.
    """
    study, storage = stored.study, stored.storage
    study.sampler, study.pruner = make_sampler(stored), make_pruner(stored.settings)
    study_id = storage.get_study_id_from_name(study.study_name)
    lost: list[StorageInternalError] = []

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
            retry_later(trial, "the study was full when it began", counted=False)
            raise
        except (Interrupted, KeyboardInterrupt):
            retry_later(trial, f"interrupted by {stop.reason or 'Ctrl-C'}", counted=False)
            raise
        except StorageInternalError as error:
            lost.append(error)
            raise
        except (OSError, torch.AcceleratorError) as error:
            full = isinstance(error, OSError) and error.errno in NOT_OF_THE_TRIAL
            retry_later(trial, f"{type(error).__name__}: {error}", counted=not full)
            given_up = is_given_up(study.get_trials(deepcopy=False)[trial.number])
            then = (
                f"given up after {RETRIES + 1} failures in a row" if given_up else "enqueued again"
            )
            raise MachineFailure(
                f"trial {trial.number} failed with the machine ({error}) and is {then}: "
                "see to the machine, then type the same line"
            ) from error
        except (_SecondCopy, optuna.TrialPruned):
            raise
        except UpdateFinishedTrialError:
            raise  # declared dead while it was suspended, and enqueued again: go on with another
        except Exception as error:
            Record(fail_reason=f"{type(error).__name__}: {error}").write(trial)
            raise

    def ended(_study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.state != TrialState.FAIL:
            objective.forget(trial)
        observer.trial_finished(trial)

    objective.sweep(study.get_trials(deepcopy=False))
    with stop.on_signals():
        while True:
            try:
                stop.check()
                fail_stale_trials(study)
                reclaim(study, storage)
                if reached(stored):
                    objective.sweep(study.get_trials(deepcopy=False))
                    return None
                if not has_place(stored):
                    time.sleep(WAITING)
                    continue
                study.optimize(attempt, n_trials=1, callbacks=[ended])
            except (Interrupted, KeyboardInterrupt):
                reclaim(study, storage)
                return stop.reason or "Ctrl-C"
            except MachineFailure:
                reclaim(study, storage)
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


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those on whose account it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
