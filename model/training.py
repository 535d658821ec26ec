"""Training: epochs of steps, the validation error after each, the best epoch kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from data.drawings import Drawings
from data.pairs import PairBatch, all_pairs_batches, draw_pairs, random_pair_batches, seeded
from data.tasks import OneShotTasks
from model.architecture import Architecture
from model.config import Configuration
from model.encoder import encoder
from model.loss import batch_loss
from model.memory import block_that_fits, give_back, out_of_memory
from model.micro_batches import backward
from model.optimizer import layerwise_sgd, set_epoch
from model.precision import resolve_precision
from model.recipe import AllPairs, RandomPairs, Training
from model.scoring import one_shot_error
from model.siamese import SiameseNetwork

LOSS_CHECK = 32
"""Steps between two looks at the loss where a look makes the host wait for the device."""

OnEpoch = Callable[[int, float], None]
"""Called after each epoch with its number (from 0) and its one-shot validation error."""
OnStep = Callable[[], None]
"""Called after each step; what it raises ends the training there."""


class Diverged(Exception):
    """The loss or the error is no longer a finite number; the message says when.

    Attributes:
        epoch: in which epoch (from 0) it happened.
    """

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(f"the loss was no longer finite in epoch {epoch}, by step {step}")
        self.epoch = epoch


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
    def pairs_per_second(self) -> float:
        """Pairs scored in a second of training, validation left out."""
        seconds = sum(e.train_seconds for e in self.epochs)
        return sum(e.pairs for e in self.epochs) / seconds if seconds else 0.0


class Trainer:
    """A network, its optimizer and its data on one device, ready for the next epoch."""

    def __init__(
        self,
        configuration: Configuration,
        drawings: Drawings,
        tasks: OneShotTasks,
        device: torch.device,
    ) -> None:
        """Build everything that the configuration describes.

        Args:
            configuration: of a network for images of the size that ``drawings`` has.
            drawings: the training set, on ``device``.
            tasks: the validation tasks, on ``device``, at the same image size.
            device: where to train.

        Raises:
            DoesNotFit: the memory that is free cannot hold the network.
        """
        self.configuration, self.drawings, self.tasks = configuration, drawings, tasks
        self.device = device
        self.history = History()
        training = configuration.training
        self.precision = resolve_precision(training.precision, device)
        self.network = build(configuration.network, configuration.seed, device)
        self._encode = encoder(self.network, self.precision)
        self.optimizer = layerwise_sgd(self.network, configuration.rates)
        sampling = training.sampling
        self._block = block_that_fits(configuration.network, device)
        self._softmax = isinstance(sampling, AllPairs) and sampling.loss == "softmax"
        self._batches = _batches(training, drawings, seeded(configuration.seed, device))

    def steps(self, epoch: int) -> Iterator[tuple[Tensor, int]]:
        """Train one epoch (from 0); after each step gives its loss, () on the device, and pairs."""
        set_epoch(self.optimizer, self.configuration.rates, self.configuration.training, epoch)
        self.network.train()
        for batch in self._batches():
            loss = self._backward(batch)
            self.optimizer.step()
            twins = len(batch.images) // 2
            yield loss, twins if batch.same is not None else twins**2

    def _backward(self, batch: PairBatch) -> Tensor:
        """Add the gradient of a batch to the weights; in smaller parts once memory runs out."""
        loss_of = partial(batch_loss, self.network, same=batch.same, softmax=self._softmax)
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                return backward(self._encode, batch.images, loss_of, self._block)
            except RuntimeError as error:
                self._block = min(self._block, len(batch.images)) // 2
                if not out_of_memory(error) or self._block < 1:
                    raise
            give_back(self.device)  # the failed try's tensors are gone with its traceback

    @torch.no_grad()
    def validate(self) -> float:
        """The one-shot error of the network as it stands, in [0, 1]."""
        self.network.eval()
        return float(one_shot_error(self.tasks, self._encode, self.network.score_all))


def build(architecture: Architecture, seed: int, device: torch.device) -> SiameseNetwork:
    """A new network on ``device``, in the memory format that its convolutions are fast in."""
    network = SiameseNetwork(architecture, seeded(seed))
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _batches(
    training: Training, drawings: Drawings, generator: torch.Generator
) -> Callable[[], Iterator[PairBatch]]:
    """What gives the batches of each next epoch."""
    sampling = training.sampling
    match sampling:
        case RandomPairs():
            pairs = draw_pairs(drawings, sampling.pairs, sampling.copies, sampling.seed)
            return partial(random_pair_batches, drawings, pairs, sampling.batch, generator)
        case AllPairs():
            return partial(
                all_pairs_batches,
                drawings,
                sampling.characters,
                sampling.per_alphabet,
                sampling.steps,
                sampling.distorted,
                generator,
            )


def train(
    trainer: Trainer, on_epoch: OnEpoch | None = None, on_step: OnStep | None = None
) -> SiameseNetwork:
    """Train to the last epoch, or until the error has not fallen for ``patience`` epochs.

    Whatever a callback raises ends the training and passes through.

    Returns:
        The network with the weights of its best epoch (Koch et al. 2015, §3.2).

    Raises:
        Diverged: a loss was not finite; the network has the weights of the best epoch before.
    """
    training, history = trainer.configuration.training, trainer.history
    best: dict[str, Tensor] = {}
    for number in range(training.epochs):
        try:
            history.epochs.append(_epoch(trainer, number, on_step))
        except Diverged:
            if best:
                trainer.network.load_state_dict(best)
            raise
        if on_epoch:
            on_epoch(number, history.epochs[-1].error)
        if history.best_epoch == number:
            best = {k: v.detach().clone() for k, v in trainer.network.state_dict().items()}
        elif number - history.best_epoch >= training.patience:
            break
    trainer.network.load_state_dict(best)
    return trainer.network


def _epoch(trainer: Trainer, number: int, on_step: OnStep | None) -> Epoch:
    every = LOSS_CHECK if trainer.device.type == "cuda" else 1
    start = time.perf_counter()
    total, steps, pairs = torch.zeros((), device=trainer.device), 0, 0
    for loss, scored in trainer.steps(number):
        total += loss
        steps, pairs = steps + 1, pairs + scored
        if steps % every == 0 and not math.isfinite(float(total)):
            raise Diverged(number, steps)
        if on_step:
            on_step()
    mean = float(total) / steps
    trained = time.perf_counter()
    if not math.isfinite(mean):
        raise Diverged(number, steps)
    error = trainer.validate()
    return Epoch(error, mean, pairs, trained - start, time.perf_counter() - trained)
