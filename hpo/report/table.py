"""The trials of a study as a pandas table, a row each."""

import math
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from hpo.study.study import StoredStudy
from hpo.study.trials import (
    is_trained,
    lowest_error,
    multiply_adds_spent,
    record,
    seconds_spent,
)

COLUMNS = {
    "number": "Int64",
    "state": "str",
    "error": "float64",
    "best_epoch": "Int64",
    "epochs": "Int64",
    "seconds": "float64",
    "multiply_adds": "Int64",
    "weights": "Int64",
    "pairs_per_second": "float64",
    "peak_memory_mb": "Int64",
    "device": "str",
    "precision": "str",
    "seed": "Int64",
    "started": "datetime64[us, UTC]",
    "ended": "datetime64[us, UTC]",
    "from": "str",
    "retry_of": "Int64",
    "resumed_at": "Int64",
    "fail_reason": "str",
    "trained": "bool",
    "seconds_spent": "float64",
    "multiply_adds_spent": "float64",
}
"""Columns before the search parameters, and how pandas keeps them."""


def trials_table(stored: StoredStudy) -> pd.DataFrame:
    """The trials of a study, in the order of their numbers.

    Returns:
        One row per trial. ``error``: the lowest of its epochs, in [0, 1]; that of a network that
        could not train is 1, and its ``fail_reason`` says why. ``epochs``: how many it reported,
        those of an earlier try that it went on from included; they are its first ``resumed_at``.
        ``seconds``: of training and validation, likewise. ``multiply_adds``: for one image.
        ``peak_memory_mb``: MiB. ``started``, ``ended``: UTC. ``trained``: whether it was trained to
        its end. ``seconds_spent`` and ``multiply_adds_spent`` (of the forward passes over the
        training images) count what an earlier try had done with that try alone, so they can be
        added up. Then a column for each search parameter. What a trial does not have is missing.
    """
    distributions = stored.space.distributions
    trials = stored.study.get_trials(deepcopy=False)
    types = COLUMNS | {
        name: "Int64" if isinstance(distribution, IntDistribution) else "float64"
        for name, distribution in distributions.items()
    }
    training = stored.settings.training
    rows = [
        _row(trial)
        | {"seconds_spent": seconds, "multiply_adds_spent": multiply_adds_spent(trial, training)}
        for trial, seconds in zip(trials, seconds_spent(trials), strict=True)
    ]
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=t) for name, t in types.items()}
    )


def trained(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the trials that were trained to their end, the lowest error first."""
    return table[table["trained"]].dropna(subset=["error"]).sort_values(["error", "number"])


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {
        **record(trial).attributes,
        **trial.params,
        "number": trial.number,
        "state": trial.state.name.lower(),
        "error": _error(trial),
        "epochs": len(trial.intermediate_values),
        "trained": is_trained(trial),
        "started": _utc(trial.datetime_start),
        "ended": _utc(trial.datetime_complete),
    }


def _error(trial: FrozenTrial) -> float | None:
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return trial.value if math.isfinite(trial.value) else None
    return lowest_error(trial)


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna gives the local time without saying so."""
    return moment and moment.astimezone(UTC)
