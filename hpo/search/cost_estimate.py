"""What a trial will cost here, from a timed step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import mean

import numpy as np
import torch

from data.drawings import Drawings
from data.tasks import OneShotTasks
from hpo.study.space import SearchSpace
from model.configuration import Configuration
from model.fast.cuda_graph import steps_before_the_pace
from model.recipe import AllPairs, RandomPairs, Sampling
from model.training import Trainer

DRAWS = 101  # configurations that stand for the space
LONG_ENOUGH = 0.4  # seconds; a shorter step is timed again with more pairs


@dataclass(frozen=True)
class Estimate:
    """Seconds of one trial that trains to its last epoch, and of one training step."""

    trial: float
    step: float


def estimate(
    space: SearchSpace, drawings: Drawings, tasks: OneShotTasks, device: torch.device
) -> Estimate:
    """Time a step of the network of median cost, and scale it to the mean cost of the space.

    Args:
        space: of the study.
        drawings: the training set, on ``device``.
        tasks: the validation tasks, on ``device``.
        device: where the trials train.
    """
    chance = np.random.default_rng(0)
    drawn = [space.configuration(space.draw(chance), seed=0) for _ in range(DRAWS)]
    drawn.sort(key=lambda c: c.network.multiply_adds)
    median = drawn[DRAWS // 2]
    costlier = mean(c.network.multiply_adds for c in drawn) / median.network.multiply_adds
    one = estimate_one(median, drawings, tasks, device)
    return Estimate(one.trial * costlier, one.step * costlier)


def estimate_one(
    configuration: Configuration, drawings: Drawings, tasks: OneShotTasks, device: torch.device
) -> Estimate:
    """Time a step of one network; where a whole batch would take long, a part of it.

    Args:
        configuration: of the network, its sampling and its epochs.
        drawings, tasks, device: as in `estimate`.
    """
    training, timed_steps = configuration.training, steps_before_the_pace(device) + 1
    match training.sampling:
        case AllPairs(steps=steps):
            few: Sampling = training.sampling.model_copy(update={"steps": timed_steps})
            step = _timed_step(_with_sampling(configuration, few), drawings, tasks, device)
        case RandomPairs(pairs=pairs, copies=copies, batch=batch):
            steps = training.sampling.steps or -(-pairs * (1 + copies) // batch)
            timed, step = 2, 0.0
            while True:
                few = RandomPairs(pairs=timed_steps * timed, copies=1, batch=timed)
                step = _timed_step(_with_sampling(configuration, few), drawings, tasks, device)
                if step > LONG_ENOUGH or timed >= batch:
                    break
                timed *= 2
            step = step * batch / timed
    # Validation is a forward pass, about a third of a training step, of two images a task.
    validation = step / training.sampling.images * 2 * len(tasks) / 3
    return Estimate((steps * step + validation) * training.epochs, step)


def _with_sampling(configuration: Configuration, sampling: Sampling) -> Configuration:
    training = configuration.training.model_copy(update={"sampling": sampling})
    return configuration.model_copy(update={"training": training})


def _timed_step(
    configuration: Configuration, drawings: Drawings, tasks: OneShotTasks, device: torch.device
) -> float:
    """Seconds of a step at the pace of all later ones."""
    steps = Trainer(configuration, drawings, tasks, device).steps(0)
    for _ in range(steps_before_the_pace(device)):
        next(steps)[0].item()
    start = time.perf_counter()
    next(steps)[0].item()
    return time.perf_counter() - start
