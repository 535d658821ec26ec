"""What a search spent: multiply-adds and seconds."""

from __future__ import annotations

import pandas as pd

from model.recipe import RandomPairs, Training


def images_per_epoch(training: Training) -> int:
    """Images that an epoch of training encodes."""
    sampling = training.sampling
    if isinstance(sampling, RandomPairs):
        return 2 * sampling.pairs * (1 + sampling.copies)
    return 2 * sampling.characters * sampling.steps


def multiply_adds_spent(table: pd.DataFrame, training: Training) -> pd.Series[float]:
    """Multiply-adds of the forward passes over the training images, by trial.

    Epochs that an earlier try of a trial had trained count with that try alone.
    """
    own = table["epochs"] - table["resumed_at"].fillna(0)
    # The last of these "epochs" is the mark that the network could not train.
    own -= ((table["state"] == "complete") & table["fail_reason"].notna()).astype("Int64")
    spent = own.clip(lower=0) * images_per_epoch(training) * table["multiply_adds"]
    return spent.astype("float64")


def seconds_spent(table: pd.DataFrame) -> float:
    """Seconds that all trials trained and validated, each second counted once."""
    # The seconds of a try that another went on from are in those of the later one.
    went_on = table.loc[table["resumed_at"].notna(), "retry_of"].dropna()
    return float(table.loc[~table["number"].isin(went_on), "seconds"].sum())
