"""How far a study is, in figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.search.bounds import Binding, best_tenth, bindings
from hpo.study.limits import Spending, budget_of, wanted_trials
from hpo.study.sparse import read_params, read_sparsely
from hpo.study.study import StoredStudy
from hpo.study.trials import (
    FINISHED,
    is_handed_back,
    is_trained,
    is_untrainable,
    record,
    retries,
)

LEADERS = 5
RECENT = 8
"""Trials that ended last, of those that ended."""


@dataclass(frozen=True)
class Standing:
    """What one read of a study gives.

    Attributes:
        wanted: finished trials that it will hold; None for any number.
        spending: its budget and what is spent of it, if it has one.
        states: trials by state, as Optuna has them.
        handed_back: trials that failed for no other reason than that their search was stopped.
        retried: the others that failed and were enqueued again.
        untrainable: complete trials whose network could not be trained.
        leaders: the best five of the trials that trained to their end.
        recent: the trials that ended last, the newest at the end.
        running: the trials that run.
        seconds: mean of the finished trials, pruned ones included; None before the first.
    """

    wanted: int | None
    spending: Spending | None
    states: Mapping[TrialState, int]
    handed_back: int
    retried: int
    untrainable: int
    leaders: Sequence[FrozenTrial]
    recent: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]
    seconds: float | None

    @property
    def finished(self) -> int:
        """Complete and pruned trials."""
        return sum(self.states[state] for state in FINISHED)

    @property
    def best(self) -> FrozenTrial | None:
        """The best trial, if one has trained to its end."""
        return next(iter(self.leaders), None)

    @property
    def full(self) -> bool:
        """Whether no new trial will be begun."""
        enough = self.wanted is not None and self.finished >= self.wanted
        return enough or (self.spending is not None and self.spending.used_up)

    @property
    def share(self) -> float:
        """How much of the way it has gone, in [0, 1]."""
        ways = [0.0]
        if self.wanted:
            ways.append(self.finished / self.wanted)
        if self.spending:
            ways.append(self.spending.spent / self.spending.budget.amount)
        return min(1.0, max(ways))

    @property
    def seconds_left(self) -> float | None:
        """Of the whole study, if as many trials run at once as now; None before there is a pace."""
        left = []
        if self.wanted is not None and self.seconds is not None:
            left.append((self.wanted - self.finished) * self.seconds)
        if self.spending is not None and self.spending.seconds_left is not None:
            left.append(self.spending.seconds_left)
        return min(left) / max(len(self.running), 1) if left else None


class StatusReader:
    """Reads where a study is, again and again; a trial that has ended is read once."""

    def __init__(self, stored: StoredStudy) -> None:
        self._stored = stored
        self._id = stored.storage.get_study_id_from_name(stored.study.study_name)
        self._sparse: dict[int, FrozenTrial] = {}
        self._ended: dict[int, FrozenTrial] = {}  # what has ended never changes
        self._by_error: list[int] = []

    def read(self) -> Standing:
        """Read the study; a database that is away is waited for."""
        study, storage = self._stored.study, self._stored.storage
        self._sparse = storage.outlast(lambda _: read_sparsely(storage, self._id, self._sparse))
        items, every = self._sparse.items(), list(self._sparse.values())
        handed_back = {trial.number for trial in every if is_handed_back(trial)}
        counts = Counter(trial.state for trial in every)
        ended = [record(trial).seconds for trial in every if trial.state in FINISHED]
        took = [seconds for seconds in ended if seconds is not None]
        finished, training = len(ended), self._stored.settings.training
        wanted, budget = wanted_trials(study), budget_of(study)
        by_error = sorted(
            (t.value, t.number, i) for i, t in items if is_trained(t) and t.value is not None
        )
        self._by_error = [i for *_, i in by_error]
        by_end = sorted((t.datetime_complete, t.number, i) for i, t in items if t.datetime_complete)
        now = [storage.get_trial(i) for i, t in items if t.state == TrialState.RUNNING]
        return Standing(
            wanted=None if wanted is None else max(wanted, finished),
            spending=Spending.of(budget, every, training) if budget else None,
            states={state: counts[state] for state in TrialState},
            handed_back=len(handed_back),
            retried=len(retries(every).keys() - handed_back),
            untrainable=sum(map(is_untrainable, every)),
            leaders=self._trials(self._by_error[:LEADERS]),
            recent=self._trials([i for *_, i in by_end[-RECENT:]]),
            running=[trial for trial in now if trial.state == TrialState.RUNNING],
            seconds=fmean(took) if took else None,
        )

    def bindings(self) -> list[Binding]:
        """The bounds that the best trials of the last read lie at."""
        ended = sum(trial.state in FINISHED for trial in self._sparse.values())
        best, storage = best_tenth(self._by_error, ended), self._stored.storage
        params = storage.outlast(lambda _: read_params(storage, best))
        return bindings(self._stored.space, params)

    def _trials(self, ids: Sequence[int]) -> list[FrozenTrial]:
        for trial_id in ids:
            if trial_id not in self._ended:
                self._ended[trial_id] = self._stored.storage.get_trial(trial_id)
        return [self._ended[trial_id] for trial_id in ids]


def as_json(stored: StoredStudy, now: Standing) -> Mapping[str, Any]:
    """Trials by state, the best so far, the rate and the time left, ready for JSON."""
    return {
        "study": stored.study.study_name,
        "finished": now.finished,
        "wanted": now.wanted,
        "budget": now.spending and {**asdict(now.spending.budget), "spent": now.spending.spent},
        "trials": {state.name.lower(): count for state, count in now.states.items()},
        "handed_back": now.handed_back,
        "retried": now.retried,
        "untrainable": now.untrainable,
        "best": now.best
        and {
            "trial": now.best.number,
            "error": now.best.value,
            "best_epoch": record(now.best).best_epoch,
            "params": now.best.params,
        },
        "running": [
            {
                "trial": t.number,
                "errors": list(dict(sorted(t.intermediate_values.items())).values()),
            }
            for t in now.running
        ],
        "seconds_per_trial": now.seconds,
        "trials_per_hour": 3600 * max(len(now.running), 1) / now.seconds if now.seconds else None,
        "seconds_left": now.seconds_left,
        "data_fingerprint": stored.data_fingerprint,
    }


def counted(figures: Mapping[str, Any]) -> str:
    """Trials by what became of them, in words; those that were handed back go on as others.

    Args:
        figures: as `as_json` gives them.
    """
    states, retried = figures["trials"], figures["retried"]
    failed = states["fail"] - figures["handed_back"] - retried
    counts = {**states, "fail": 0, "failed": failed, "retried": retried}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)
