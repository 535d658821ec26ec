"""Who is told how a search goes on."""

from optuna.trial import FrozenTrial

from model.configuration import Configuration


class Observer:
    """Is told how trials and the budget go; this base class does nothing with it."""

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """A trial begins."""

    def trial_finished(self, trial: FrozenTrial) -> None:
        """A trial ended, whatever its state."""

    def budget_used_up(self, running: int) -> None:
        """No new trial is begun, and this many still run."""
