"""A storage that waits for a database that has gone away, and goes on when it is back."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import column, make_url, select, table
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_chain,
    wait_fixed,
)

from hpo.study.checked import readable
from hpo.study.owner import owner
from hpo.study.sparse import TRIALS
from hpo.study.trials import Record, check_trial
from model.fast.heap import nothing_collected

ABSENCE = 600.0
"""Seconds that a database may be away."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each next try; the last again and again."""
RECOVERY = 150.0
"""Seconds after an absence in which no trial is declared dead; heartbeats are a minute apart."""
REMINDER = 30.0
"""Seconds between two messages while waiting."""
SIGNS = (
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
"""What a database that is away says, in lower case."""
BUSY = {"40001", "40P01", "55P03", "57014", "25006", 1205, 1213}
"""Codes of a lock, a deadlock or a statement that took too long, and of a standby that is about to
take over: of PostgreSQL, and of MariaDB and MySQL."""

logger = logging.getLogger(__name__)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def is_away(error: BaseException) -> bool:
    """Whether a server cannot be reached or is busy for a while, rather than that it refuses."""
    inner = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(inner, PendingRollbackError):
        return True  # what a session says once after its connection was lost
    if not isinstance(inner, DBAPIError):
        return False
    if inner.connection_invalidated or isinstance(inner, InterfaceError) or BUSY & _codes(inner):
        return True
    return isinstance(inner, OperationalError) and any(s in str(inner).lower() for s in SIGNS)


def _codes(error: DBAPIError) -> set[object]:
    """What a server calls an error: PostgreSQL by its SQLSTATE, MariaDB and MySQL by a number."""
    given = getattr(error.orig, "args", ())
    return {getattr(error.orig, "sqlstate", None), given[0] if given else None}


def _patient(
    method: Callable[Concatenate[Any, Arguments], Result],
) -> Callable[Concatenate[PatientStorage, Arguments], Result]:
    """A method of `RDBStorage` that is called again while the database is away."""

    def outlasting(
        self: PatientStorage, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        return self.outlast(lambda _: method(self, *args, **kwargs))

    return outlasting


def _reading(
    method: Callable[Concatenate[Any, Arguments], Result],
) -> Callable[Concatenate[PatientStorage, Arguments], Result]:
    """Likewise; what it gives is checked, for anybody may have changed the database."""
    patient = _patient(method)

    def checking(
        self: PatientStorage, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        # Thousands of trials are millions of objects, none of them garbage: three times as fast.
        with readable("the study"), nothing_collected():
            found = patient(self, *args, **kwargs)
        for trial in found if isinstance(found, list) else [found]:
            if isinstance(trial, FrozenTrial):
                check_trial(trial)
        return found

    return checking


class PatientStorage(RDBStorage):
    """Optuna's storage in SQL, whose reads and writes outlast the server's absence.

    A write that is done again after it had arrived does no harm: values are set to the same, and a
    trial that has ended already in the same state is left so. A trial that was begun and lost, or
    made twice, sends no heartbeat and is given up after its grace period.
    """

    def __init__(
        self, url: str, give_up: Callable[[], bool] = lambda: False, **arguments: Any
    ) -> None:
        """Connect as `RDBStorage` does; ``give_up`` says when there is no time to wait."""
        self.copied: object = None  # a copy of the file that is deleted with this
        self._give_up, self._seen_away = give_up, -RECOVERY
        parsed = make_url(url)
        on_disk = parsed.get_backend_name() == "sqlite" and parsed.database
        self._folder = Path(parsed.database).parent if on_disk and parsed.database else None
        super().__init__(url, **arguments)

    # What a search asks of its storage, by itself or through the cache that Optuna puts before it.
    _get_best_trial_id = _patient(RDBStorage._get_best_trial_id)
    _get_trials = _reading(RDBStorage._get_trials)
    _set_trial_param = _patient(RDBStorage._set_trial_param)
    get_all_studies = _reading(RDBStorage.get_all_studies)
    get_all_trials = _patient(RDBStorage.get_all_trials)  # reads by `_get_trials`
    get_study_directions = _reading(RDBStorage.get_study_directions)
    get_study_id_from_name = _patient(RDBStorage.get_study_id_from_name)
    get_study_name_from_id = _patient(RDBStorage.get_study_name_from_id)
    get_study_system_attrs = _reading(RDBStorage.get_study_system_attrs)
    get_study_user_attrs = _reading(RDBStorage.get_study_user_attrs)
    get_trial = _reading(RDBStorage.get_trial)
    get_trial_id_from_study_id_trial_number = _patient(
        RDBStorage.get_trial_id_from_study_id_trial_number
    )
    set_study_system_attr = _patient(RDBStorage.set_study_system_attr)
    set_study_user_attr = _patient(RDBStorage.set_study_user_attr)
    set_trial_intermediate_value = _patient(RDBStorage.set_trial_intermediate_value)
    set_trial_system_attr = _patient(RDBStorage.set_trial_system_attr)
    set_trial_user_attr = _patient(RDBStorage.set_trial_user_attr)

    def outlast(self, call: Callable[[int], Result]) -> Result:
        """Do a call of the database, again and again while it is away.

        Args:
            call: is given the number of the try, from 1.
        """
        reminder = 0.0

        def waiting(state: RetryCallState) -> None:
            nonlocal reminder
            self._seen_away = time.monotonic()
            waited = state.seconds_since_start or 0.0
            if waited >= reminder:
                reminder = waited + REMINDER
                logger.info(
                    "the database is away or locked; waiting for it, up to %.0f s", ABSENCE - waited
                )

        tries = Retrying(
            retry=retry_if_exception(is_away),
            stop=lambda state: self._give_up() or stop_after_delay(ABSENCE)(state),
            wait=wait_chain(*map(wait_fixed, PAUSES)),
            before_sleep=waiting,
            reraise=True,
        )
        try:
            for attempt in tries:
                number = attempt.retry_state.attempt_number
                with attempt:
                    result = call(number)
        finally:  # an error is not to keep what its own frames hold
            attempt.retry_state.outcome = None
        if number > 1:
            logger.info("the database is back")
        return result

    def record_heartbeat(self, trial_id: int) -> None:
        """Tell that a trial's process lives, once a minute.

        A heartbeat that cannot be written is left out: Optuna's thread would end with a traceback.
        The search itself meets what is wrong, and says so.
        """
        with suppress(StorageInternalError, DBAPIError):
            self.outlast(lambda _: RDBStorage.record_heartbeat(self, trial_id))

    def silent_trial_ids(self, study_id: int) -> list[int]:
        """Running trials of a study that sent no heartbeat for the grace period.

        None for a while after the database was away: no heartbeat could arrive.
        """

        def silent(_number: int) -> list[int]:
            if time.monotonic() - self._seen_away < RECOVERY:  # this very call may have seen it
                return []
            return [*RDBStorage._get_stale_trial_ids(self, study_id), *self._never_heard(study_id)]

        return self.outlast(silent)

    def _never_heard(self, study_id: int) -> list[int]:
        """Running trials whose process was lost before its first heartbeat, long ago."""
        heartbeats = table("trial_heartbeats", column("trial_id"))
        asked = (
            select(TRIALS.c.trial_id)
            .outerjoin(heartbeats, heartbeats.c.trial_id == TRIALS.c.trial_id)
            .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.RUNNING)
            .where(heartbeats.c.trial_id.is_(None))
        )
        with self.engine.connect() as connection:
            unheard = connection.execute(asked).scalars().all()
        begun = {i: RDBStorage.get_trial(self, i).datetime_start for i in unheard}
        now, grace = datetime.now(), timedelta(seconds=self.grace_period or 0)
        return [i for i, since in begun.items() if since is not None and now - since > grace]

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """None: Optuna would end them without a reason; `hpo.study.retry.reclaim` sees to them."""
        return []

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        """As `RDBStorage` does; a trial that is begun has its owner from the first moment."""
        if template_trial is None:
            attributes = Record(owner=owner()).attributes
            template_trial = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
        return self.outlast(lambda _: RDBStorage._create_new_trial(self, study_id, template_trial))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As `RDBStorage` does; what arrived though no answer came back is not an error.

        A trial that was enqueued has its owner as soon as it is begun.
        """

        def set_them(number: int) -> bool:
            try:
                return self._set_alone(trial_id, state, values)
            except UpdateFinishedTrialError:
                trial = self.get_trial(trial_id)
                ended_so = trial.state == state and list(trial.values or []) == list(values or [])
                if number > 1 and ended_so:
                    return True
                raise

        done = self.outlast(set_them)
        if done and state == TrialState.RUNNING:
            for name, value in Record(owner=owner()).attributes.items():
                self.set_trial_user_attr(trial_id, name, value)
        return done

    def _set_alone(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        """On SQLite, which locks no row, one process at a time begins a trial."""
        if state != TrialState.RUNNING or self._folder is None:
            return super().set_trial_state_values(trial_id, state, values)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            return super().set_trial_state_values(trial_id, state, values)
        finally:
            os.close(folder)
