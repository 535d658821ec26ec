from __future__ import annotations

from pathlib import Path

import pytest

from hpo.budget import Budget, read_budget
from hpo.settings import SettingsError
from hpo.spending import Effort
from tests.hpo.tiny_study import tiny_settings


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("2h", 7200, "seconds"),
        ("1.5h", 5400, "seconds"),
        ("90m", 5400, "seconds"),
        ("45s", 45, "seconds"),
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
    with pytest.raises(SettingsError, match="is no amount of compute: write a time such as 2h"):
        read_budget(text)


def test_a_forgotten_unit_is_noticed() -> None:
    with pytest.raises(SettingsError, match="for a time write 90h, 90m or 90s"):
        read_budget("90")


def effort(number: int, seconds: float | None, epochs: int = 3, **more: object) -> Effort:
    kept = {"multiply_adds": 1000, "retry_of": None, "resumed_at": None, "untrainable": False}
    return Effort(number=number, epochs=epochs, seconds=seconds, **(kept | more))  # type: ignore[arg-type]


def test_what_is_spent_counts_once_what_a_retry_went_on_from(tmp_path: Path) -> None:
    training = tiny_settings(tmp_path).training
    images = 2 * 20 * 4  # of an epoch
    trials = [
        effort(0, 30, 2),
        effort(1, 70, 3, retry_of=0, resumed_at=2),
        effort(2, 10, 1),
        effort(3, 20, 1, retry_of=2),  # it began anew: what was lost is spent
        effort(4, None, 0, multiply_adds=None),
        effort(5, 5, 1, untrainable=True),
    ]
    time = Budget(210, "seconds").spending(trials, training)
    assert (time.spent, time.seconds, time.seconds_left) == (105, 105, 105)
    assert not time.used_up
    assert str(time) == "105 s of 3.5 min"
    work = Budget(14_000 * images, "multiply-adds").spending(trials, training)
    assert work.spent == (2 + 1 + 1 + 1 + 1) * 1000 * images
    assert work.seconds_left == pytest.approx(105 * 8 / 6)
    assert str(work) == "9.60 × 10⁵ of 2.24 × 10⁶ multiply-adds"
    assert Budget(105, "seconds").spending(trials, training).used_up
    assert Budget(1e9, "multiply-adds").spending([], training).seconds_left is None
