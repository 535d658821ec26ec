"""How far a study is, in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.study import FINISHED, WANTED, StoredStudy, trained_trials

LEADERS = 5


@dataclass(frozen=True)
class Standing:
    """What one read of a study gives.

    Attributes:
        wanted: finished trials that it shall hold.
        finished: those that it has, the pruned ones included.
        pruned: of them, those cut short.
        failed: trials that failed and are not tried again.
        retried: trials that failed and were queued again.
        best: the best trial, or None.
        ended: the trials that ended, last the newest.
        running: the trials that run.
        seconds_left: of the study, at the pace of the trials so far; None before the first.
    """

    wanted: int
    finished: int
    pruned: int
    failed: int
    retried: int
    best: FrozenTrial | None
    ended: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]
    seconds_left: float | None


def standing(stored: StoredStudy) -> Standing:
    """Read where a study stands."""
    trials = stored.study.get_trials(deepcopy=False)
    again = {t.user_attrs.get("retry_of") for t in trials}
    failed = [t for t in trials if t.state == TrialState.FAIL]
    ended = [t for t in trials if t.state.is_finished() and t.datetime_complete]
    running = [t for t in trials if t.state == TrialState.RUNNING]
    finished = sum(t.state in FINISHED for t in trials)
    wanted = max(stored.study.user_attrs.get(WANTED, finished), finished)
    seconds = mean_seconds(trials)
    return Standing(
        wanted=wanted,
        finished=finished,
        pruned=sum(t.state == TrialState.PRUNED for t in trials),
        failed=sum(t.number not in again for t in failed),
        retried=sum(t.number in again for t in failed),
        best=next(iter(trained_trials(stored.study)), None),
        ended=sorted(ended, key=lambda t: (t.datetime_complete, t.number)),
        running=running,
        seconds_left=None
        if seconds is None
        else (wanted - finished) * seconds / max(len(running), 1),
    )


def mean_seconds(trials: Sequence[FrozenTrial]) -> float | None:
    """Mean seconds of the finished trials, pruned ones included; None before the first."""
    seconds = [
        t.user_attrs["seconds"] for t in trials if t.state in FINISHED and "seconds" in t.user_attrs
    ]
    return sum(seconds) / len(seconds) if seconds else None


def leaders(stored: StoredStudy) -> list[FrozenTrial]:
    """The best five of the trials that trained to their end."""
    return trained_trials(stored.study)[:LEADERS]


def status(stored: StoredStudy) -> Mapping[str, Any]:
    """Trials by state, the best so far, the rate and the time left, ready for JSON."""
    trials, now = stored.study.get_trials(deepcopy=False), standing(stored)
    seconds = mean_seconds(trials)
    return {
        "study": stored.study.study_name,
        "finished": now.finished,
        "wanted": now.wanted,
        "trials": {s.name.lower(): sum(t.state == s for t in trials) for s in TrialState},
        "retried": now.retried,
        "untrainable": sum(
            t.state == TrialState.COMPLETE and "fail_reason" in t.user_attrs for t in trials
        ),
        "best": now.best
        and {
            "trial": now.best.number,
            "error": now.best.value,
            "best_epoch": now.best.user_attrs["best_epoch"],
            "params": now.best.params,
        },
        "running": [
            {
                "trial": t.number,
                "errors": [t.intermediate_values[s] for s in sorted(t.intermediate_values)],
            }
            for t in now.running
        ],
        "seconds_per_trial": seconds,
        "trials_per_hour": 3600 * max(len(now.running), 1) / seconds if seconds else None,
        "seconds_left": now.seconds_left,
        "data_fingerprint": stored.data_fingerprint,
    }
