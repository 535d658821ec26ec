"""How far a study shall go: so many finished trials, so much compute, or whichever comes first.

It is kept with the study, so that every process of the search, on any machine, ends there.
"""

from __future__ import annotations

import dataclasses

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.budget import Budget, Spending
from hpo.spending import effort_of
from hpo.study import WANTED, StoredStudy, finished, wanted

BUDGET = "budget"
"""The attribute of a study that holds what its trials may spend together."""


def set_goal(study: optuna.Study, trials: int | None, budget: Budget | None) -> None:
    """Keep how far the study shall go, instead of what was kept before.

    Args:
        study: the study.
        trials: finished ones that it shall hold, or None for any number.
        budget: what they may spend, or None for any amount.
    """
    goal = {WANTED: trials, BUDGET: budget and dataclasses.asdict(budget)}
    if budget is None and BUDGET not in study.user_attrs:
        del goal[BUDGET]
    # A limit that comes before one that goes: other processes at no moment see none at all.
    for name in sorted(goal, key=lambda name: goal[name] is None):
        study.set_user_attr(name, goal[name])


def budget_of(study: optuna.Study) -> Budget | None:
    """What the trials of the study may spend, if it has such a limit."""
    kept = study.user_attrs.get(BUDGET)
    return Budget(**kept) if kept else None


def spending(stored: StoredStudy) -> Spending | None:
    """The budget of the study and what is spent of it, if it has one."""
    budget = budget_of(stored.study)
    if budget is None:
        return None
    trials = stored.study.get_trials(deepcopy=False)
    return budget.spending(map(effort_of, trials), stored.settings.training)


def reached(stored: StoredStudy) -> bool:
    """Whether no process has anything left to do.

    The trials that were begun before the budget was used up are still finished.
    """
    study, limit = stored.study, wanted(stored.study)
    if limit is not None and finished(study) >= limit:
        return True
    return _used_up(stored) and not _running(study) and not _waiting_to_go_on(study)


def has_place(stored: StoredStudy) -> bool:
    """Whether a process may take up a trial now: a new one, or one that waits to go on."""
    study, limit = stored.study, wanted(stored.study)
    if limit is not None and finished(study) + len(_running(study)) >= limit:
        return False
    return not _used_up(stored) or bool(_waiting_to_go_on(study))


def may_begin(stored: StoredStudy, trial: optuna.Trial) -> bool:
    """Whether a trial that was just taken up has a place: another process may have been first."""
    study, limit = stored.study, wanted(stored.study)
    if limit is not None and _ahead_of(study, trial.number) >= limit:
        return False
    return _was_begun(trial) or not _used_up(stored)


def _used_up(stored: StoredStudy) -> bool:
    spent = spending(stored)
    return spent is not None and spent.used_up


def _running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def _waiting_to_go_on(study: optuna.Study) -> list[FrozenTrial]:
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return [trial for trial in waiting if _was_begun(trial)]


def _was_begun(trial: FrozenTrial | optuna.Trial) -> bool:
    """Whether the trial, or the earlier try that it goes on from, is more than queued."""
    return "seed" in trial.user_attrs


def _ahead_of(study: optuna.Study, number: int) -> int:
    """How many trials are finished, or run or wait and were made before this one."""
    unfinished = (TrialState.RUNNING, TrialState.WAITING)
    others = study.get_trials(deepcopy=False, states=unfinished)
    return finished(study) + sum(trial.number < number for trial in others)
