import pytest

from hpo.study.limits import Budget, Spending
from hpo.view.format import CURVE, duration, how_far, magnitude, percent, sparkline


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.42, "0.4 s"),
        (42, "42 s"),
        (130, "2.2 min"),
        (9000, "2.5 h"),
        (400_000, "5 days"),
        (1e9, "32 years"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_large_numbers_and_where_a_study_stands() -> None:
    assert magnitude(4.834e9) == "4.83 × 10⁹"
    assert magnitude(9999) == "9,999"
    spent = Spending(Budget(7200, "seconds"), 2580, 2580)
    assert how_far(5, 20, None) == "5 of 20 trials"
    assert how_far(1, None, spent) == "1 trial, 43 min of 2.0 h spent"


def test_percentages_and_curves() -> None:
    assert percent(0.1234) == "12.3 %"
    assert sparkline([1.0, 0.5, 0.0]) == "█▅▁"
    assert sparkline([]) == ""


def test_a_long_curve_keeps_its_lowest_points() -> None:
    errors = [1.0] * 200
    errors[150] = 0.0
    curve = sparkline(errors)
    assert len(curve) == CURVE
    assert curve[15] == "▁"
    assert set(curve) == {"█", "▁"}
