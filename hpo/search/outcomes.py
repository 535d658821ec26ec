"""Which tasks a trial answered rightly after each epoch: kept with the trial, to compare by pairs.

Two networks differ on few of the tasks, and only those tell which is the better one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from model.history import History
from model.scoring import unpack

OUTCOMES = "outcomes"
"""The attribute of a trial that holds a text for each epoch, empty where none is kept."""
MOST = 65_535
"""Bytes that MySQL's TEXT holds, where Optuna keeps an attribute."""


def keep_outcomes(trial: optuna.Trial, history: History) -> None:
    """Write the outcomes of all epochs so far, those of an earlier try included."""
    trial.set_user_attr(OUTCOMES, fitting([epoch.right for epoch in history.epochs]))


def fitting(texts: Sequence[str]) -> list[str]:
    """As many of the epochs' texts as an attribute holds, and empty texts for the others.

    With 320 tasks 1,100 epochs fit. Of more, the last is kept, and of those before it every
    second, or fourth, and so on: the same ones in all long trials, so that they can be compared.

    Args:
        texts: of all epochs, in order.
    """
    last, stride = len(texts) - 1, 1
    while stride <= len(texts):
        kept = [text if i % stride == 0 or i == last else "" for i, text in enumerate(texts)]
        if len(json.dumps(kept)) <= MOST:
            return kept
        stride *= 2
    return []


def outcomes_at(trial: FrozenTrial, epoch: int) -> NDArray[np.bool_] | None:
    """The tasks that were answered rightly after an epoch (from 0); None where they are not kept.

    Returns:
        (N,) bool, N the tasks and up to seven more that nobody answered; see `unpack`.
    """
    texts = trial.user_attrs.get(OUTCOMES, ())
    return unpack(texts[epoch]) if epoch < len(texts) and texts[epoch] else None
