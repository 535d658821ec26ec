from pathlib import Path

import numpy as np
import pytest

from hpo.search.carry_over import carry_over
from hpo.study.space import Params, SearchSpace
from tests.hpo.tiny_study import tiny_settings


@pytest.fixture
def given(tmp_path: Path) -> Params:
    """A configuration of the tiny study: two layers, on an image of 20×20."""
    space = SearchSpace(tiny_settings(tmp_path))
    sizes = {"conv1_kernel": 5, "conv1_filters": 16, "conv2_kernel": 7, "conv2_filters": 32}
    return {**space.draw(np.random.default_rng(0)), **sizes, "fc_units": 256}


def into(tmp_path: Path, *changes: str) -> SearchSpace:
    return SearchSpace(tiny_settings(tmp_path, *changes))


def without(params: Params, *parts: str) -> Params:
    return {n: v for n, v in params.items() if not any(part in n for part in parts)}


def test_the_same_space_takes_all_in_silence(tmp_path: Path, given: Params) -> None:
    assert carry_over([given, given], into(tmp_path)) == ([given, given], [])


@pytest.mark.parametrize(
    ("change", "parts", "line"),
    [
        (
            "space.filters={ low = 32, high = 64 }",
            ("conv1_filters",),
            "filters: 2 of 4 values are outside 32 to 64 in steps of 16, left to the sampler",
        ),
        (
            "space.fc_units={ low = 128, high = 240 }",
            ("fc_units",),
            "fc_units: 2 of 2 values are outside 128 to 240 in steps of 16, left to the sampler",
        ),
        (
            "space.lr={ low = 1e-4, high = 1e-3, log = true }",
            ("lr",),
            "lr: 8 of 8 values are outside 0.0001 to 0.001, left to the sampler",
        ),
    ],
)
def test_a_value_out_of_range_is_left_to_the_sampler(
    tmp_path: Path, given: Params, change: str, parts: tuple[str, ...], line: str
) -> None:
    carried, lines = carry_over([given, given], into(tmp_path, change))
    assert carried == [without(given, *parts)] * 2
    assert lines == [line]


def test_kernels_are_carried_over_together_or_not_at_all(tmp_path: Path, given: Params) -> None:
    small = {**given, "conv1_kernel": 3, "conv2_kernel": 3}
    narrow = into(tmp_path, "space.kernel={ low = 3, high = 6 }")
    carried, lines = carry_over([given, small], narrow)
    assert carried == [without(given, "kernel"), small]
    assert lines == [
        "kernel: 1 of 4 values are outside 3 to 6, left to the sampler",
        "kernel: those of 1 of 2 configurations do not fit the 20×20 image as 2 layers, left to "
        "the sampler",
    ]


def test_kernels_that_do_not_fit_the_image_are_left_out(tmp_path: Path, given: Params) -> None:
    carried, lines = carry_over([given], into(tmp_path, "network.image_size=14"))
    assert carried == [without(given, "kernel")]
    assert lines == [
        "kernel: those of 1 of 1 configurations do not fit the 14×14 image as 2 layers, left to "
        "the sampler"
    ]


def test_sizes_over_the_limit_are_left_out(tmp_path: Path, given: Params) -> None:
    given["conv1_filters"] = 32
    cost = into(tmp_path).architecture(given).multiply_adds
    assert carry_over([given], into(tmp_path, f"space.multiply_adds={cost}")) == ([given], [])
    carried, lines = carry_over([given], into(tmp_path, f"space.multiply_adds={cost - 1}"))
    assert carried == [without(given, "kernel", "filters", "units")]
    assert "fc_units: those of 1 of 1 configurations take more than" in lines[0]


def test_sizes_over_the_limit_with_the_smallest_rest(tmp_path: Path, given: Params) -> None:
    some = {**without(given, "fc_units"), "conv1_filters": 32}
    cheapest = into(tmp_path).architecture({**some, "fc_units": 128}).multiply_adds
    fits = into(tmp_path, f"space.multiply_adds={cheapest}")
    assert carry_over([some], fits) == ([some], [])
    carried, _ = carry_over([some], into(tmp_path, f"space.multiply_adds={cheapest - 1}"))
    assert carried == [without(some, "kernel", "filters")]


def test_fewer_layers_take_the_first(tmp_path: Path, given: Params) -> None:
    carried, lines = carry_over([given], into(tmp_path, "network.convolutions=1"))
    assert carried == [without(given, "conv2")]
    assert lines == ["conv2: not in this study, left out"]


def test_more_layers_take_all_but_the_kernels(tmp_path: Path, given: Params) -> None:
    deep = into(tmp_path, "network.convolutions=3", "space.kernel={ low = 2, high = 9 }")
    carried, lines = carry_over([given], deep)
    assert carried == [without(given, "kernel")]
    assert lines == [
        "conv3: not there, left to the sampler",
        "kernel: those of 1 of 1 configurations do not fit the 20×20 image as 3 layers, left to "
        "the sampler",
    ]
