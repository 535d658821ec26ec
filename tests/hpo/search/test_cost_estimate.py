from pathlib import Path

import pytest

from hpo.search import cost_estimate as module
from hpo.search.cost_estimate import estimate, estimate_one, of_mean_cost
from hpo.study.space import SearchSpace
from model.configuration import Configuration
from model.inputs import Inputs
from model.recipe import RandomPairs
from tests.hpo.tiny_study import tiny_settings
from tests.model.tiny import tiny_configuration

ALIKE = (
    "space.kernel={ low = 3, high = 3 }",
    "space.filters={ low = 16, high = 16 }",
    "space.fc_units={ low = 128, high = 128 }",
)


def test_a_trial_is_its_steps_and_validations(
    tmp_path: Path,
    small_inputs: Inputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_timed_step", lambda *_: 2.0)
    space = SearchSpace(tiny_settings(tmp_path, *ALIKE))
    found = estimate(space, small_inputs)
    assert found.step == pytest.approx(2.0)
    # 3 epochs of 4 steps, each with a third of a step for 200 images where a step has 40
    assert found.trial == pytest.approx(3 * (4 * 2.0 + 2.0 * 200 / 40 / 3))


def test_the_step_is_that_of_a_network_of_the_spaces_mean_cost(
    tmp_path: Path, small_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_timed_step", lambda c, _: float(c.network.multiply_adds))
    units = "space.fc_units={ low = 16, high = 4096 }"
    found = estimate(SearchSpace(tiny_settings(tmp_path, *ALIKE[:2], units)), small_inputs)
    # 16 filters of 3×3 on 18×18 and 16 times as many on 7×7 places; then 2056 units in the mean
    cost = 16 * 9 * 18**2 + 16 * 16 * 9 * 7**2 + 16 * 7**2 * 2056
    assert found.step == pytest.approx(cost, rel=0.15)


def test_a_long_step_is_timed_on_few_pairs(
    tmp_path: Path,
    small_inputs: Inputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed: list[int] = []

    def step(configuration: Configuration, *_: object) -> float:
        sampling = configuration.training.sampling
        assert sampling.kind == "random-pairs"
        timed.append(sampling.batch)
        return 0.1 * sampling.batch

    monkeypatch.setattr(module, "_timed_step", step)
    sampling = "training.sampling={ kind = 'random-pairs', pairs = 1000, copies = 1, batch = 100 }"
    space = SearchSpace(tiny_settings(tmp_path, sampling, *ALIKE))
    found = estimate(space, small_inputs)
    assert timed == [2, 4, 8]
    assert found.step == pytest.approx(10.0)
    assert found.trial == pytest.approx(3 * (20 * 10.0 + 10.0 * 200 / 200 / 3))


@pytest.mark.parametrize("steps", [1, 4])
def test_the_timed_step_is_a_real_one(tmp_path: Path, small_inputs: Inputs, steps: int) -> None:
    settings = tiny_settings(tmp_path, f"training.sampling.steps={steps}")
    found = estimate(SearchSpace(settings), small_inputs)
    assert 0 < found.step < found.trial


def test_an_epoch_costs_its_steps(small_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_timed_step", lambda *_: 2.0)
    configuration = tiny_configuration(epochs=3, sampling=RandomPairs(batch=2, steps=5))
    found = estimate_one(configuration, small_inputs)
    assert found.trial == pytest.approx(3 * (5 * 2.0 + 2.0 * 200 / 4 / 3))


def test_the_network_of_mean_cost_stands_for_the_space() -> None:
    """Not that of median cost: most of the time goes into the costly ones."""
    tiny = tiny_configuration()

    def of(units: int) -> Configuration:
        network = tiny.network.model_copy(update={"fc_units": units})
        return tiny.model_copy(update={"network": network})

    drawn = [of(units) for units in (10, 20, 30, 1000, 3000)]  # the mean is 812
    assert of_mean_cost(drawn).network.fc_units == 1000
