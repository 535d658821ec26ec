"""How far a study is, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import TrialState

from hpo.study import FINISHED, WANTED, StoredStudy, best_trial


def mean_seconds(stored: StoredStudy) -> float | None:
    """Mean seconds of the finished trials, pruned ones included; None before the first."""
    seconds = [
        t.user_attrs["seconds"]
        for t in stored.study.get_trials(deepcopy=False, states=FINISHED)
        if "seconds" in t.user_attrs
    ]
    return sum(seconds) / len(seconds) if seconds else None


def status(stored: StoredStudy) -> Mapping[str, Any]:
    """Trials by state, the best so far, the rate and the time left, ready for JSON."""
    trials = stored.study.get_trials(deepcopy=False)
    states = {s.name.lower(): sum(t.state == s for t in trials) for s in TrialState}
    best = best_trial(stored.study)
    seconds = mean_seconds(stored)
    finished = sum(states[s.name.lower()] for s in FINISHED)
    wanted = max(stored.study.user_attrs.get(WANTED, finished), finished)
    return {
        "study": stored.study.study_name,
        "finished": finished,
        "wanted": wanted,
        "trials": states,
        "untrainable": sum(
            t.state == TrialState.COMPLETE and "fail_reason" in t.user_attrs for t in trials
        ),
        "best": best
        and {
            "trial": best.number,
            "error": best.value,
            "best_epoch": best.user_attrs["best_epoch"],
            "params": best.params,
        },
        "seconds_per_trial": seconds,
        "trials_per_hour": 3600 / seconds if seconds else None,
        "seconds_left": (wanted - finished) * seconds if seconds else None,
        "data_fingerprint": stored.data_fingerprint,
    }
