"""What a search spent, from the table of its trials."""

from __future__ import annotations

import pandas as pd

from hpo.study import trials as spending
from hpo.study.trials import Effort, multiply_adds_of
from model.recipe import Training

COLUMNS = ["number", "epochs", "seconds", "multiply_adds", "retry_of", "resumed_at"]
"""What `Effort` has, in its order."""


def multiply_adds_spent(table: pd.DataFrame, training: Training) -> pd.Series[float]:
    """Multiply-adds of the forward passes over the training images, by trial.

    Epochs that an earlier try of a trial had trained count with that try alone.
    """
    spent = [multiply_adds_of(effort, training) for effort in _efforts(table)]
    return pd.Series(spent, index=table.index, dtype="float64")


def seconds_spent(table: pd.DataFrame) -> float:
    """Seconds that all trials trained and validated, each second counted once."""
    return spending.seconds_spent(_efforts(table))


def _efforts(table: pd.DataFrame) -> list[Effort]:
    kept = table[COLUMNS].astype(object)
    untrainable = (table["state"] == "complete") & table["fail_reason"].notna()
    rows = kept.where(kept.notna(), None).assign(untrainable=untrainable)
    return [Effort(*row) for row in rows.itertuples(index=False)]
