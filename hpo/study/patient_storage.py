"""A storage that waits for a database that has gone away, and goes on when it is back."""

from __future__ import annotations

import fcntl
import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

PATIENCE = 600.0
"""Seconds that a database may be away."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each next try; the last again and again."""
RECOVERY = 150.0
"""Seconds after an absence in which no trial is declared dead; heartbeats are a minute apart."""
TELLING = 30.0
"""Seconds between two messages while waiting."""

Result = TypeVar("Result")

METHODS = (
    "_create_new_trial",
    "_get_best_trial_id",
    "_get_stale_trial_ids",
    "_get_trials",
    "_set_trial_param",
    "get_all_studies",
    "get_all_trials",
    "get_study_directions",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_system_attrs",
    "get_study_user_attrs",
    "get_trial",
    "get_trial_id_from_study_id_trial_number",
    "record_heartbeat",
    "set_study_system_attr",
    "set_study_user_attr",
    "set_trial_intermediate_value",
    "set_trial_state_values",
    "set_trial_system_attr",
    "set_trial_user_attr",
)
"""What a search asks of its storage, by itself or through the cache that Optuna puts before it."""


def is_away(error: BaseException) -> bool:
    """Whether an error says that the server cannot be reached, rather than that it refuses."""
    inner = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(inner, PendingRollbackError):
        return True  # what a session says once after its connection was lost
    if not isinstance(inner, DBAPIError):
        return False
    if inner.connection_invalidated or isinstance(inner, InterfaceError):
        return True
    signs = (
        "could not connect",
        "failed to resolve host",
        "shutdown in progress",
        "timeout expired",
        "too many connections",
        "connection failed",
        "connection refused",
        "can't connect",
        "lost connection",
        "server closed the connection",
        "starting up",
        "shutting down",
        "terminating connection",
        "the connection is closed",
        "database is locked",
    )
    return isinstance(inner, OperationalError) and any(s in str(inner).lower() for s in signs)


class PatientStorage(RDBStorage):
    """Optuna's storage in SQL, whose reads and writes outlast the server's absence.

    A write that is done again after it had arrived does no harm: values are set to the same, and a
    trial that has ended already in the same state is left so. A trial that was begun in vain, or
    made twice, has no owner and is given up after its grace period.

    Attributes:
        hurried: whether there is no time to wait, as there is none after SIGTERM.
    """

    def __init__(self, url: str, say: Callable[[str], None], **arguments: Any) -> None:
        """Connect as `RDBStorage` does; ``say`` is told of waits."""
        self._say = say
        self._seen_away = -RECOVERY
        parsed = make_url(url)
        on_disk = parsed.get_backend_name() == "sqlite" and parsed.database
        self._folder = Path(parsed.database).parent if on_disk and parsed.database else None
        self.hurried: Callable[[], bool] = lambda: False
        super().__init__(url, **arguments)
        for name in METHODS:
            setattr(self, name, self._patient(name, getattr(self, name)))

    def _patient(self, name: str, method: Callable[..., Result]) -> Callable[..., Result]:
        @functools.wraps(method)
        def outlasting(*args: Any, **kwargs: Any) -> Result:
            begun = told = None
            tries = 0
            while True:
                try:
                    result = method(*args, **kwargs)
                except UpdateFinishedTrialError:
                    if (
                        tries
                        and name == "set_trial_state_values"
                        and self._ended_so(*args, **kwargs)
                    ):
                        result = True  # type: ignore[assignment]
                    else:
                        raise
                except Exception as error:
                    now = time.monotonic()
                    begun = begun or now
                    if not is_away(error) or now - begun > PATIENCE or self.hurried():
                        raise
                    self._seen_away = now
                    if told is None or now - told > TELLING:
                        told = now
                        self._say(
                            "the database is away; waiting for it, "
                            f"up to {PATIENCE - (now - begun):.0f} s"
                        )
                    time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
                    tries += 1
                    continue
                if told is not None:
                    self._say("the database is back")
                return result

        return outlasting

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """None for a while after the database was away: nobody could give a sign of life."""
        if time.monotonic() - self._seen_away < RECOVERY:
            return []
        return super()._get_stale_trial_ids(study_id)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As `RDBStorage` does; on SQLite, which locks no row, one process at a time."""
        if state != TrialState.RUNNING or self._folder is None:
            return super().set_trial_state_values(trial_id, state, values)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            return super().set_trial_state_values(trial_id, state, values)
        finally:
            os.close(folder)

    def _ended_so(self, trial_id: int, state: Any, values: Any = None) -> bool:
        """Whether the trial already has what a first try was to write."""
        trial = self.get_trial(trial_id)
        return trial.state == state and list(trial.values or []) == list(values or [])
