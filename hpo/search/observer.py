"""Who is told how a search goes on."""

from optuna.trial import FrozenTrial

from model.configuration import Configuration
from model.history import History


class Observer:
    """Is told of trials, their epochs and their ends; this one keeps it to itself."""

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """A trial begins."""

    def epoch_done(self, number: int, history: History) -> None:
        """An epoch of the running trial is over."""

    def trial_finished(self, trial: FrozenTrial) -> None:
        """A trial ended, whatever its state."""
