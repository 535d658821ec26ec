import pytest

from hpo.study.limits import Budget, Spending
from hpo.view.format import (
    CURVE,
    duration,
    epoch_line,
    how_far,
    magnitude,
    percent,
    sparkline,
)
from model.history import Epoch, History


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.42, "0.4 s"),
        (9.9, "9.9 s"),
        (10, "10 s"),
        (119, "119 s"),
        (120, "2.0 min"),
        (7199, "120 min"),
        (7200, "2.0 h"),
        (9000, "2.5 h"),
        (172_799, "48 h"),
        (172_800, "2 days"),
        (729.4 * 86_400, "729 days"),
        (731 * 86_400, "2 years"),
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
    errors[157] = 0.0
    curve = sparkline(errors)
    assert len(curve) == CURVE
    assert curve[15] == "▁"
    assert set(curve) == {"█", "▁"}
    bars = {epochs: len(sparkline([0.5] * epochs)) for epochs in (20, 21, 39, 41, 60)}
    assert bars == {20: 20, 21: 11, 39: 20, 41: 14, 60: 20}


def test_the_line_of_an_epoch_has_its_own_error_and_the_best() -> None:
    history = History([Epoch(0.25, 0.5, 300, 2, 1), Epoch(0.4, 0.125, 3600, 3, 6)])
    assert epoch_line(history, 9) == (
        "epoch 2 of 9: error 40.0 %, best 25.0 %, loss 0.1250, 1,200 pairs/s"
    )
