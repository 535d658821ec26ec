"""Trials whose process is gone: told from the living, and queued again."""

from __future__ import annotations

import socket
from typing import Any

import optuna
import psutil
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

RETRIES = 3
"""How often a trial whose process died is started anew. One that was interrupted, always."""


def owner() -> dict[str, Any]:
    """What tells this process from any other, to be kept on the trials that it runs."""
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": round(process.create_time(), 1),
    }


def _is_gone(trial: FrozenTrial) -> bool:
    """Whether the trial ran in a process of this machine that no longer lives."""
    kept = trial.user_attrs.get("owner")
    if not kept or kept["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(kept["pid"])
        same = abs(process.create_time() - kept["started"]) < 1
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def reclaim(study: optuna.Study, storage: RDBStorage) -> int:
    """Give back every trial whose process on this machine is gone, and every interrupted one.

    Each is queued anew with the same parameters and seed, and the old one marked as failed with
    the reason; done twice, or killed half-way, this changes nothing more.

    Returns:
        How many were queued.
    """
    trials = study.get_trials(deepcopy=False)
    retried = {t.user_attrs.get("retry_of") for t in trials}
    queued = 0
    for trial in trials:
        died = trial.state == TrialState.RUNNING and _is_gone(trial)
        interrupted = trial.state == TrialState.FAIL and trial.user_attrs.get("interrupted")
        if (died or interrupted) and trial.number not in retried:
            queued += _queue_again(study, trial, counted=died)
        if died:
            study_id = storage.get_study_id_from_name(study.study_name)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            storage.set_trial_user_attr(trial_id, "fail_reason", "its process died")
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    return queued


def retry_stale(study: optuna.Study, trial: FrozenTrial) -> None:
    """What Optuna calls for a trial on another machine that gave no sign of life."""
    _queue_again(study, trial, counted=True)


def _queue_again(study: optuna.Study, trial: FrozenTrial, counted: bool) -> int:
    kept = ("seed", "deaths")
    attributes = {k: v for k, v in trial.user_attrs.items() if k in kept}
    deaths = attributes.get("deaths", 0) + counted
    if deaths > RETRIES:
        return 0
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**attributes, "deaths": deaths, "retry_of": trial.number},
        )
    )
    return 1
