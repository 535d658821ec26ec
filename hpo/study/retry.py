"""Trials whose process is gone: told from the living, and queued again."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

GRACE = 300  # seconds without a sign of life after which a trial elsewhere counts as dead
KEPT = ("seed", "from")
"""Attributes of a trial that its retries have too."""
OWED = "to_be_retried"
"""The attribute of a failed trial that shall be queued again: ``counted`` or ``free``."""
RETRIES = 3
"""How often a trial is started anew whose process died before another epoch was done.

One that got further, or was interrupted, always is.
"""


def first_try(trial: FrozenTrial | optuna.Trial) -> int:
    """The number of the trial that this one is a retry of, of a retry's retry too, or its own."""
    return int(trial.user_attrs.get("first_try", trial.number))


def _is_gone(trial: FrozenTrial) -> bool:
    """Whether the trial ran in a process of this machine that no longer lives."""
    kept = trial.user_attrs.get("owner")
    if not kept:  # killed within the milliseconds before it was written, if long ago
        begun = trial.datetime_start
        return begun is not None and datetime.now() - begun > timedelta(seconds=GRACE)
    return has_ended(kept)


def is_second_copy(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Whether two processes queued the same trial again at once, and this is the later copy."""
    origin = trial.user_attrs.get("retry_of")
    return origin is not None and any(
        other.user_attrs.get("retry_of") == origin and other.number < trial.number
        for other in study.get_trials(deepcopy=False)
    )


def owing(trial: FrozenTrial) -> str | None:
    """Whether a failed trial shall be queued again: ``counted`` or ``free``, or None.

    One without a reason was found dead by a process that then died itself. One that died
    too often is owed nothing more.
    """
    if trial.state != TrialState.FAIL:
        return None
    unexplained = "counted" if "fail_reason" not in trial.user_attrs else None
    owed: str | None = trial.user_attrs.get(OWED, unexplained)
    return owed if owed and _deaths(trial, owed == "counted") <= RETRIES else None


def _deaths(trial: FrozenTrial, counted: bool) -> int:
    """How many processes in a row died under a trial, this end included if it is counted."""
    got_further = len(trial.intermediate_values) > trial.user_attrs.get("resumed_at", 0)
    before = 0 if got_further else trial.user_attrs.get("deaths", 0)
    return int(before) + counted


def give_back(trial: optuna.Trial, reason: str, counted: bool) -> None:
    """Mark the running trial as one to be queued again once it has failed.

    Args:
        trial: the trial.
        reason: what ended it.
        counted: whether this counts towards `RETRIES`; an interruption does not.
    """
    trial.set_user_attr(OWED, "counted" if counted else "free")
    trial.set_user_attr("fail_reason", reason)


def reclaim(study: optuna.Study, storage: RDBStorage) -> int:
    """Queue again every trial whose process on this machine is gone, and all that were given back.

    The old trial fails with the reason; the new one has its parameters and seed. Done
    twice, or killed half-way and done again, this queues nothing twice.

    Returns:
        How many were queued.
    """
    trials = study.get_trials(deepcopy=False)
    retried = {t.user_attrs.get("retry_of") for t in trials}
    study_id = storage.get_study_id_from_name(study.study_name)
    queued = 0
    for trial in trials:
        owed = owing(trial)
        if trial.state == TrialState.RUNNING and _is_gone(trial):
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            try:
                storage.set_trial_user_attr(trial_id, OWED, "counted")
                storage.set_trial_user_attr(trial_id, "fail_reason", "its process died")
                study.tell(trial.number, state=TrialState.FAIL)
            except (UpdateFinishedTrialError, ValueError):
                continue  # another process was faster
            owed = "counted"
        if owed and trial.number not in retried:
            queued += _queue_again(study, trial, counted=owed == "counted")
    return queued


def retry_stale(study: optuna.Study, trial: FrozenTrial) -> None:
    """What Optuna calls for a trial on another machine that gave no sign of life."""
    _queue_again(study, trial, counted=True)


def _queue_again(study: optuna.Study, trial: FrozenTrial, counted: bool) -> int:
    deaths = _deaths(trial, counted)
    if deaths > RETRIES:
        return 0
    attributes = {k: v for k, v in trial.user_attrs.items() if k in KEPT}
    attributes |= {"deaths": deaths, "retry_of": trial.number, "first_try": first_try(trial)}
    given = "retry_of" in trial.user_attrs and "fixed_params" not in trial.system_attrs
    if "weights" in trial.user_attrs or given:  # it had all of its parameters
        again = create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
        )
        study.add_trial(again)
    else:
        study.enqueue_trial(trial.system_attrs.get("fixed_params", {}), user_attrs=attributes)
    return 1


BOOT = Path("/proc/sys/kernel/random/boot_id")
PROCESSES = Path("/proc/self/ns/pid")
STATUS = "/proc/{}/stat"


def owner() -> dict[str, Any]:
    """What tells this process from any other, to be kept with what it works on."""
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": _started(process),
        "space": _process_space(),
    }


def has_ended(kept: Mapping[str, Any]) -> bool:
    """Whether a process of this machine, by what `owner` kept of it, no longer lives."""
    if kept["host"] != socket.gethostname() or kept.get("space", "") != _process_space():
        return False
    try:
        process = psutil.Process(kept["pid"])
        same = abs(_started(process) - kept["started"]) < 1
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True


def _started(process: psutil.Process) -> float:
    """Seconds at which the process began; on Linux since the machine did.

    The time of day that Linux's start times are turned into moves whenever the clock is set.
    """
    if sys.platform != "linux":
        return process.create_time()
    fields = Path(STATUS.format(process.pid)).read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _process_space() -> str:
    """What tells the process numbers of this machine, or container, from those of another."""
    try:
        return sha256(f"{BOOT.read_text()}{PROCESSES.readlink()}".encode()).hexdigest()[:8]
    except OSError:
        return ""
