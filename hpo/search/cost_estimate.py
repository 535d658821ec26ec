"""What a trial will cost here, from a timed step."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from hpo.study.space import SearchSpace
from model.configuration import Configuration
from model.fast.cuda_graph import steps_before_the_pace
from model.inputs import Inputs
from model.recipe import AllPairs, RandomPairs, Sampling

DRAWS = 101  # configurations that stand for the space
LONG_ENOUGH = 0.4  # seconds; a shorter step is timed again with more pairs


@dataclass(frozen=True)
class Estimate:
    """Seconds of one trial that trains to its last epoch, and of one training step."""

    trial: float
    step: float


def estimate(space: SearchSpace, inputs: Inputs) -> Estimate:
    """Time a step of a network of the space's mean cost.

    Args:
        space: of the study.
        inputs: its data, on the device where the trials train.
    """
    chance = np.random.default_rng(0)
    drawn = [space.configuration(space.draw(chance), seed=0) for _ in range(DRAWS)]
    return estimate_one(of_mean_cost(drawn), inputs)


def of_mean_cost(configurations: Sequence[Configuration]) -> Configuration:
    """The one whose multiply-adds are nearest to the mean of all."""
    typical = mean(c.network.multiply_adds for c in configurations)
    return min(configurations, key=lambda c: abs(c.network.multiply_adds - typical))


def estimate_one(configuration: Configuration, inputs: Inputs) -> Estimate:
    """Time a step of one network; where a whole batch would take long, a part of it.

    Args:
        configuration: of the network, its sampling and its epochs.
        inputs: as in `estimate`.
    """
    training, timed_steps = configuration.training, steps_before_the_pace(inputs.device) + 1
    match training.sampling:
        case AllPairs(steps=steps):
            few: Sampling = training.sampling.model_copy(update={"steps": timed_steps})
            step = _timed_step(_with_sampling(configuration, few), inputs)
        case RandomPairs(pairs=pairs, copies=copies, batch=batch):
            steps = training.sampling.steps or -(-pairs * (1 + copies) // batch)
            timed, step = 2, 0.0
            while True:
                few = RandomPairs(pairs=timed_steps * timed, copies=1, batch=timed)
                step = _timed_step(_with_sampling(configuration, few), inputs)
                if step > LONG_ENOUGH or timed >= batch:
                    break
                timed *= 2
            step = step * batch / timed
    # Validation is a forward pass, about a third of a training step, of two images a task.
    validation = step / training.sampling.images * 2 * len(inputs.tasks) / 3
    return Estimate((steps * step + validation) * training.epochs, step)


def _with_sampling(configuration: Configuration, sampling: Sampling) -> Configuration:
    training = configuration.training.model_copy(update={"sampling": sampling})
    return configuration.model_copy(update={"training": training})


def _timed_step(configuration: Configuration, inputs: Inputs) -> float:
    """Seconds of a step at the pace of all later ones."""
    steps = inputs.trainer(configuration).steps(0)
    for _ in range(steps_before_the_pace(inputs.device)):
        next(steps)[0].item()
    start = time.perf_counter()
    next(steps)[0].item()
    return time.perf_counter() - start
