"""Trials whose process is gone: told from the living, and enqueued again."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.study.owner import has_ended
from hpo.study.patient_storage import PatientStorage
from hpo.study.trials import Record, first_try, record, retries

GRACE = 300  # seconds without a heartbeat after which a trial elsewhere counts as dead
RETRIES = 3
"""How often a trial is started again whose process died before another epoch was done.

One that got further, or was interrupted, always is.
"""


def is_lost_at(trial: FrozenTrial) -> datetime | None:
    """When a running trial without an owner counts as lost, in local time; None if it has one."""
    begun = trial.datetime_start
    if record(trial).owner or begun is None:
        return None
    return begun + timedelta(seconds=GRACE)


def _is_gone(trial: FrozenTrial) -> bool:
    """Whether the trial ran in a process of this machine that no longer lives."""
    kept = record(trial).owner
    return kept is not None and has_ended(kept)


def is_second_copy(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Whether two processes enqueued the same trial again at once, and this is the later copy."""
    return _is_copy(trial, retries(study.get_trials(deepcopy=False)))


def _is_copy(trial: FrozenTrial | optuna.Trial, enqueued: Mapping[int, int]) -> bool:
    origin = record(trial).retry_of
    return origin is not None and enqueued[origin] != trial.number


def owed_a_retry(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The failed trials that are to be enqueued again, and are not yet.

    One without a reason was found dead by a process that then died itself. One that died
    too often is not among them; nor is the second copy of a retry, whatever ended it, for the
    first goes on.

    Args:
        trials: all of the study.
    """
    enqueued = retries(trials)

    def is_owed(trial: FrozenTrial) -> bool:
        kept = record(trial)
        over = kept.retry is None and kept.fail_reason is not None
        return not (
            over or trial.number in enqueued or is_given_up(trial) or _is_copy(trial, enqueued)
        )

    return [t for t in trials if t.state == TrialState.FAIL and is_owed(t)]


def _deaths(trial: FrozenTrial) -> int:
    """How many processes in a row died under a trial, this end included if it is counted."""
    kept = record(trial)
    got_further = len(trial.intermediate_values) > (kept.resumed_at or 0)
    before = 0 if got_further else kept.deaths or 0
    return before + (kept.retry != "free")


def is_given_up(trial: FrozenTrial) -> bool:
    """Whether more than `RETRIES` processes in a row died under a trial: no retry follows."""
    return _deaths(trial) > RETRIES


def retry_later(trial: optuna.Trial, reason: str, counted: bool) -> None:
    """Mark the running trial as one to be enqueued again once it has failed.

    Args:
        trial: the trial.
        reason: what ended it.
        counted: whether this counts towards `RETRIES`; an interruption does not.
    """
    Record(retry="counted" if counted else "free", fail_reason=reason).write(trial)


def reclaim(study: optuna.Study, storage: PatientStorage) -> int:
    """Enqueue every trial again whose process is gone, and all that are owed it.

    Gone is a process of this machine that no longer lives, and one of another machine that has
    sent no heartbeat for `GRACE` seconds. The old trial fails with the reason; the new one has
    its parameters and seed. Done twice, or killed half-way and done again, this enqueues
    nothing twice.

    Returns:
        How many were enqueued.
    """
    trials = study.get_trials(deepcopy=False)
    owed, enqueued = owed_a_retry(trials), retries(trials)
    study_id = storage.get_study_id_from_name(study.study_name)
    silent = {storage.get_trial(i).number for i in storage.silent_trial_ids(study_id)}
    for trial in trials:
        gone = trial.state == TrialState.RUNNING and _is_gone(trial)
        if gone or trial.number in silent:
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            kept = record(trial)  # what its process wrote as it ended the trial
            reason = "its process died" if gone else f"no heartbeat for {GRACE} s"
            died = Record(retry=kept.retry or "counted", fail_reason=kept.fail_reason or reason)
            try:
                for name, value in died.attributes.items():
                    storage.set_trial_user_attr(trial_id, name, value)
                study.tell(trial.number, state=TrialState.FAIL)
            except (UpdateFinishedTrialError, ValueError):
                continue  # another process was faster
            if not (is_given_up(trial) or _is_copy(trial, enqueued)):
                owed.append(trial)
    for trial in owed:
        _enqueue_again(study, trial)
    return len(owed)


def _enqueue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    kept = record(trial)
    again = Record(
        seed=kept.seed,
        begun_with=kept.begun_with,
        deaths=_deaths(trial),
        fallback=kept.fallback,
        retry_of=trial.number,
        first_try=first_try(trial),
    )
    given = kept.retry_of is not None and "fixed_params" not in trial.system_attrs
    if kept.weights is not None or given:  # it had all of its parameters
        copy = create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=again.attributes,
        )
        study.add_trial(copy)
    else:
        params = trial.system_attrs.get("fixed_params", {})
        study.enqueue_trial(params, user_attrs=again.attributes)
