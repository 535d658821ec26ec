"""The final score: one-shot tasks of alphabets that no search and no training ever saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from data.sets import open_set
from data.split import split
from data.tasks import OneShotTasks, draw_tasks, find_official_runs, load_official_runs
from model.checkpoint import Checkpoint
from model.config import DataChoice
from model.encoder import encoder
from model.precision import resolve_precision
from model.scoring import one_shot_error, wilson_interval

COUNT = 400  # tasks, as in Koch et al. 2015, §4.3
SEED = 0  # of the random draws


@dataclass(frozen=True)
class Score:
    """An accuracy with all that is needed to compare it."""

    name: str
    accuracy: float
    """In [0, 1]."""
    tasks: int
    interval: tuple[float, float]
    """95 %, Wilson."""
    source: str
    """Which tasks; scores on two sources are not comparable."""


def evaluation_tasks(
    choice: DataChoice, folder: Path, runs: Path | None, say: Callable[[str], None]
) -> OneShotTasks:
    """The tasks to score on: the given runs, else the official ones at hand, else random draws.

    Args:
        choice: the data set.
        folder: where it is, and where the official runs may be beside it.
        runs: official-format runs that were asked for.
        say: is told what is fetched.

    Raises:
        DataError: runs or data that cannot be read.
    """
    path = runs or (find_official_runs(folder) if choice.set == "omniglot" else None)
    if path:
        return load_official_runs(path)
    drawings = open_set(choice.set, choice.seed, folder, say)
    return draw_tasks(split(drawings).evaluation, COUNT, SEED)


def score(name: str, error: float, tasks: OneShotTasks) -> Score:
    """An error on these tasks, as a score."""
    interval = wilson_interval(1 - error, len(tasks))
    return Score(name, 1 - error, len(tasks), interval, tasks.source)


def evaluate_checkpoint(checkpoint: Checkpoint, tasks: OneShotTasks, device: torch.device) -> Score:
    """Score a trained network on tasks of any image size."""
    configuration, network = checkpoint.configuration, checkpoint.network.eval()
    precision = resolve_precision(configuration.training.precision, device)
    sized = tasks.resized(configuration.network.image_size).to(device)
    with torch.inference_mode():
        error = one_shot_error(sized, encoder(network, precision), network.score_all)
    return score("siamese", float(error), tasks)
