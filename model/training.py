"""Training: epochs of steps, the validation error after each, the best epoch kept."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import cast

import torch
from torch import Tensor

from data.chance import seeded
from data.drawings import Drawings
from data.errors import in_a_line
from data.pairs import PairBatch
from data.tasks import OneShotTasks
from model.architecture import Architecture
from model.batches import batches_of
from model.configuration import Configuration
from model.fast.cuda_graph import Record, Replayed, constants, recorder
from model.fast.device import device_name, plain_kernels, resolve_precision
from model.fast.encoder import encoder
from model.fast.memory import block_that_fits, out_of_memory, release_memory
from model.fast.micro_batches import backward
from model.fast.threads import FreeThreads, Threads
from model.history import Diverged, Epoch, History
from model.loss import batch_loss
from model.optimizer import averaged, layerwise_optimizer, set_epoch
from model.recipe import AllPairs
from model.scoring import BLOCK, correct_share, error_of, one_shot_scores, pack
from model.siamese import SiameseNetwork, in_all_views

LOSS_CHECK = 32
"""Steps between two looks at the loss where a look makes the host wait for the device."""

ORDER = 0x2C1B3C6D297A2D39
"""Makes of a configuration's seed another for the order of the batches: from the seed itself they
would be drawn with the very numbers that the weights were drawn with."""

logger = logging.getLogger(__name__)

OnEpoch = Callable[[int, float], None]
"""Called after each epoch with its number (from 0) and its one-shot validation error."""
OnStep = Callable[[], None]
"""Called after each step; what it raises, `Interrupted` say, ends the training there."""


@dataclass
class PartialEpoch:
    """The part of the next epoch that is done."""

    generator: Tensor
    """State of the source of chance when the epoch began."""
    loss: Tensor
    """() sum over the steps, on the device."""
    steps: int = 0
    pairs: int = 0
    seconds: float = 0.0


class Trainer:
    """A network, its optimizer and its data on one device, ready for the next epoch.

    Attributes:
        right: the tasks that the last validation found answered rightly, from `model.scoring`;
            empty before the first.
        fallback: why it computes in fp32 and by PyTorch's own operations alone, if it does.
        threads: how many of the CPU it uses.
        images_at_once: how many images were normalised together, where a batch was split for want
            of memory; None where none was, or nothing is normalised.
    """

    def __init__(
        self,
        configuration: Configuration,
        drawings: Drawings,
        tasks: OneShotTasks,
        device: torch.device,
        threads: Threads | None = None,
    ) -> None:
        """Build everything that the configuration describes.

        Args:
            configuration: of a network for images of the size that ``drawings`` has.
            drawings: the training set, on ``device``.
            tasks: the validation tasks, on ``device``, at the same image size.
            device: where to train.
            threads: of the CPU; left out, PyTorch's number, and fewer beside busy processes.

        Raises:
            DoesNotFit: the memory that is free cannot hold the network.
        """
        asked = threads or Threads()
        if device.type != "cpu":
            asked = Threads(fixed=asked.number)  # the CPU only launches what the device does
        self.threads = FreeThreads(asked)
        self.configuration, self.drawings, self.tasks = configuration, drawings, tasks
        self.device = device
        self.history = History()
        training = configuration.training
        self.precision = resolve_precision(training.precision, device)
        self.network = build(configuration.network, configuration.seed, device)
        self.average = averaged(self.network, training)
        self._encode = encoder(self.network, self.precision)
        self._encode_average = self.average and encoder(self.answering, self.precision)
        self.optimizer = layerwise_optimizer(self.network, configuration.rates, training)
        sampling = training.sampling
        self._block = block_that_fits(configuration.network, device)
        self._record = recorder(device, self.optimizer)
        self._replayed: tuple[object, Replayed] | None = None
        self._softmax = isinstance(sampling, AllPairs) and sampling.loss == "softmax"
        self._chance = seeded(configuration.seed ^ ORDER, device)
        self._batches = batches_of(training, drawings, self._chance)
        self.best: dict[str, Tensor] = {}
        self.right = ""
        self.fallback: str | None = None
        self.images_at_once: int | None = None
        self.partial = self._new_epoch()

    @property
    def answering(self) -> SiameseNetwork:
        """The network that is validated and kept: that of the averaged weights, if there is one."""
        return cast(SiameseNetwork, self.average.module) if self.average else self.network

    def _new_epoch(self) -> PartialEpoch:
        return PartialEpoch(self._chance.get_state(), torch.zeros((), device=self.device))

    def compute_plainly(self, reason: str) -> None:
        """From now on compute in fp32, and by PyTorch's own operations alone.

        Args:
            reason: what failed, for ``fallback``.
        """
        self.fallback, self.precision = reason, "fp32"
        self._encode, self._record = self.network.encode, None
        self._encode_average = self.average and self.answering.encode

    @property
    def device_name(self) -> str:
        """The device as a person knows it, with the threads that were used."""
        return device_name(self.device, self.threads.fewest, self.threads.highest)

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or the error has not fallen for ``patience`` epochs."""
        training, done = self.configuration.training, len(self.history.epochs)
        if done and done - 1 - self.history.best_epoch >= training.patience:
            return True
        return done >= training.epochs

    def end_epoch(self, error: float, loss: float, validation_seconds: float) -> None:
        """Keep the figures of the epoch that is done, and the weights if it is the best."""
        done = self.partial
        self.history.epochs.append(
            Epoch(error, loss, done.pairs, done.seconds, validation_seconds, self.right)
        )
        if self.history.best_epoch == len(self.history.epochs) - 1:
            self.best = {k: v.detach().clone() for k, v in self.answering.state_dict().items()}
        self.partial = self._new_epoch()

    def restore_best(self) -> None:
        """Go back to the weights of the best epoch, if there is one."""
        if self.best:
            self.network.load_state_dict(self.best)
            self.answering.load_state_dict(self.best)

    def steps(self, epoch: int) -> Iterator[tuple[Tensor, int]]:
        """Train the rest of an epoch (from 0).

        After each step gives its loss, () on the device, and how many pairs it scored.
        """
        set_epoch(self.optimizer, self.configuration.rates, self.configuration.training, epoch)
        self.network.train()
        self._chance.set_state(self.partial.generator)
        step = self._replay(self._record) if self._record else self._step
        for batch in islice(self._batches(epoch), self.partial.steps, None):
            loss = (self._step if self.fallback else step)(batch)
            if self.average:
                self.average.update_parameters(self.network)
            twins = len(batch.images) // 2
            yield loss, twins if batch.same is not None else twins**2

    def _replay(self, record: Record) -> Replayed:
        """What replays the recorded step; recorded anew where a number within it has changed."""
        recorded = constants(self.optimizer)
        if self._replayed is None or self._replayed[0] != recorded:
            replayed = Replayed(self._step, partial(record, self._whole_step))
            self._replayed = recorded, replayed
        return self._replayed[1]

    def _step(self, batch: PairBatch) -> Tensor:
        loss = self._backward(batch)
        self.optimizer.step()
        return loss

    def _whole_step(self, batch: PairBatch) -> Tensor:
        """A step that fails where memory runs out: nothing can be freed while it is recorded."""
        loss = self._gradient(batch, self._block)
        self.optimizer.step()
        return loss

    def _backward(self, batch: PairBatch) -> Tensor:
        """Set the gradients to those of a batch; in smaller parts once memory runs out."""
        return self._fitting(partial(self._gradient, batch), len(batch.images))

    def _gradient(self, batch: PairBatch, block: int) -> Tensor:
        loss_of = partial(batch_loss, self.network, same=batch.same, softmax=self._softmax)
        self.optimizer.zero_grad(set_to_none=True)
        norms = self.network.norms.values()
        if norms and len(batch.images) > block:
            self.images_at_once = block
        return backward(self._encode, batch.images, loss_of, block, norms)

    def _fitting(self, work: Callable[[int], Tensor], images: int) -> Tensor:
        """Do work that takes images in blocks; in smaller ones once memory runs out.

        What fails otherwise is done once more, and all that follows, as `compute_plainly` has it.
        """
        while True:
            try:
                with plain_kernels() if self.fallback else nullcontext():
                    return work(self._block)
            except RuntimeError as error:
                smaller = min(self._block, images) // 2
                if out_of_memory(error):
                    if smaller < 1:
                        raise
                    self._block = smaller
                elif self.fallback or isinstance(error, torch.AcceleratorError):
                    raise  # the latter has broken the device for this process
                else:
                    reason = in_a_line(error)
                    logger.warning("%s: tried once more in fp32 without cuDNN or oneDNN", reason)
                    self.compute_plainly(reason)
            release_memory(self.device)  # the failed try's tensors are gone with its traceback

    @torch.no_grad()
    def validate(self) -> float:
        """The one-shot error of the network as it stands, in [0, 1].

        Sets ``right`` to the tasks whose true class is alone at the top, from `model.scoring`.
        """
        found = correct_share(self._scores(), self.tasks.target).cpu()
        self.right = pack((found == 1).flatten().numpy())
        return float(error_of(found))

    @torch.no_grad()
    def answers(self) -> Tensor:
        """The class of the support set that the network as it stands takes each query for.

        Returns:
            (R, Q) int64, the places in the support sets of ``tasks``.
        """
        return self._scores().argmax(dim=-1)

    def _scores(self) -> Tensor:
        network = self.answering.eval()

        def scores(block: int) -> Tensor:
            encode = in_all_views(self._encode_average or self._encode, network.architecture)
            return one_shot_scores(self.tasks, encode, network.score_all, block)

        return self._fitting(scores, BLOCK)


def build(architecture: Architecture, seed: int, device: torch.device) -> SiameseNetwork:
    """A new network on ``device``, in the memory format that its convolutions are fast in."""
    network = SiameseNetwork(architecture, seeded(seed))
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def train(
    trainer: Trainer, on_epoch: OnEpoch | None = None, on_step: OnStep | None = None
) -> SiameseNetwork:
    """Train from where the trainer stands until it is `Trainer.finished`.

    Whatever a callback raises ends the training and passes through.

    Returns:
        The network with the weights of its best epoch (Koch et al. 2015, §3.2).

    Raises:
        Diverged: a loss was not finite; the network has the weights of the best epoch before.
    """
    try:
        while not trainer.finished:
            number = len(trainer.history.epochs)
            _epoch(trainer, number, on_step)
            if on_epoch:
                on_epoch(number, trainer.history.epochs[-1].error)
    except Diverged:
        trainer.restore_best()
        raise
    finally:
        trainer.threads.end()
    trainer.restore_best()
    return trainer.network


def _epoch(trainer: Trainer, number: int, on_step: OnStep | None) -> None:
    every = LOSS_CHECK if trainer.device.type == "cuda" else 1
    partial, start = trainer.partial, time.perf_counter()
    trainer.threads.begin()
    for loss, scored in trainer.steps(number):
        partial.loss += loss
        partial.steps, partial.pairs = partial.steps + 1, partial.pairs + scored
        now = time.perf_counter()
        partial.seconds, start = partial.seconds + now - start, now
        if partial.steps % every == 0 and not math.isfinite(float(partial.loss)):
            raise Diverged(number, partial.steps)
        trainer.threads.step_done()
        if on_step:
            on_step()
    mean = float(partial.loss) / partial.steps
    if not math.isfinite(mean):
        raise Diverged(number, partial.steps)
    trained = time.perf_counter()  # once the mean has waited for a GPU's last steps
    partial.seconds += trained - start
    error = trainer.validate()
    trainer.end_epoch(error, mean, time.perf_counter() - trained)
