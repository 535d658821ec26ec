"""What a trained network has to beat: simpler ways to answer the same tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from data.alignment import affine_distance
from data.hausdorff import modified_hausdorff
from data.tasks import OneShotTasks
from hpo.evaluation import Score, score
from model.scoring import distance_error, pixel_distance_error

Baseline = Callable[[OneShotTasks], float]
"""Answers the tasks, and gives its error in [0, 1]."""

BASELINES: Mapping[str, Baseline] = {
    "chance": lambda tasks: 1 - 1 / tasks.way,  # what is expected of it, not a draw
    "nearest-neighbour": pixel_distance_error,
    "hausdorff": lambda tasks: distance_error(tasks, modified_hausdorff),
    "affine": lambda tasks: distance_error(tasks, affine_distance),
}
"""By name, in the order in which they are measured."""


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
