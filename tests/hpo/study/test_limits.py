import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.study.limits import (
    BUDGET,
    WANTED,
    Budget,
    Spending,
    has_place,
    may_begin,
    reached,
    read_budget,
    set_limits,
    spending_of,
    wanted_trials,
)
from hpo.study.settings import SettingsError
from hpo.study.study import StoredStudy
from hpo.study.trials import Record, images_per_epoch
from hpo.view.format import amount
from hpo.view.status import StatusReader
from hpo.view.terminal import StudyView
from tests.hpo.big_study import big_study
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Searched
from tests.hpo.made_up import drawn, stopped_at
from tests.hpo.tiny_study import open_tiny, tiny_settings, write_tiny


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("2h", 7200, "seconds"),
        ("1.5h", 5400, "seconds"),
        ("90m", 5400, "seconds"),
        ("45s", 45, "seconds"),
        ("0.5s", 0.5, "seconds"),
        (" 2 H ", 7200, "seconds"),
        ("3e15", 3e15, "multiply-adds"),
        ("1.5E+12", 1.5e12, "multiply-adds"),
        ("20000000", 2e7, "multiply-adds"),
    ],
)
def test_amounts_as_a_person_writes_them(text: str, amount: float, unit: str) -> None:
    budget = read_budget(text)
    assert (budget.amount, budget.unit) == (amount, unit)


@pytest.mark.parametrize(
    "text",
    ["", "h", "2x", "2h30m", "-2h", "0h", "nan", "inf", "1e999", "1e999h", "two hours", "2 d"],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_budget(text)
    assert str(refused.value) == (
        f"--budget {text} is no amount of compute: write a time such as 2h, 90m or 45s, or "
        "multiply-adds such as 3e15"
    )


def test_a_forgotten_unit_is_noticed() -> None:
    with pytest.raises(SettingsError) as refused:
        read_budget("999999")
    assert str(refused.value) == (
        "--budget 999999 is that many multiply-adds, and no network trains with so few: for a "
        "time write 999999h, 999999m or 999999s"
    )
    assert read_budget("1000000") == Budget(1e6, "multiply-adds")


def spender(number: int, seconds: float | None, epochs: int = 3, **more: Any) -> FrozenTrial:
    kept = Record(seconds=seconds, **({"multiply_adds": 1000} | more)).attributes
    trial = create_trial(
        value=0.5, user_attrs=kept, intermediate_values=dict.fromkeys(range(epochs), 0.5)
    )
    trial.number = number
    return trial


def test_what_is_spent_counts_once_what_a_retry_went_on_from(tmp_path: Path) -> None:
    training = tiny_settings(tmp_path).training
    images = 2 * 20 * 4  # of an epoch
    trials = [
        spender(0, 30, 2),
        spender(1, 70, 3, retry_of=0, resumed_at=2),
        spender(2, 10, 1),
        spender(3, 20, 1, retry_of=2),  # it began anew: what was lost is spent
        spender(4, None, 0, multiply_adds=None),
        spender(5, 5, 1, fail_reason="diverged"),
    ]
    time = Spending.of(Budget(210, "seconds"), trials, training)
    assert (time.spent, time.seconds, time.seconds_left) == (105, 105, 105)
    assert not time.used_up
    assert amount(time) == "105 s of 3.5 min"
    work = Spending.of(Budget(14_000 * images, "multiply-adds"), trials, training)
    assert work.spent == (2 + 1 + 1 + 1 + 1) * 1000 * images
    assert work.seconds_left == pytest.approx(105 * 8 / 6)
    assert amount(work) == "9.60 × 10⁵ of 2.24 × 10⁶ multiply-adds"
    assert Spending.of(Budget(105, "seconds"), trials, training).used_up
    assert Spending.of(Budget(1e9, "multiply-adds"), [], training).seconds_left is None


@pytest.mark.parametrize(
    ("sampling", "images"),
    [
        ("{ kind = 'random-pairs', pairs = 100, copies = 3, batch = 16 }", 2 * (100 + 300)),
        ("{ kind = 'random-pairs', pairs = 100, batch = 16, steps = 5 }", 2 * 16 * 5),
        ("{ kind = 'all-pairs', characters = 6, per_alphabet = 3, steps = 5 }", 2 * 6 * 5),
    ],
)
def test_what_an_epoch_encodes(tmp_path: Path, sampling: str, images: int) -> None:
    training = tiny_settings(tmp_path, f"training.sampling={sampling}").training
    assert images_per_epoch(training) == images
    work = Spending.of(Budget(1e9, "multiply-adds"), [spender(0, 30, epochs=3)], training)
    assert work.spent == 3 * 1000 * images


HOUR = Budget(3600, "seconds")


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


def test_at_no_moment_is_there_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study()
    limits = [(20, None), (None, HOUR), (5, HOUR), (None, HOUR), (20, None), (None, HOUR)]
    plain = optuna.Study.set_user_attr
    written = []

    def write(study: optuna.Study, name: str, value: object) -> None:
        plain(study, name, value)
        written.append(name)
        assert study.user_attrs.get(WANTED) or study.user_attrs.get(BUDGET)

    monkeypatch.setattr(optuna.Study, "set_user_attr", write)
    for trials, budget in limits:
        set_limits(study, trials, budget)
        assert wanted_trials(study) == trials
        assert study.user_attrs.get(BUDGET) == (budget and asdict(budget))
    assert written[:2] == [WANTED, BUDGET]  # a study that never had a budget says nothing of one


def test_who_may_begin_when_the_budget_is_used_up(stored: StoredStudy) -> None:
    set_limits(stored.study, None, HOUR)
    stored.study.add_trial(create_trial(value=0.5, user_attrs={"seconds": 3000.0}))
    assert has_place(stored)
    assert not reached(stored)
    running = stored.study.ask()
    assert may_begin(stored, running)
    running.set_user_attr("seed", 1)
    running.set_user_attr("seconds", 700.0)  # after an epoch
    assert not has_place(stored)
    assert not reached(stored)  # another process may have to take it over
    assert may_begin(stored, running)
    running.set_user_attr("seconds", 4200.0)  # with the others twice the budget
    assert reached(stored)  # it is to end too, and nobody takes it over
    set_limits(stored.study, None, Budget(3601, "seconds"))
    assert not reached(stored)
    stored.study.tell(running, 0.4)
    assert reached(stored)
    stored.study.enqueue_trial({"conv1_kernel": 3})  # enqueued, and never begun
    assert reached(stored)
    assert not may_begin(stored, stored.study.ask())


def test_trials_that_run_have_places_of_those_that_are_wanted(stored: StoredStudy) -> None:
    stored.study.add_trial(create_trial(value=0.5))
    set_limits(stored.study, 3, None)
    first = stored.study.ask()
    assert has_place(stored)
    second = stored.study.ask()
    assert not has_place(stored)
    stored.study.tell(first, state=TrialState.FAIL)
    assert has_place(stored)
    stored.study.tell(second, 0.5)
    stored.study.ask()
    assert not has_place(stored)


def test_a_trial_begins_where_fewer_than_are_wanted_are_ahead_of_it(stored: StoredStudy) -> None:
    stored.study.add_trial(create_trial(value=0.5))
    first, second, third = (stored.study.ask() for _ in range(3))
    set_limits(stored.study, 3, None)
    assert may_begin(stored, first)
    assert may_begin(stored, second)
    assert not may_begin(stored, third)
    stored.study.tell(second, 0.5)
    assert not may_begin(stored, third)
    stored.study.tell(first, state=TrialState.FAIL)
    assert may_begin(stored, third)


def test_what_was_begun_goes_on_until_the_budget_is_overdrawn(stored: StoredStudy) -> None:
    stored.study.add_trial(create_trial(value=0.5, user_attrs={"seconds": 3600.0}))
    stored.study.enqueue_trial({"conv1_kernel": 3}, user_attrs={"seed": 1})  # handed back
    set_limits(stored.study, None, HOUR)
    assert has_place(stored)
    assert not reached(stored)
    set_limits(stored.study, None, Budget(1800, "seconds"))
    assert not has_place(stored)
    assert reached(stored)


def test_an_old_study_ends_as_it_did(stored: StoredStudy) -> None:
    assert reached(stored)  # none are wanted yet
    stored.study.set_user_attr(WANTED, 1)
    assert not reached(stored)
    stored.study.add_trial(create_trial(value=0.5))
    assert reached(stored)
    assert spending_of(stored) is None


def test_the_standing_says_the_same_of_the_budget(database: str, tmp_path: Path) -> None:
    stored = big_study(database, trials=60, epochs=4, settings=tiny_settings(tmp_path))
    attributes = {"seconds": 7.0, "retry_of": 17, "resumed_at": 2, "multiply_adds": 9}
    stored.study.add_trial(
        create_trial(
            state=TrialState.RUNNING,
            intermediate_values=dict.fromkeys(range(3), 0.5),
            user_attrs=attributes,
        )
    )
    stored.study.ask()
    for budget in (HOUR, Budget(1e15, "multiply-adds")):
        set_limits(stored.study, None, budget)
        now = StatusReader(stored).read()
        assert now.wanted is None
        assert now.spending == spending_of(stored)
        assert now.spending is not None
        left = now.spending.seconds_left
        assert left is not None
        assert now.seconds_left == pytest.approx(left / 2)  # two trials run
