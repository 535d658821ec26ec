"""What needs no training: the figures that any network has to beat."""

from __future__ import annotations

from data.tasks import OneShotTasks
from hpo.evaluation import Score, score
from model.scoring import pixel_distance_error

BASELINES = ("chance", "nearest-neighbour")


def score_baseline(name: str, tasks: OneShotTasks) -> Score:
    """Score one of `BASELINES`; chance is what it is expected to be, not a draw."""
    if name == "chance":
        return score(name, 1 - 1 / tasks.support.shape[1], tasks)
    return score(name, pixel_distance_error(tasks), tasks)
