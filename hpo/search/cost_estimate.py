"""What a trial will cost here, from timed steps and a timed validation."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from hpo.study.space import SearchSpace
from hpo.study.trials import images_per_epoch
from model.configuration import Configuration
from model.fast.cuda_graph import steps_before_the_pace
from model.inputs import Inputs
from model.recipe import AllPairs, RandomPairs

DRAWS = 101  # configurations that stand for the space
FEW, MORE = 2, 4  # pairs of the smallest step that is timed; how many times as many are timed next
LONG_ENOUGH = 0.2  # seconds that further pairs have to add to a step, to tell what a pair takes


@dataclass(frozen=True)
class Estimate:
    """What one trial costs that trains to its last epoch.

    Attributes:
        trial: seconds.
        step: seconds of one training step.
        multiply_adds: of the forward passes over the training images.
    """

    trial: float
    step: float
    multiply_adds: float


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
    """Time the steps of one network, and its validation.

    Args:
        configuration: of the network, its sampling and its epochs.
        inputs: as in `estimate`.
    """
    training = configuration.training
    match training.sampling:
        case AllPairs():
            few = training.sampling.model_copy(update={"steps": _timed_steps(inputs)})
            step = _timed_step(configuration.with_training(sampling=few), inputs)
        case RandomPairs(batch=batch):
            step = _step_of_pairs(configuration, batch, inputs)
    steps = training.sampling.epoch_steps
    seconds = training.epochs * (steps * step + _timed_validation(configuration, inputs))
    work = training.epochs * images_per_epoch(training) * configuration.network.multiply_adds
    return Estimate(seconds, step, float(work))


def _step_of_pairs(configuration: Configuration, batch: int, inputs: Inputs) -> float:
    """Seconds of a step of ``batch`` pairs; where that is long, reckoned from shorter ones.

    A step takes a time for each pair, and one of its own however many there are: every weight is
    updated. That time is not multiplied.
    """
    seconds: dict[int, float] = {}
    pairs = min(FEW, batch)
    while True:
        few = RandomPairs(pairs=_timed_steps(inputs) * pairs, copies=1, batch=pairs)
        seconds[pairs] = _timed_step(configuration.with_training(sampling=few), inputs)
        fewest, shortest = next(iter(seconds.items()))
        added = seconds[pairs] - shortest
        if pairs == batch:
            return seconds[pairs]
        if added > LONG_ENOUGH:
            return seconds[pairs] + added / (pairs - fewest) * (batch - pairs)
        pairs = min(MORE * pairs, batch)


def _timed_steps(inputs: Inputs) -> int:
    return steps_before_the_pace(inputs.device) + 1


def _timed_step(configuration: Configuration, inputs: Inputs) -> float:
    """Seconds of a step at the pace of all later ones."""
    steps = inputs.trainer(configuration).steps(0)
    for _ in range(steps_before_the_pace(inputs.device)):
        next(steps)[0].item()
    start = time.perf_counter()
    next(steps)[0].item()
    return time.perf_counter() - start


def _timed_validation(configuration: Configuration, inputs: Inputs) -> float:
    """Seconds of a validation at the pace of all later ones."""
    trainer = inputs.trainer(configuration)
    if inputs.device.type == "cuda":
        trainer.validate()  # prepares what all later ones use
    start = time.perf_counter()
    trainer.validate()
    return time.perf_counter() - start
