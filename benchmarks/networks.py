"""The networks that are timed, and configurations to train them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hpo.search.cost_estimate import of_mean_cost
from hpo.study.settings import StudySettings, read_settings
from hpo.study.space import SearchSpace
from model.configuration import Configuration
from model.recipe import AllPairs, RandomPairs

STUDIES = Path(__file__).parents[1] / "studies"
PAIRS = 128  # of a step, Koch et al. 2015, §3.2
DRAWS = 101  # of the paper's space, for its median and its 95th percentile by multiply-adds
MANY = 10**5  # pairs of an epoch: more than are ever timed


def configurations() -> Mapping[str, Configuration]:
    """By name, each to be trained on random pairs, every second one distorted."""
    paper, small = (settings(name) for name in ("paper", "small"))
    space, chance = SearchSpace(paper), np.random.default_rng(0)
    drawn = [space.configuration(space.draw(chance), 0) for _ in range(DRAWS)]
    drawn.sort(key=lambda c: c.network.multiply_adds)
    chosen = {
        "published": first(paper),
        "median": drawn[DRAWS // 2],
        "mean": of_mean_cost(drawn),
        "large": drawn[DRAWS * 95 // 100],
        "small": first(small),
    }
    sampling = RandomPairs(pairs=MANY, copies=1, batch=PAIRS)
    return {name: c.with_training(sampling=sampling) for name, c in chosen.items()}


def settings(study: str) -> StudySettings:
    """A shipped study's."""
    return read_settings(STUDIES / f"{study}.toml")


def first(study: StudySettings) -> Configuration:
    """The configuration that a study sets by hand for its first trial."""
    space = SearchSpace(study)
    drawn = space.draw(np.random.default_rng(0))  # what the first trial leaves open
    return space.configuration({**drawn, **space.checked_first()[0]}, 0)


def as_searched(study: str) -> Configuration:
    """The first network of `small` or `modern` with the study's own sampling, all pairs."""
    configuration = first(settings(study))
    sampling = configuration.training.sampling
    assert isinstance(sampling, AllPairs)
    return configuration.with_training(sampling=sampling.model_copy(update={"steps": MANY}))
