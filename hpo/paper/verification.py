"""The paper's first table: verification after training on more and more pairs.

Koch et al. 2015, table 1. Every cell is one network, trained on a set of its own: 30, 90 or 150
thousand pairs, plain or with distorted copies. The measured cells are kept in one file.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from data.drawings import Drawings
from data.errors import UserError
from data.files import read_text, write_whole
from data.pairs import draw_pairs
from data.split import Split
from hpo.study.settings import SettingsError
from model.architecture import Frozen
from model.configuration import Configuration, first_problem
from model.fast.encoder import answering_encoder
from model.history import Diverged, Epoch, History
from model.inputs import Inputs
from model.recipe import RandomPairs
from model.scoring import wilson_interval
from model.snapshot import Snapshot, train_resumably
from model.verification import best_threshold, pair_logits, verification_accuracy

FORMAT: Final = "hpo-verification-1"
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


class Result(Frozen):
    """What was measured of one cell."""

    cell: str
    pairs: int
    """In the training set, before the distorted copies."""
    copies: int
    """Distorted ones of each pair."""
    accuracy: float
    """On pairs of the evaluation alphabets, in [0, 1]."""
    interval: tuple[float, float]
    """95 %, Wilson, as if no two pairs shared a drawing."""
    evaluation_pairs: int
    threshold: float
    """A larger logit means "same"."""
    validation_accuracy: float
    """On as many pairs of the validation alphabets, the ones that chose the threshold."""
    one_shot_error: float
    """On the validation tasks, the lowest of any epoch."""
    best_epoch: int
    epochs: tuple[Epoch, ...]
    seconds: float
    """Of training and validation."""
    configuration: dict[str, Any]
    device: str
    precision: str
    diverged: str | None = None
    """When, where the training ended by that; its best epoch before was measured."""


class _File(Frozen):
    """All results, by the fingerprint of their settings: other settings are other results."""

    format: Literal["hpo-verification-1"]
    results: dict[str, Result]


def fingerprint(configuration: Configuration, data_fingerprint: str) -> str:
    """What tells a result from those of any other settings, in 16 hexadecimal digits.

    Args:
        configuration: that the network trains by.
        data_fingerprint: of the drawings.
    """
    whole = json.dumps([configuration.recipe_key, data_fingerprint, PAIRS, SEED])
    return sha256(whole.encode()).hexdigest()[:16]


def cell_configuration(
    configuration: Configuration, cell: Cell, steps: int | None
) -> Configuration:
    """The configuration with the cell's pairs to train on; what does not bear on them is left out.

    Args:
        configuration: whose network, rates and schedule every cell has.
        cell: which.
        steps: what every cell trains for at the most, in as many epochs as the
            configuration has, so that their schedules are the same too; None: every epoch is the
            whole set, and training ends as the configuration says.

    Raises:
        SettingsError: fewer steps than epochs.
    """
    training = configuration.training
    old = training.sampling if isinstance(training.sampling, RandomPairs) else RandomPairs()
    pairs: dict[str, Any] = {"pairs": cell.pairs, "copies": cell.copies}
    recipe: dict[str, Any] = {}
    if steps is not None:
        if steps < training.epochs:
            raise SettingsError(
                f"--steps {steps} is less than one for each of the configuration's "
                f"{training.epochs} epochs: give at least {training.epochs}"
            )
        pairs["steps"] = steps // training.epochs
        recipe["patience"] = training.epochs  # a cell that stopped early would have had less
    recipe["sampling"] = old.model_copy(update=pairs)
    return configuration.model_copy(update={"provenance": None}).with_training(**recipe)


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
    inputs: Inputs,
    snapshot: Snapshot,
    on_epoch: Callable[[History], None],
    on_step: Callable[[], None],
) -> Result:
    """Train the network of a cell, or go on with it, and measure it.

    Args:
        cell: which.
        configuration: from `cell_configuration`.
        inputs: its data; the validation tasks choose the epoch.
        snapshot: of a training of this configuration on this data, if there is one.
        on_epoch: called after every epoch with those so far.
        on_step: called after every step; may raise `Interrupted`.

    Raises:
        Interrupted: the training was stopped; it goes on from there the next time.
        Diverged: in its first epoch.
        OSError: the snapshot cannot be written.
    """
    trainer = inputs.trainer(configuration)
    diverged = None
    try:
        train_resumably(trainer, snapshot, on_step, lambda *_: on_epoch(trainer.history))
    except Diverged as error:
        if not trainer.history.epochs:
            raise
        diverged = str(error)
    network, history = trainer.network, trainer.history
    encode = answering_encoder(network, trainer.precision)

    def score(drawings: Drawings) -> tuple[Tensor, Tensor]:
        here = drawings.to(inputs.device)
        pairs = draw_pairs(here, PAIRS, 0, SEED)
        return pair_logits(here, pairs, encode, network.score), pairs.same

    with torch.inference_mode():
        threshold, chosen, accuracy = measure(score, inputs.split)
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
        device=trainer.device_name,
        precision=trainer.precision,
        diverged=diverged,
    )


def read_results(path: Path) -> Mapping[str, Result]:
    """The results that are kept in a file, by their fingerprint; none where there is no file.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        content = read_text(path, "name another folder with -o")
        return _File.model_validate_json(content).results
    except UserError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return {}
        raise
    except ValidationError as error:
        raise UserError(
            f"{path} holds no verification results ({first_problem(error)}): move it away, or name "
            "another folder with -o"
        ) from error


def keep_result(path: Path, key: str, result: Result) -> None:
    """Add a result to the file, beside those that another process may have added by now.

    Raises:
        UserError: the file has become something else.
        OSError: it cannot be written.
    """
    whole = _File(format=FORMAT, results={**read_results(path), key: result})
    write_whole(path, f"{whole.model_dump_json(indent=2)}\n".encode())
