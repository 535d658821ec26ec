"""The trials of a study as far as counts and costs need them, read in a few queries."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter
from sqlalchemy import DateTime, Enum, column, func, select, table

from hpo.study.checked import checked, readable

_NUMBER = TypeAdapter(float)
_READ = ("fail_reason", "multiply_adds", "resumed_at", "retry_of", "seconds")
TRIALS = table(
    "trials",
    *map(column, ("trial_id", "number", "study_id")),
    column("datetime_complete", DateTime),
    column("state", Enum(TrialState)),  # a type of its own in PostgreSQL
)
_VALUES = table("trial_values", *map(column, ("trial_id", "value")))
PARAMS = table(
    "trial_params", *map(column, ("trial_id", "param_name", "param_value", "distribution_json"))
)
_REPORTS = table("trial_intermediate_values", column("trial_id"))
_ATTRIBUTES = table("trial_user_attributes", *map(column, ("trial_id", "key", "value_json")))


def read_sparsely(
    storage: RDBStorage, study_id: int, known: Mapping[int, FrozenTrial]
) -> dict[int, FrozenTrial]:
    """All trials by their id, in order, as far as counts and costs need them.

    They have no parameters, the attributes of `_READ` alone, and NaN for the error of every epoch.
    Optuna itself reads a thousand trials in seconds, and a view asks every second.

    Args:
        storage: of the study.
        study_id: its number in the storage.
        known: what was read before; a trial that has ended never changes.

    Raises:
        SQLAlchemyError: the database is away; it is not waited for.
    """
    ended = {i: trial for i, trial in known.items() if trial.state.is_finished()}
    with readable("a trial"), storage.engine.connect() as connection:
        rows = connection.execute(
            select(TRIALS, _VALUES.c.value)
            .outerjoin(_VALUES, _VALUES.c.trial_id == TRIALS.c.trial_id)
            .where(TRIALS.c.study_id == study_id)
            .order_by(TRIALS.c.number)
        ).all()
        ids = [row.trial_id for row in rows]
        first = min((i for i in ids if i not in ended), default=max(ids, default=0) + 1)
        wanted = (TRIALS.c.study_id == study_id, TRIALS.c.trial_id >= first)
        reports = connection.execute(
            select(TRIALS.c.trial_id, func.count())
            .join(_REPORTS, _REPORTS.c.trial_id == TRIALS.c.trial_id)
            .where(*wanted)
            .group_by(TRIALS.c.trial_id)
        )
        epochs: dict[int, int] = dict(map(tuple, reports))
        kept: dict[int, dict[str, Any]] = {}
        for trial_id, name, text in connection.execute(
            select(TRIALS.c.trial_id, _ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json)
            .join(_ATTRIBUTES, _ATTRIBUTES.c.trial_id == TRIALS.c.trial_id)
            .where(*wanted, _ATTRIBUTES.c.key.in_(_READ))
        ):
            kept.setdefault(trial_id, {})[name] = json.loads(text)
    return {
        r.trial_id: ended.get(r.trial_id)
        or FrozenTrial(
            number=r.number,
            state=r.state,
            value=None if r.value is None else checked(_NUMBER, r.value, "the value of a trial"),
            datetime_start=None,
            datetime_complete=r.datetime_complete,
            params={},
            distributions={},
            user_attrs=kept.get(r.trial_id, {}),
            system_attrs={},
            intermediate_values=dict.fromkeys(range(epochs.get(r.trial_id, 0)), math.nan),
            trial_id=r.trial_id,
        )
        for r in rows
    }


def read_params(storage: RDBStorage, trial_ids: Sequence[int]) -> list[dict[str, float]]:
    """The parameters of some trials, by their ids, in the order of these; whole numbers as floats.

    Raises:
        SQLAlchemyError: the database is away; it is not waited for.
    """
    found: dict[int, dict[str, float]] = {i: {} for i in trial_ids}
    wanted = select(PARAMS.c.trial_id, PARAMS.c.param_name, PARAMS.c.param_value)
    with readable("a trial"), storage.engine.connect() as connection:
        for i, name, value in connection.execute(wanted.where(PARAMS.c.trial_id.in_(trial_ids))):
            found[i][name] = checked(_NUMBER, value, "a parameter of a trial")
    return list(found.values())
