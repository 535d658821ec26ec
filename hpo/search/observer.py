"""Who is told how a search goes on."""

from __future__ import annotations

from typing import Protocol

from optuna.trial import FrozenTrial

from model.configuration import Configuration
from model.history import History


class Watcher(Protocol):
    """Is told how a search goes on."""

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """A trial begins."""

    def epoch_done(self, number: int, history: History) -> None:
        """An epoch of the running trial is over."""


class TrialWatcher(Protocol):
    """Is told of every trial that ends."""

    def trial_finished(self, trial: FrozenTrial) -> None:
        """A trial ended, whatever its state."""


class TrialsWatcher(Watcher, TrialWatcher, Protocol):
    """Is told of trials, their epochs and their ends."""


class Unwatched:
    """Watches a search whose story is told elsewhere."""

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """Say nothing."""

    def epoch_done(self, number: int, history: History) -> None:
        """Say nothing."""

    def trial_finished(self, trial: FrozenTrial) -> None:
        """Say nothing."""
