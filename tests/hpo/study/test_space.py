from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from hpo.study.checked import BrokenStudy
from hpo.study.settings import SettingsError, StudySettings, read_settings
from hpo.study.space import SearchSpace, holds, place_in_range, value_at
from model.architecture import Architecture
from tests.hpo.tiny_study import tiny_settings

PAPER = read_settings(Path(__file__).parents[3] / "studies/paper.toml")


def test_paper_is_the_papers_space_under_the_papers_names() -> None:
    found = SearchSpace(PAPER).distributions
    assert len(found) == 2 * 4 + 1 + 3 * 6
    assert found["conv4_kernel"] == IntDistribution(3, 20)
    assert found["conv1_filters"] == IntDistribution(16, 256, step=16)
    assert found["fc_units"] == IntDistribution(128, 4096, step=16)
    for layer in ("conv1", "conv2", "conv3", "conv4", "fc", "out"):
        assert found[f"{layer}_lr"] == FloatDistribution(1e-4, 1e-1, log=True)
        assert found[f"{layer}_momentum"] == FloatDistribution(0, 1)
        assert f"{layer}_l2" in found


def test_what_fits_is_what_can_be_built() -> None:
    space = SearchSpace(PAPER)
    params = space.draw(np.random.default_rng(0))
    chance = np.random.default_rng(1)
    fitting = 0
    for _ in range(300):
        kernels = chance.integers(3, 21, 4).tolist()
        drawn = {**params, **dict(zip(space.kernels, kernels, strict=True))}
        if space.fits(kernels):
            fitting += 1
            assert space.configuration(drawn, 0).network.sides[-1] >= 1
        else:
            with pytest.raises(BrokenStudy, match="does not fit"):
                space.configuration(drawn, 0)
    assert 0.05 < fitting / 300 < 0.2  # 11.7 % of all kernels fit


def test_draws_are_buildable_and_inside_the_ranges() -> None:
    space, chance = SearchSpace(PAPER), np.random.default_rng(0)
    for _ in range(100):
        params = space.draw(chance)
        assert list(params) == list(space.distributions)
        assert space.fits([int(params[k]) for k in space.kernels])
        for name, value in params.items():
            assert space.distributions[name]._contains(value), name


def test_draws_are_even_over_the_range_or_over_its_logarithm(tmp_path: Path) -> None:
    space, chance = SearchSpace(tiny_settings(tmp_path)), np.random.default_rng(0)
    drawn = [space.draw(chance) for _ in range(300)]

    def middle(rate: str) -> float:
        layers = ("conv1", "conv2", "fc", "out")
        return float(np.median([params[f"{layer}_{rate}"] for params in drawn for layer in layers]))

    assert middle("lr") == pytest.approx((0.01 * 0.1) ** 0.5, rel=0.1)
    assert middle("l2") == pytest.approx((1e-7 * 1e-4) ** 0.5, rel=0.3)
    assert middle("momentum") == pytest.approx((0.5 + 0.9) / 2, abs=0.02)


def test_a_trial_becomes_the_configuration_that_it_names(tmp_path: Path) -> None:
    space = SearchSpace(tiny_settings(tmp_path))
    params = space.draw(np.random.default_rng(3))
    suggested = space.suggest(
        optuna.trial.create_trial(  # type: ignore[arg-type]
            params=params, distributions=space.distributions, value=0.0
        )
    )
    assert suggested == params
    configuration = space.configuration(suggested, seed=5)
    assert configuration.seed == 5
    assert configuration.network.convolutions[1].kernel == params["conv2_kernel"]
    assert configuration.network.convolutions[0].filters == params["conv1_filters"]
    assert configuration.network.fc_units == params["fc_units"]
    assert configuration.network.initial_weights == "he"
    assert configuration.rates["out"].l2 == params["out_l2"]
    assert configuration.rates["conv1"].momentum == params["conv1_momentum"]


def test_what_is_not_searched_of_a_network_is_the_studys() -> None:
    wanted = {
        "image_size": 24,
        "channels": 3,
        "initial_weights": "he",
        "output_weights": "negative",
        "normalisation": "batch",
        "eight_views": True,
    }

    def network_of(**wanted: object) -> Architecture:
        changed = PAPER.model_copy(update={"network": PAPER.network.model_copy(update=wanted)})
        params = dict.fromkeys(SearchSpace(PAPER).distributions, 2)
        return SearchSpace(changed).architecture(params)

    network = network_of(**wanted)
    assert {name: getattr(network, name) for name in wanted} == wanted
    assert network_of(framed=True).framed
    others = {"framed", "convolutions", "fc_units"}
    assert wanted.keys() | others == type(network).model_fields.keys()


def test_parameters_that_make_no_network_are_said_to_be_a_trials(tmp_path: Path) -> None:
    space = SearchSpace(tiny_settings(tmp_path))
    params = space.draw(np.random.default_rng(0)) | {"conv1_filters": 0}
    with pytest.raises(BrokenStudy, match="^the parameters of a trial "):
        space.configuration(params, 0)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("{ conv9_kernel = 3 }", "there is no parameter conv9_kernel: correct its name"),
        ("{ conv1_lr = 0.5 }", "conv1_lr = 0.5 is not in its range: correct one of the two"),
        ("{ fc_units = 130 }", "fc_units = 130 is not in its range: correct one of the two"),
        ("{ conv1_kernel = 3 }", "the kernels [3] do not fit the image as 2 layers: "),
        (
            "{ conv1_kernel = 9, conv2_kernel = 8 }",
            "the kernels [9, 8] do not fit the image as 2 layers: give one for every layer, or "
            "smaller ones",
        ),
    ],
)
def test_first_trials_are_checked(tmp_path: Path, first: str, message: str) -> None:
    good = "{ fc_units = 128 }"
    space = SearchSpace(tiny_settings(tmp_path, f"search.first=[{good}, {first}]"))
    with pytest.raises(SettingsError) as refused:
        space.checked_first()
    assert str(refused.value).startswith(f"search.first, trial 2: {message}")


def test_the_first_trial_of_paper_is_the_published_network() -> None:
    space = SearchSpace(PAPER)
    (first,) = space.checked_first()
    params = {**space.draw(np.random.default_rng(0)), **first}
    network = space.configuration(params, 0).network
    assert (network.weights, network.multiply_adds) == (38_951_745, 908_623_872)


@settings(max_examples=60)
@given(
    convolutions=st.integers(1, 4),
    image=st.integers(16, 60),
    low=st.integers(1, 4),
    more=st.integers(0, 12),
    seed=st.integers(0, 2**32),
)
def test_every_draw_from_any_space_can_be_built(
    convolutions: int, image: int, low: int, more: int, seed: int
) -> None:
    content = PAPER.model_dump()
    content["network"] |= {"convolutions": convolutions, "image_size": image}
    content["space"]["kernel"] = {"low": low, "high": min(low + more, image)}
    content["search"]["first"] = ()
    try:
        space = SearchSpace(StudySettings.model_validate(content))
    except ValidationError:
        return  # not even the smallest network fits
    params = space.draw(np.random.default_rng(seed))
    assert all(holds(space.distributions[name], value) for name, value in params.items())
    network = space.configuration(params, seed).network
    assert min(network.sides) >= 1
    assert network.image_size == image


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (IntDistribution(16, 48, step=16), (16, 32, 48)),
        (FloatDistribution(1e-4, 1e-2, log=True), (1e-4, 1e-3, 1e-2)),
        (FloatDistribution(0.5, 0.9), (0.5, 0.7, 0.9)),
    ],
)
def test_the_ends_and_the_middle_of_a_range(
    distribution: IntDistribution | FloatDistribution, values: tuple[float, float, float]
) -> None:
    value, place = value_at(distribution), place_in_range(distribution)
    assert [value(p) for p in (0, 0.5, 1)] == pytest.approx(values)
    assert [place(v) for v in values] == pytest.approx([0, 0.5, 1])


def test_a_range_holds_its_ends_and_its_steps() -> None:
    steps = IntDistribution(10, 30, step=4)  # Optuna ends it at its last step, 30
    assert [value for value in range(5, 36) if holds(steps, value)] == [10, 14, 18, 22, 26, 30]
    between = FloatDistribution(0.5, 0.9)
    assert [v for v in (0.49, 0.5, 0.7, 0.9, 0.91) if holds(between, v)] == [0.5, 0.7, 0.9]
    odd = IntDistribution(5, 11, step=3)  # whose ends are no multiples of its step
    assert [value for value in range(4, 13) if holds(odd, value)] == [5, 8, 11]
    assert not holds(CategoricalDistribution((1, 2)), 1)


@pytest.mark.parametrize("log", [False, True])
def test_no_value_is_outside_its_range(log: bool) -> None:
    value = value_at(FloatDistribution(0.5, 0.9, log=log))
    assert (value(-0.1), value(1.1)) == (0.5, 0.9)


def test_a_place_between_two_steps_is_the_nearer_one() -> None:
    value = value_at(IntDistribution(3, 23, step=5))
    assert [value(p) for p in (0.12, 0.13, 0.63, 0.87, 0.88)] == [3, 8, 18, 18, 23]
    assert all(isinstance(value(p), int) for p in (0.0, 0.4, 1.0))


def test_the_only_value_of_a_range_is_in_its_middle() -> None:
    for distribution in (FloatDistribution(0.5, 0.5), FloatDistribution(2, 2, log=True)):
        assert place_in_range(distribution)(distribution.low) == 0.5


def test_what_is_no_number_has_no_value() -> None:
    with pytest.raises(TypeError, match="no value of CategoricalDistribution"):
        value_at(CategoricalDistribution(("a", "b")))(0.5)
