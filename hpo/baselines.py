"""What a trained network has to beat: simpler ways to answer the same tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from data.alignment import affine_distance
from data.hausdorff import modified_hausdorff
from data.tasks import OneShotTasks
from hpo.evaluation import Score, evaluate_checkpoint, score
from hpo.reference_networks import NETWORKS
from model.checkpoint import Checkpoint
from model.scoring import distance_error, pixel_distance_error

Baseline = Callable[[OneShotTasks], float]
"""Answers the tasks, and gives its error in [0, 1]."""

BASELINES: Mapping[str, Baseline] = {
    "chance": lambda tasks: 1 - 1 / tasks.way,  # what is expected of it, not a draw
    "nearest-neighbour": pixel_distance_error,
    "hausdorff": lambda tasks: distance_error(tasks, modified_hausdorff),
    "affine": lambda tasks: distance_error(tasks, affine_distance),
}
"""What needs no training, by name, in the order in which they are measured."""
NAMES = (*BASELINES, *NETWORKS)
"""All that can be measured, in that order."""


@dataclass(frozen=True)
class Measured:
    """A baseline's score, and how long it took."""

    score: Score
    seconds: float


def measure(name: str, tasks: OneShotTasks) -> Measured:
    """Score one of `BASELINES`."""
    start = time.perf_counter()
    error = BASELINES[name](tasks)
    return Measured(score(name, error, tasks), round(time.perf_counter() - start, 2))


def measure_network(
    name: str, checkpoint: Checkpoint, tasks: OneShotTasks, device: torch.device
) -> Measured:
    """Score a trained network, which is on ``device``, under the name of its row."""
    start = time.perf_counter()
    found = replace(evaluate_checkpoint(checkpoint, tasks, device), name=name)
    return Measured(found, round(time.perf_counter() - start, 2))
