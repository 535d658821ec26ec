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
from tests.hpo.big_study import big_study
from tests.hpo.tiny_study import tiny_settings


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
