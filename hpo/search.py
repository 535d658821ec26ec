"""The search itself: trial after trial until the study holds as many as were asked for."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial

from hpo.retry import give_back, reclaim
from hpo.study import WANTED, StoredStudy, finished
from hpo.trial import Objective


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or the end of --timeout, noticed between two training steps."""


class MachineFailure(Exception):
    """A disk or a device that failed under a trial. One sentence that says what to do."""


class Brake:
    """Ends a search at the next step after a signal or a deadline; a second signal ends it at once.

    Attributes:
        reason: why it is pulled, or None.
    """

    def __init__(self, timeout: float | None) -> None:
        """Set the deadline, in seconds from now, or none."""
        self.reason: str | None = None
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def check(self) -> None:
        """Do nothing, or raise `Interrupted`."""
        if self._deadline and time.monotonic() > self._deadline:
            self.reason = self.reason or "the time is up"
        if self.reason:
            raise Interrupted(self.reason)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Be pulled by SIGINT and SIGTERM inside this block."""
        names = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}

        def pull(number: int, _frame: FrameType | None) -> None:
            if self.reason:
                raise KeyboardInterrupt
            self.reason = names[signal.Signals(number)]

        before = {number: signal.signal(number, pull) for number in names}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class TrialWatcher(Protocol):
    """Is told of every trial that ends."""

    def trial_finished(self, trial: FrozenTrial) -> None:
        """A trial ended, whatever its state."""


def search(
    stored: StoredStudy,
    make_objective: Callable[[Callable[[], None]], Objective],
    trials: int,
    timeout: float | None,
    watcher: TrialWatcher,
) -> str | None:
    """Run trials until the study holds ``trials`` finished ones.

    Args:
        stored: the study.
        make_objective: makes the objective, given what to call after every step.
        trials: complete and pruned ones together, those of earlier runs included.
        timeout: seconds after which the running trial is given back, or None.
        watcher: is told of every trial that ends.

    Returns:
        Why it ended before its time, or None.
    """
    study, brake = stored.study, Brake(timeout)
    objective = make_objective(brake.check)
    lost: list[StorageInternalError] = []

    def attempt(trial: optuna.Trial) -> float:
        try:
            return objective(trial)
        except (Interrupted, KeyboardInterrupt):
            give_back(trial, f"interrupted by {brake.reason or 'Ctrl-C'}", counted=False)
            raise
        except StorageInternalError as error:
            lost.append(error)
            raise
        except (OSError, torch.AcceleratorError) as error:
            give_back(trial, f"{type(error).__name__}: {error}", counted=True)
            raise MachineFailure(
                f"trial {trial.number} failed with the machine ({error}) and is queued again: see "
                "to the machine, then type the same line"
            ) from error
        except optuna.TrialPruned:
            raise
        except UpdateFinishedTrialError:
            raise  # declared dead while it was suspended, and queued again: go on with another
        except Exception as error:
            trial.set_user_attr("fail_reason", f"{type(error).__name__}: {error}")
            raise

    def ended(_study: optuna.Study, trial: FrozenTrial) -> None:
        watcher.trial_finished(trial)

    with brake.on_signals():
        study.set_user_attr(WANTED, trials)
        reclaim(study, stored.storage)
        while finished(study) < trials:
            try:
                brake.check()
                study.optimize(attempt, n_trials=1, callbacks=[ended])
            except (Interrupted, KeyboardInterrupt):
                reclaim(study, stored.storage)
                return brake.reason or "Ctrl-C"
            except MachineFailure:
                reclaim(study, stored.storage)
                raise
            except UpdateFinishedTrialError:
                continue
            except Exception as error:
                # Where the database fails, Optuna stumbles again over what it cannot write.
                if lost:
                    raise lost[0]  # noqa: B904 - its cause is the database's own error
                if isinstance(error, ValueError) and "Cannot tell a FAIL trial" in str(error):
                    continue
                raise
    return None
