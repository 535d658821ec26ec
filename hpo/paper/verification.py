"""The paper's first table: verification after training on more and more pairs.

Koch et al. 2015, table 1. Every cell is one network, trained on a set of its own: 30, 90 or 150
thousand pairs, plain or with distorted copies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from data.drawings import Drawings
from data.pairs import draw_pairs
from data.split import Split
from data.tasks import OneShotTasks
from hpo.paper.verification_results import Result, VerificationError
from hpo.search.stopping import Interrupted
from model.configuration import Configuration
from model.fast.device import device_name
from model.fast.encoder import encoder
from model.recipe import RandomPairs
from model.scoring import wilson_interval
from model.snapshot import Snapshot
from model.training import Diverged, Trainer, train
from model.verification import best_threshold, pair_logits, verification_accuracy

PAIRS = 10_000  # to choose the threshold on, and again to score on (Koch et al. 2015, §4.2)
SEED = 0  # of both draws
COPIES = 8  # distorted ones of each pair, in the cells that have any


@dataclass(frozen=True)
class Cell:
    """What the network of one cell of the table trains on."""

    name: str
    pairs: int
    copies: int
    """Distorted copies of each pair, beside the pair itself."""


CELLS = {
    name: Cell(name, thousands * 1000, copies)
    for thousands in (30, 90, 150)
    for name, copies in ((f"{thousands}k", 0), (f"{thousands}k+distortions", COPIES))
}


def cell_configuration(
    configuration: Configuration, cell: Cell, steps: int | None
) -> Configuration:
    """The configuration with the cell's pairs to train on; what does not bear on them is left out.

    Args:
        configuration: whose network, rates and schedule every cell has.
        cell: which.
        steps: what every cell shall train for at the most, in as many epochs as the
            configuration has, so that their schedules are the same too; None: every epoch is the
            whole set, and training ends as the configuration says.

    Raises:
        VerificationError: fewer steps than epochs.
    """
    training = configuration.training
    old = training.sampling if isinstance(training.sampling, RandomPairs) else RandomPairs()
    pairs: dict[str, Any] = {"pairs": cell.pairs, "copies": cell.copies}
    recipe: dict[str, Any] = {}
    if steps is not None:
        if steps < training.epochs:
            raise VerificationError(
                f"--steps {steps} is less than one for each of the configuration's "
                f"{training.epochs} epochs: give at least {training.epochs}"
            )
        pairs["steps"] = steps // training.epochs
        recipe["patience"] = training.epochs  # a cell that stopped early would have had less
    recipe["sampling"] = old.model_copy(update=pairs)
    training = training.model_copy(update=recipe)
    return configuration.model_copy(update={"training": training, "provenance": None})


def measure(
    score: Callable[[Drawings], tuple[Tensor, Tensor]], cut: Split
) -> tuple[float, float, float]:
    """Choose the threshold on the validation alphabets, then look at the evaluation alphabets once.

    Args:
        score: gives the logits of pairs of some drawings, (N,), and which are the same, (N,).
        cut: the data.

    Returns:
        The threshold, its accuracy on the pairs that chose it, and that on the evaluation pairs.
    """
    logits, same = score(cut.validation)
    threshold = best_threshold(logits, same)
    chosen = verification_accuracy(logits, same, threshold)
    return threshold, chosen, verification_accuracy(*score(cut.evaluation), threshold)


def verify_cell(
    cell: Cell,
    configuration: Configuration,
    cut: Split,
    tasks: OneShotTasks,
    device: torch.device,
    snapshot: Snapshot,
    on_epoch: Callable[[Trainer], None],
    on_step: Callable[[], None],
) -> Result:
    """Train the network of a cell, or go on with it, and measure it.

    Args:
        cell: which.
        configuration: from `cell_configuration`.
        cut: the data at the network's image size.
        tasks: the validation tasks, on ``device``; they choose the epoch.
        device: where to train.
        snapshot: of a training of this configuration on this data, if there is one.
        on_epoch: called after every epoch.
        on_step: called after every step; may raise `Interrupted`.

    Raises:
        Interrupted: the training was stopped; it goes on from there the next time.
        Diverged: in its first epoch.
        OSError: the snapshot cannot be written.
    """
    trainer = Trainer(configuration, cut.train.to(device), tasks, device)
    snapshot.resume(trainer)

    def end_epoch(_epoch: int, _error: float) -> None:
        snapshot.save_if_cheap(trainer)
        on_epoch(trainer)

    diverged = None
    try:
        train(trainer, end_epoch, on_step)
    except Interrupted:
        snapshot.save(trainer)
        raise
    except Diverged as error:
        if not trainer.history.epochs:
            raise
        diverged = str(error)
    network, history = trainer.network.eval(), trainer.history
    encode = encoder(network, trainer.precision)

    def score(drawings: Drawings) -> tuple[Tensor, Tensor]:
        here = drawings.to(device)
        pairs = draw_pairs(here, PAIRS, 0, SEED)
        return pair_logits(here, pairs, encode, network.score), pairs.same

    with torch.inference_mode():
        threshold, chosen, accuracy = measure(score, cut)
    return Result(
        cell=cell.name,
        pairs=cell.pairs,
        copies=cell.copies,
        accuracy=accuracy,
        interval=wilson_interval(accuracy, PAIRS),
        evaluation_pairs=PAIRS,
        threshold=threshold,
        validation_accuracy=chosen,
        one_shot_error=history.best_error,
        best_epoch=history.best_epoch,
        epochs=tuple(history.epochs),
        seconds=history.seconds,
        configuration=configuration.model_dump(mode="json", exclude_none=True),
        device=device_name(device),
        precision=trainer.precision,
        diverged=diverged,
    )
