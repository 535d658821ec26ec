"""The figures and tables of the page, of trials whose results are known."""

import re
from collections import Counter
from datetime import datetime, timedelta

import pandas as pd
import pytest
from optuna.trial import TrialState

from hpo.report.cost import pareto_front
from hpo.report.plot import log_axis
from hpo.study.study import StoredStudy
from tests.hpo.report.pages import a_trial, page_of, plot_titled, words_of


@pytest.mark.parametrize(("complete", "shown", "caveat"), [(6, 0, 0), (7, 1, 1), (20, 1, 0)])
def test_importances_of_few_trials_are_uncertain(
    stored: StoredStudy, complete: int, shown: int, caveat: int
) -> None:
    for number in range(complete):
        trial = a_trial(stored, 0.2 + number / 100, TrialState.COMPLETE)
        trial.params["conv1_lr"] *= 1 + number / 3
        stored.study.add_trial(trial)
    page = page_of(stored)
    words = words_of(page)
    assert words.count("Importances need 7 complete trials: 1 more to go.") == 1 - shown
    assert words.count("With so few trials they are uncertain.") == caveat
    if shown:
        (bars,) = plot_titled(page, "Parameter importances")["traces"]
        assert bars["y"][-1] == "conv1_lr"  # no other varies
        assert sum(bars["x"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("cut", [[1], [3, 3, 27], [1, 2, 400]])
def test_pruning_has_a_bar_an_epoch(stored: StoredStudy, cut: list[int]) -> None:
    for epochs in cut:
        trial = a_trial(stored, 0.5, TrialState.PRUNED)
        trial.intermediate_values = dict.fromkeys(range(epochs), 0.5)
        stored.study.add_trial(trial)
    figure = plot_titled(page_of(stored), "When trials were pruned")
    (bars,) = figure["traces"]
    assert dict(zip(bars["x"], bars["y"], strict=True)) == Counter(cut)
    assert bars["width"] == 1
    axis = figure["layout"]["xaxis"]
    assert axis["range"] == [0.5, max(cut) + 0.5]
    assert axis["dtick"] == int(axis["dtick"])
    assert max(cut) / axis["dtick"] <= 10


def test_of_more_trials_than_a_table_can_have_the_best_are_in_it(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (0.6, 0.5, 0.4, 0.3, 0.2):
        stored.study.add_trial(a_trial(stored, error, TrialState.COMPLETE))
    words = words_of(page_of(stored))
    assert "All 5 trials, the best first" in words
    monkeypatch.setattr("hpo.report.networks.MOST_ROWS", 2)
    words = words_of(page_of(stored))
    assert "The first 2 of 5 trials, the best first" in words
    table = words[words.index("The first 2 of 5") :]
    assert ("20.00" in table, "30.00" in table, "40.00" in table) == (True, True, False)


def test_of_very_many_trials_some_are_drawn_as_lines_and_the_best_in_any_case(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        stored.study.add_trial(a_trial(stored, 0.2 + number / 100, TrialState.COMPLETE))

    page = page_of(stored)
    assert "is drawn" not in words_of(page)
    traces = plot_titled(page, "Parallel coordinates")["traces"]
    assert [trace["x"].count(None) for trace in traces[:3]] == [10, 8, 2]  # by error
    monkeypatch.setattr("hpo.report.parameters.MOST_LINES", 6)
    page = page_of(stored)
    assert "One in 4 of the 20 complete trials is drawn." in words_of(page)
    traces = plot_titled(page, "Parallel coordinates")["traces"]
    assert [trace["x"].count(None) for trace in traces[:3]] == [3, 2, 1]
    assert traces[3]["name"] == "trial 0, the best"


@pytest.mark.parametrize(
    ("values", "figures"),
    [
        ([0.011, None, 0.09], [0.02, 0.04, 0.06, 0.08]),
        ([0.01, 0.1], [0.01, 0.02, 0.05, 0.1]),
        ([1e-6, 9e-5], [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5]),
        ([22_000, 35_000], [25_000, 30_000, 35_000]),
        ([1_234_000, 1_236_000], [1_234_000, 1_235_000, 1_236_000]),
    ],
)
def test_a_narrow_log_axis_has_figures(values: list[float | None], figures: list[float]) -> None:
    axis = log_axis(values, "~s")
    assert set(figures) <= set(axis["tickvals"])
    assert 3 <= len(axis["tickvals"]) <= 8
    assert (axis["tickmode"], axis["tickformat"]) == ("array", "~s")


@pytest.mark.parametrize("values", [[1e-4, 1e-2], [5.0, None, 5.0], []])
def test_other_log_axes_have_powers_of_ten(values: list[float | None]) -> None:
    assert log_axis(values, "~g") == {"type": "log", "dtick": 1, "exponentformat": "power"}


def test_every_log_axis_follows_what_is_drawn(stored: StoredStudy) -> None:
    for number in range(3):
        trial = a_trial(stored, 0.2 + number / 10, TrialState.COMPLETE, weights=10_000 + number)
        trial.params["fc_lr"] = 0.09
        stored.study.add_trial(trial)
    page = page_of(stored)
    assert plot_titled(page, "Learning rate")["layout"]["yaxis"]["tickvals"] == [0.01, 0.02, 0.05]
    assert plot_titled(page, "L2 penalty")["layout"]["yaxis"]["dtick"] == 1
    ticks = plot_titled(page, "Error against weights")["layout"]["xaxis"]["tickvals"]
    assert ticks == [10_000, 10_001, 10_002]


def test_the_pareto_front_is_what_none_beats() -> None:
    rows = pd.DataFrame(
        {
            "number": [0, 1, 2, 3, 4, 5],
            "error": [0.5, 0.3, 0.3, 0.4, 0.1, 0.1],
            "weights": [10, 20, 15, 30, 40, 50],
        }
    )
    assert pareto_front(rows, "weights")["number"].tolist() == [0, 2, 4]
    rows["weights"] = 10
    assert pareto_front(rows, "weights")["number"].tolist() == [4]


@pytest.fixture
def four(stored: StoredStudy) -> StoredStudy:
    """A study whose first trial ended third, and best, after three epochs."""
    begin = datetime(2026, 1, 5, 9)
    ends = (
        (3, 0.3, TrialState.COMPLETE),
        (1, 0.5, TrialState.COMPLETE),
        (4, 0.4, TrialState.PRUNED),
        (2, 0.6, TrialState.COMPLETE),
    )
    for hours, error, state in ends:
        trial = a_trial(stored, error, state)
        trial.datetime_start, trial.datetime_complete = begin, begin + timedelta(hours=hours)
        if error == 0.3:
            trial.intermediate_values = {0: 0.8, 1: 0.7, 2: 0.3}
            trial.user_attrs |= {"best_epoch": 2, "weights": 1_234_000, "seconds": 7.5}
        stored.study.add_trial(trial)
    return stored


IMAGES = 2 * 20 * 4  # of an epoch, each of 50,000 multiply-adds


@pytest.mark.parametrize(
    ("title", "at"),
    [
        ("Best error over time", [1, 2, 3, 4]),
        ("Best error over compute", [50_000 * IMAGES * epochs for epochs in (1, 2, 5, 6)]),
    ],
)
def test_the_best_error_falls_in_the_order_in_which_trials_end(
    four: StoredStudy, title: str, at: list[float]
) -> None:
    pruned, complete, best = plot_titled(page_of(four), title)["traces"]
    assert (pruned["x"], pruned["y"], pruned["customdata"]) == (at[3:], [0.4], [2])
    assert (complete["x"], complete["y"]) == (at[:3], [0.5, 0.6, 0.3])
    assert complete["customdata"] == [1, 3, 0]
    assert (best["x"], best["y"]) == (at, [0.5, 0.5, 0.3, 0.3])


def test_a_learning_curve_has_a_point_after_each_epoch(four: StoredStudy) -> None:
    pruned, complete, best = plot_titled(page_of(four), "Learning curves")["traces"]
    assert (pruned["x"], pruned["y"]) == ([1, None], [0.4, None])
    assert (complete["x"], complete["y"]) == ([1, None, 1, None], [0.5, None, 0.6, None])
    assert best["name"] == "trial 0, the best"
    assert (best["x"], best["y"]) == ([1, 2, 3, None], [0.8, 0.7, 0.3, None])


def test_the_summary_adds_the_time_and_the_work_of_all_trials(four: StoredStudy) -> None:
    page = page_of(four)
    for figure, remark in (
        ("30.0 %", "trial 0, on 40 tasks"),
        ("70.0 %", "one-shot, validation"),
        ("14 s", "4.0 h from first to last"),
        ("4.80 × 10⁷", "multiply-adds, forward"),
    ):
        assert f"<b>{figure}</b><span>{remark}</span>" in page


def rows_of(page: str, section: str) -> list[list[str]]:
    """The cells of the first table of a section."""
    part = page[page.index(f'<section id="{section}"') :]
    body = part[part.index("<tbody>") : part.index("</tbody>")]
    return [re.findall("<td[^>]*>([^<]*)", row) for row in body.split("<tr>")[1:]]


def test_the_best_configuration_is_told_layer_by_layer(four: StoredStudy) -> None:
    page = page_of(four)
    assert [row[:3] for row in rows_of(page, "best-configuration")] == [
        ["conv1", "16 filters 3×3", "16 × 9×9"],  # of 20×20, pooled
        ["conv2", "16 filters 3×3", "16 × 7×7"],
        ["fc", "128 units", "embedding of 128"],
        ["out", "1 unit", "probability of the same character"],
    ]
    for name, value in (("Best epoch", "3"), ("Seed", "1"), ("Error in the search", "30.0 %")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in page


def test_a_trial_that_was_cut_short_is_ranked_behind_those_that_were_not(
    four: StoredStudy,
) -> None:
    for error, state, reason in (
        (0.1, TrialState.PRUNED, None),
        (0.2, TrialState.FAIL, "its process died"),
        (1.0, TrialState.COMPLETE, "diverged"),
    ):
        more = {"fail_reason": reason} if reason else {}
        four.study.add_trial(a_trial(four, error, state, **more))
    rows = rows_of(page_of(four), "trials")
    assert [row[0] for row in rows] == ["0", "1", "3", "4", "2", "6", "5"]
    assert rows[0][:8] == ["0", "30.00", "complete", "3", "3", "7.5", "0.05", "1.234"]


def test_bands_and_layers_are_of_the_best_trials(stored: StoredStudy) -> None:
    for number in range(12):
        trial = a_trial(stored, 0.5 - number / 100, TrialState.COMPLETE)
        trial.params["conv1_lr"] = 0.01 * 10 ** (number / 11)  # over the whole range
        stored.study.add_trial(trial)
    page = page_of(stored)
    axis = list(stored.space.distributions).index("conv1_lr")
    width = len(stored.space.distributions) + 1
    worse, better, tenth, best, _ = plot_titled(page, "Parallel coordinates")["traces"]
    for band, numbers in ((tenth, (11, 10)), (better, (9, 8, 7, 6)), (worse, (5, 4, 3, 2, 1, 0))):
        places = pytest.approx([number / 11 for number in numbers], abs=1e-3)
        assert band["x"][axis::width] == places
        assert band["y"][axis::width] == [axis] * len(numbers)
    assert [one["name"] for one in (worse, better, tenth)] == [
        "worse half",
        "better half",
        "best tenth",
    ]
    assert (best["x"][axis], best["name"]) == (1, "trial 11, the best")
    boxes, others, first = plot_titled(page, "Learning rate")["traces"]
    assert (first["x"][0], first["y"][0]) == ("conv1", 0.1)
    assert others["customdata"][:4] == [10, 9, 8, 7]
    assert others["y"][:4] == pytest.approx([0.01 * 10 ** (n / 11) for n in (10, 9, 8, 7)], 1e-3)
    middle = (boxes["q1"][0], boxes["median"][0], boxes["q3"][0])
    assert sorted(middle) == list(middle)
    assert boxes["lowerfence"][0] < middle[0] < 0.0316 < middle[2] < boxes["upperfence"][0]
