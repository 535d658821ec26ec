"""How far a study is, in figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, Enum, Select, column, func, select, table

from hpo.study.limits import Spending, budget_of
from hpo.study.study import FINISHED, WANTED, StoredStudy
from hpo.study.trials import KEPT, Effort, effort

LEADERS = 5
RECENT = 8
"""Trials that ended last, of those that ended."""

# What is read of Optuna's tables; its own reading of a thousand trials takes seconds.
_TRIALS = table(
    "trials",
    *map(column, ("trial_id", "number", "study_id")),
    column("state", Enum(TrialState)),  # a type of its own in PostgreSQL
)
_ENDED: ColumnElement[Any] = column("datetime_complete")
_VALUES = table("trial_values", *map(column, ("trial_id", "value")))
_REPORTS = table("trial_intermediate_values", column("trial_id"))
_ATTRIBUTES = table("trial_user_attributes", *map(column, ("trial_id", "key", "value_json")))


@dataclass(frozen=True)
class Standing:
    """What one read of a study gives.

    Attributes:
        wanted: finished trials that it shall hold; None for any number.
        spending: its budget and what is spent of it, if it has one.
        states: trials by state.
        retried: trials that failed and were queued again; they are among the failed.
        untrainable: complete trials whose network could not be trained.
        leaders: the best five of the trials that trained to their end.
        recent: the trials that ended last, the newest at the end.
        running: the trials that run.
        seconds: mean of the finished trials, pruned ones included; None before the first.
    """

    wanted: int | None
    spending: Spending | None
    states: Mapping[TrialState, int]
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
    """Reads where a study stands, again and again, in a time that hardly grows with the study."""

    def __init__(self, stored: StoredStudy) -> None:
        self._stored = stored
        self._id = stored.storage.get_study_id_from_name(stored.study.study_name)
        self._ended: dict[int, FrozenTrial] = {}  # what has ended never changes

    def read(self) -> Standing:
        """Read the study.

        Raises:
            SQLAlchemyError: the database is away; it is not waited for.
        """
        of_study = _TRIALS.c.study_id == self._id
        with self._stored.storage.engine.connect() as connection:
            counted = select(_TRIALS.c.state, func.count()).where(of_study)
            rows = connection.execute(counted.group_by(_TRIALS.c.state)).all()
            counts: dict[TrialState, int] = dict(map(tuple, rows))
            untrainable = connection.execute(
                _with_attribute("fail_reason", func.count()).where(of_study, _complete())
            ).scalar_one()
            retried = connection.execute(
                _with_attribute("retry_of", _ATTRIBUTES.c.value_json).where(of_study).distinct()
            ).all()
            seconds = connection.execute(
                _with_attribute("seconds", _ATTRIBUTES.c.value_json).where(
                    of_study, _TRIALS.c.state.in_(FINISHED)
                )
            ).scalars()
            took = [json.loads(text) for text in seconds]
            untrained = _with_attribute("fail_reason", _TRIALS.c.trial_id)
            leaders = connection.execute(
                select(_TRIALS.c.trial_id)
                .join(_VALUES, _VALUES.c.trial_id == _TRIALS.c.trial_id)
                .where(of_study, _complete(), _TRIALS.c.trial_id.not_in(untrained))
                .order_by(_VALUES.c.value, _TRIALS.c.number)
                .limit(LEADERS)
            ).scalars()
            best = [self._trial(trial_id) for trial_id in leaders]
            newest = connection.execute(
                select(_TRIALS.c.trial_id)
                .where(of_study, _ENDED.is_not(None))
                .order_by(_ENDED.desc(), _TRIALS.c.number.desc())
                .limit(RECENT)
            ).scalars()
            recent = [self._trial(trial_id) for trial_id in newest][::-1]
            running = connection.execute(
                select(_TRIALS.c.trial_id)
                .where(of_study, _TRIALS.c.state == TrialState.RUNNING)
                .order_by(_TRIALS.c.number)
            ).scalars()
            now = [self._stored.storage.get_trial(trial_id) for trial_id in running]
            budget = budget_of(self._stored.study)
            efforts = self._efforts(connection) if budget else []
        states = {state: counts.get(state, 0) for state in TrialState}
        finished = sum(states[state] for state in FINISHED)
        wanted = self._stored.study.user_attrs.get(WANTED, finished)
        training = self._stored.settings.training
        return Standing(
            wanted=None if wanted is None else max(wanted, finished),
            spending=budget.spending(efforts, training) if budget else None,
            states=states,
            retried=len(retried),
            untrainable=untrainable,
            leaders=best,
            recent=recent,
            running=[trial for trial in now if trial.state == TrialState.RUNNING],
            seconds=sum(took) / len(took) if took else None,
        )

    def _efforts(self, connection: Connection) -> list[Effort]:
        """What is kept of every trial's cost."""
        of_study = _TRIALS.c.study_id == self._id
        trials = select(_TRIALS.c.trial_id, _TRIALS.c.number, _TRIALS.c.state).where(of_study)
        reported = (
            select(_TRIALS.c.trial_id, func.count())
            .join(_REPORTS, _REPORTS.c.trial_id == _TRIALS.c.trial_id)
            .where(of_study)
            .group_by(_TRIALS.c.trial_id)
        )
        named = (
            select(_TRIALS.c.trial_id, _ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json)
            .join(_ATTRIBUTES, _ATTRIBUTES.c.trial_id == _TRIALS.c.trial_id)
            .where(of_study, _ATTRIBUTES.c.key.in_(KEPT))
        )
        epochs: dict[int, int] = dict(connection.execute(reported).all())
        kept: dict[int, dict[str, Any]] = {}
        for trial_id, name, text in connection.execute(named):
            kept.setdefault(trial_id, {})[name] = json.loads(text)
        return [
            effort(number, state, epochs.get(trial_id, 0), kept.get(trial_id, {}))
            for trial_id, number, state in connection.execute(trials)
        ]

    def _trial(self, trial_id: int) -> FrozenTrial:
        if trial_id not in self._ended:
            self._ended[trial_id] = self._stored.storage.get_trial(trial_id)
        return self._ended[trial_id]


def _with_attribute(name: str, *columns: Any) -> Select[Any]:
    """Trials that have an attribute."""
    joined = _TRIALS.join(_ATTRIBUTES, _ATTRIBUTES.c.trial_id == _TRIALS.c.trial_id)
    return select(*columns).select_from(joined).where(_ATTRIBUTES.c.key == name)


def _complete() -> ColumnElement[bool]:
    return _TRIALS.c.state == TrialState.COMPLETE


def status(stored: StoredStudy, now: Standing) -> Mapping[str, Any]:
    """Trials by state, the best so far, the rate and the time left, ready for JSON."""
    return {
        "study": stored.study.study_name,
        "finished": now.finished,
        "wanted": now.wanted,
        "budget": now.spending and {**asdict(now.spending.budget), "spent": now.spending.spent},
        "trials": {state.name.lower(): count for state, count in now.states.items()},
        "retried": now.retried,
        "untrainable": now.untrainable,
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
                "errors": list(dict(sorted(t.intermediate_values.items())).values()),
            }
            for t in now.running
        ],
        "seconds_per_trial": now.seconds,
        "trials_per_hour": 3600 * max(len(now.running), 1) / now.seconds if now.seconds else None,
        "seconds_left": now.seconds_left,
        "data_fingerprint": stored.data_fingerprint,
    }
