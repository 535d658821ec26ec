"""What a training did, epoch by epoch, and what ends one before its time."""

from dataclasses import dataclass, field

from data.errors import UserError


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave."""

    error: float
    """One-shot validation error, in [0, 1]."""
    loss: float
    """Mean over the steps."""
    pairs: int
    """Pairs scored."""
    train_seconds: float
    validation_seconds: float
    right: str = ""
    """The tasks answered rightly, from `model.scoring`; empty where they were not kept."""


@dataclass
class History:
    """The epochs so far, in order."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The first epoch of the lowest error."""
        errors = [e.error for e in self.epochs]
        return errors.index(min(errors))

    @property
    def best_error(self) -> float:
        """The lowest error of any epoch."""
        return self.epochs[self.best_epoch].error

    @property
    def seconds(self) -> float:
        """Of training and validation together."""
        return sum(e.train_seconds + e.validation_seconds for e in self.epochs)

    @property
    def pairs_per_second(self) -> float:
        """Pairs scored in a second of training, validation left out."""
        seconds = sum(e.train_seconds for e in self.epochs)
        return sum(e.pairs for e in self.epochs) / seconds if seconds else 0.0


class Interrupted(Exception):
    """What ends a training that can go on from its snapshot; says why."""


class Diverged(UserError):
    """The loss or the error is no longer a finite number; the message says when.

    Attributes:
        epoch: in which epoch (from 0) it happened.
    """

    advice = "lower the rates of the configuration, or take another trial's"

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(f"the loss was no longer finite in epoch {epoch + 1}, by step {step}")
        self.epoch = epoch
