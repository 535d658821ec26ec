from pathlib import Path

import numpy as np
import pytest

from hpo.search import cost_estimate as module
from hpo.search.cost_estimate import estimate, estimate_one, of_mean_cost
from hpo.study.space import SearchSpace
from model.configuration import Configuration
from model.inputs import Inputs
from model.recipe import AllPairs, RandomPairs
from tests.hpo.tiny_study import tiny_settings
from tests.model.tiny import tiny_configuration

ALIKE = (
    "space.kernel={ low = 3, high = 3 }",
    "space.filters={ low = 16, high = 16 }",
    "space.fc_units={ low = 128, high = 128 }",
)


FIXED, PAIR, VALIDATION = 0.5, 0.01, 3.0
"""Seconds of a made-up machine: of any step, of each of its pairs, of a validation."""


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pairs of the steps that are timed on that machine, in order."""
    batches: list[int] = []

    def step(configuration: Configuration, _: Inputs) -> float:
        sampling = configuration.training.sampling
        pairs = sampling.batch if isinstance(sampling, RandomPairs) else 150
        batches.append(pairs)
        return FIXED + PAIR * pairs

    monkeypatch.setattr(module, "_timed_step", step)
    monkeypatch.setattr(module, "_timed_validation", lambda *_: VALIDATION)
    return batches


def test_a_trial_is_its_steps_and_validations(
    tmp_path: Path, small_inputs: Inputs, timed: list[int]
) -> None:
    space = SearchSpace(tiny_settings(tmp_path, *ALIKE))
    found = estimate(space, small_inputs)
    assert found.step == pytest.approx(2.0)
    assert found.trial == pytest.approx(3 * (4 * 2.0 + VALIDATION))
    network = space.configuration(space.draw(np.random.default_rng(0)), 0).network
    assert found.multiply_adds == 3 * 4 * 40 * network.multiply_adds


def test_the_step_is_that_of_a_network_of_the_spaces_mean_cost(
    tmp_path: Path, small_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_timed_step", lambda c, _: float(c.network.multiply_adds))
    units = "space.fc_units={ low = 16, high = 4096 }"
    found = estimate(SearchSpace(tiny_settings(tmp_path, *ALIKE[:2], units)), small_inputs)
    # 16 filters of 3×3 on 18×18 and 16 times as many on 7×7 places; then 2056 units in the mean
    cost = 16 * 9 * 18**2 + 16 * 16 * 9 * 7**2 + 16 * 7**2 * 2056
    assert found.step == pytest.approx(cost, rel=0.15)


@pytest.mark.parametrize(
    ("batch", "sizes"), [(1000, [2, 8, 32]), (32, [2, 8, 32]), (20, [2, 8, 20]), (1, [1])]
)
def test_what_a_step_takes_by_itself_is_not_multiplied(
    tmp_path: Path, small_inputs: Inputs, timed: list[int], batch: int, sizes: list[int]
) -> None:
    """Of a step of 2 pairs and 0.52 seconds 500 would have taken 8.7 times as long as they do."""
    sampling = f"{{ kind = 'random-pairs', pairs = 1000, copies = 1, batch = {batch} }}"
    space = SearchSpace(tiny_settings(tmp_path, f"training.sampling={sampling}", *ALIKE))
    found = estimate(space, small_inputs)
    assert timed == sizes
    step = FIXED + PAIR * batch
    assert found.step == pytest.approx(step)
    assert found.trial == pytest.approx(3 * (-(-2000 // batch) * step + VALIDATION))


@pytest.mark.parametrize(
    "sampling", [AllPairs(characters=20, per_alphabet=10, steps=4), RandomPairs(pairs=100, batch=4)]
)
def test_what_is_timed_is_real(small_inputs: Inputs, sampling: AllPairs | RandomPairs) -> None:
    found = estimate_one(tiny_configuration(epochs=3, sampling=sampling), small_inputs)
    steps = sampling.steps or 225
    assert found.step > 0
    assert found.trial > 3 * steps * found.step  # and the validations


def test_an_epoch_costs_its_steps(small_inputs: Inputs, timed: list[int]) -> None:
    configuration = tiny_configuration(epochs=3, sampling=RandomPairs(batch=2, steps=5))
    found = estimate_one(configuration, small_inputs)
    assert found.trial == pytest.approx(3 * (5 * (FIXED + 2 * PAIR) + VALIDATION))
    assert found.multiply_adds == 3 * 5 * 4 * configuration.network.multiply_adds


def test_the_network_of_mean_cost_stands_for_the_space() -> None:
    """Not that of median cost: most of the time goes into the costly ones."""
    tiny = tiny_configuration()

    def of(units: int) -> Configuration:
        network = tiny.network.model_copy(update={"fc_units": units})
        return tiny.model_copy(update={"network": network})

    drawn = [of(units) for units in (10, 20, 30, 1000, 3000)]  # the mean is 812
    assert of_mean_cost(drawn).network.fc_units == 1000
