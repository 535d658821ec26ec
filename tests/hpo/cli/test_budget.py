"""Searches that end with a budget, `hpo run --budget`."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from optuna.trial import TrialState

from hpo.study.limits import spending_of
from hpo.study.study import StoredStudy
from hpo.view.format import amount
from hpo.view.terminal import StudyView
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Searched
from tests.hpo.made_up import drawn, stopped_at
from tests.hpo.tiny_study import open_tiny, write_tiny


@pytest.fixture
def tiny(hpo: Hpo, tmp_path: Path) -> Searched:
    """Writes the study file; opens the study, anew each time."""
    write_tiny(tmp_path / "studies", **{"epochs = 3": "epochs = 2"})
    return lambda: open_tiny(tmp_path)


def spent(stored: StoredStudy) -> float:
    found = spending_of(stored)
    assert found is not None
    return found.spent


def costs(stored: StoredStudy) -> list[float]:
    """Multiply-adds of each trial, in order."""
    images = 2 * 20 * 4
    trials = stored.study.get_trials(states=(TrialState.COMPLETE,))
    return [2 * images * t.user_attrs["multiply_adds"] for t in trials]


def test_a_search_ends_with_its_budget_and_goes_on_with_more(hpo: Hpo, tiny: Searched) -> None:
    first = hpo("run tiny --budget 1e6")  # less than any trial takes
    assert first.status == 0, first.err
    assert "budget   0 of 1.00 × 10⁶ multiply-adds spent" in first.err
    assert "trials   0 finished: " in first.err
    assert "a trial that is not pruned" in first.err
    stored = tiny()
    assert len(stored.study.trials) == 1
    assert spent(stored) == sum(costs(stored)) > 1e6

    again = hpo("run tiny --budget 1e6")
    assert "none left" in again.err
    assert again.out == first.out
    assert len(stored.study.trials) == 1

    more = hpo(f"run tiny --budget {4 * spent(stored):e}")
    assert more.status == 0
    assert "of work left" in more.err
    stored = tiny()
    each = costs(stored)
    budget = spending_of(stored)
    assert budget is not None
    assert sum(each[:-1]) < budget.budget.amount <= sum(each)  # it went beyond by one at most
    assert len(stored.study.trials) == len(each)

    figures = json.loads(hpo("status tiny --json").out)
    assert figures["wanted"] is None
    assert figures["seconds_left"] == 0
    kept = figures["budget"]
    assert kept == asdict(budget.budget) | {"spent": sum(each)}
    shown = hpo("status tiny").out
    assert f"tiny: {len(each)} trials finished" in shown
    assert f"budget: {amount(budget)} spent" in shown
    view = drawn(StudyView(stored), width=80)
    assert f"{len(each)} trials" in view
    assert f"{amount(budget)} spent" in view
    assert hpo("status tiny --watch").status == 0  # it ends, as the study is full
    assert hpo("report tiny -o report.html").status == 0


def test_time_is_a_budget_too_and_the_first_of_two_limits_ends_it(hpo: Hpo, tiny: Searched) -> None:
    assert hpo("run tiny --trials 2 --budget 10h").status == 0
    assert len(tiny().study.trials) == 2
    took = spent(tiny())
    assert took == pytest.approx(sum(t.user_attrs["seconds"] for t in tiny().study.trials))
    assert "2 of 2 trials" in hpo("worker tiny").err
    both = hpo(f"run tiny --trials 50 --budget {took + 0.01:.3f}s")
    assert "2 finished, 48 left: about" in both.err
    assert len(tiny().study.trials) == 3
    assert hpo("run tiny --trials 4").status == 0  # the budget of the line before is gone
    assert len(tiny().study.trials) == 4
    assert spending_of(tiny()) is None
    assert json.loads(hpo("status tiny --json").out)["budget"] is None


def test_a_worker_obeys_the_budget(hpo: Hpo, tiny: Searched) -> None:
    assert hpo("run tiny --budget 1e6 --workers 0").status == 0
    joined = hpo("worker tiny")
    assert joined.status == 0
    assert "0 trials, 0 of 1.00 × 10⁶ multiply-adds" in joined.err
    assert len(tiny().study.trials) == 1
    assert hpo("worker tiny").status == 0
    assert len(tiny().study.trials) == 1


def test_a_trial_that_was_begun_is_finished_beyond_the_budget_not_beyond_twice_of_it(
    hpo: Hpo, tiny: Searched
) -> None:
    with stopped_at(7):  # in the second epoch
        assert hpo("run tiny --budget 1e6").status == 130
    images = 2 * 20 * 4
    (begun, _) = tiny().study.trials
    assert spent(tiny()) == images * begun.user_attrs["multiply_adds"] > 1e6
    assert hpo("run tiny --budget 1e6").status == 0
    assert [t.state for t in tiny().study.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert hpo(f"run tiny --budget {0.9 * spent(tiny()):e}").status == 0
    assert [t.state for t in tiny().study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert [spent(tiny())] == costs(tiny())


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("run tiny", "give --trials 20, --budget 2h, or both"),
        ("run tiny --budget soon", "--budget soon is no amount of compute"),
        ("run tiny --budget 0h", "--budget 0h is no amount of compute"),
        ("run tiny --budget 90", "write 90h, 90m or 90s"),
        ("run tiny --budget 2h --trials 0", "--trials"),
    ],
)
def test_a_bad_budget_is_named(
    hpo: Hpo, tiny: Searched, tmp_path: Path, line: str, part: str
) -> None:
    assert refused(hpo(line), part)
    assert not (tmp_path / "studies/tiny").exists()
