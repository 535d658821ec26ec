import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import create_trial

from hpo.search.bounds import ENOUGH, FEWEST, best_tenth, bindings
from hpo.study.space import SearchSpace
from hpo.study.study import StoredStudy
from hpo.view.status import StatusReader
from tests.hpo.command import Hpo
from tests.hpo.fixture_types import Open
from tests.hpo.tiny_study import tiny_settings


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    return SearchSpace(tiny_settings(tmp_path, "space.filters.high=160"))


def drawn(space: SearchSpace, count: int, **fixed: Any) -> list[dict[str, Any]]:
    chance = np.random.default_rng(0)
    return [{**space.draw(chance), **fixed} for _ in range(count)]


def test_a_bound_that_the_best_trials_lie_at_is_told_with_its_parameters(
    space: SearchSpace,
) -> None:
    best = drawn(space, 10, conv1_filters=160, conv2_filters=160, fc_l2=1.1e-7)
    best[0]["conv2_filters"] = 16
    high, low = bindings(space, best)
    assert (high.key, high.bound, high.of) == ("filters.high", 160, 10)
    assert dict(high.near) == {"conv1_filters": 10, "conv2_filters": 9}
    assert str(high) == (
        "filters.high = 160 binds: of the 10 best trials, conv1_filters in 10, conv2_filters in 9 "
        "lie near it; `hpo run` with --widen filters.high=… goes on beyond it"
    )
    assert (low.key, dict(low.near)) == ("l2.low", {"fc_l2": 10})


def test_trials_at_random_bind_nothing(space: SearchSpace) -> None:
    assert bindings(space, drawn(space, 40)) == []
    assert bindings(space, []) == []


def test_a_range_of_few_values_binds_only_where_chance_does_not_explain_it(
    tmp_path: Path,
) -> None:
    few = SearchSpace(tiny_settings(tmp_path))  # filters are 16 or 32: half of all are at an end
    assert bindings(few, drawn(few, 9, conv1_filters=32)) == []  # p = 0.002
    (found,) = bindings(few, drawn(few, 10, conv1_filters=32))
    assert found.key == "filters.high"


def test_less_than_half_does_not_bind(space: SearchSpace) -> None:
    best = drawn(space, 40)
    for number, params in enumerate(best):
        params["conv1_filters"] = 160 if number < 20 else 64
    assert [one.key for one in bindings(space, best)] == ["filters.high"]
    best[0]["conv1_filters"] = 64
    assert bindings(space, best) == []


def test_the_best_tenth_is_of_the_finished_trials_and_has_ten_at_least() -> None:
    trained = range(100)
    assert len(best_tenth(trained, 300)) == 30
    assert len(best_tenth(trained, ENOUGH)) == FEWEST
    assert best_tenth(trained, ENOUGH - 1) == []
    assert best_tenth(range(FEWEST - 1), 100) == []


def fill(stored: StoredStudy) -> None:
    """Sixty trials, of which those are good that have many filters in the first layer."""
    chance = np.random.default_rng(1)
    for _ in range(60):
        params = stored.space.draw(chance)
        error = 1 - params["conv1_filters"] / 200 + chance.normal() / 1000
        stored.study.add_trial(
            create_trial(
                value=error,
                params=params,
                distributions=stored.space.distributions,
                user_attrs={"seed": 1, "best_epoch": 0, "device": "CPU", "precision": "fp32"},
            )
        )


@pytest.mark.soak
def test_status_and_report_say_which_bound_binds(
    open_study: Open, hpo: Hpo, tmp_path: Path
) -> None:
    stored = open_study("space.filters.high=96")
    study = f"{tmp_path / 'tiny.toml'} --storage {stored.storage.url}"
    assert "binds" not in hpo(f"status {study}").err
    fill(stored)
    assert "filters.high = 96 binds" in hpo(f"status {study}").err
    (found,) = json.loads(hpo(f"status {study} --json").out)["binding"]
    assert found["key"] == "filters.high"
    hpo(f"report {study} -o {tmp_path / 'page.html'}")
    assert "filters.high = 96 binds" in (tmp_path / "page.html").read_text()
    reader = StatusReader(stored)
    reader.read()
    assert [one.key for one in reader.bindings()] == ["filters.high"]
