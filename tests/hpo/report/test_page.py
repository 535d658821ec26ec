import io
import json
import math
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.paper.published import OMNIGLOT
from hpo.report.cost import pareto_front
from hpo.report.page import make_page
from hpo.report.plot import log_axis
from hpo.report.table import trained, trials_table
from hpo.study.confirmations import keep_result
from hpo.study.evaluations import Look, keep_look
from hpo.study.study import StoredStudy
from hpo.study.trials import Record, best_trial, images_per_epoch
from hpo.view.format import percent
from model.scoring import interval_over_draws, pack
from tests.hpo.big_study import big_study
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Open, Searched
from tests.hpo.tiny_study import tiny_settings, write_tiny

VOID = {"meta", "link", "br"}


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    """A study of 60 trials, of all kinds."""
    folder = tmp_path_factory.mktemp("made-up")
    return big_study(f"sqlite:///{folder / 'study.db'}", trials=60, epochs=9)


class Shape(HTMLParser):
    """Which elements a page has, and whether each that must be closed is."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href") and v]
        if tag not in VOID | {"tr", "td"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def shape_of(page: str) -> Shape:
    shape = Shape()
    shape.feed(page)
    assert shape.open == []
    return shape


def page_of(stored: StoredStudy) -> str:
    return make_page(stored, trials_table(stored), "hpo export tiny -o best.toml")


def figures_of(page: str) -> list[dict[str, Any]]:
    found = re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)
    assert found
    figures: list[dict[str, Any]] = json.loads(found[1])
    return figures


def words_of(page: str) -> str:
    """What a person reads, without the scripts."""
    return re.sub(r"<[^>]+>", " ", page[page.index("<body>") : page.index("<noscript>")])


def a_trial(
    stored: StoredStudy, error: float | None, state: TrialState, **more: Any
) -> FrozenTrial:
    space = stored.space
    params = {n: d.low for n, d in space.distributions.items()}  # type: ignore[attr-defined]
    kept = Record(seed=1, weights=1000, multiply_adds=50_000, device="CPU", precision="fp32")
    return create_trial(
        state=state,
        value=error if state.is_finished() and state != TrialState.FAIL else None,
        params=params,
        distributions=space.distributions,
        intermediate_values={} if error is None else {0: error},
        user_attrs=kept.attributes | {"best_epoch": 0, "seconds": 2.0} | more,
    )


def test_the_page_tells_what_the_study_holds(made_up: StoredStudy) -> None:
    page = page_of(made_up)
    shape, words = shape_of(page), words_of(page)
    best = best_trial(made_up.study)
    assert best is not None
    assert best.value is not None
    assert f"{100 * best.value:.1f} %" in words
    assert f"{100 * (1 - best.value):.1f} %" in words
    for part in ("omniglot at 105×105", "tpe", "halving", "a made-up device (60 trials)"):
        assert part in words
    assert "hpo export tiny -o best.toml" in words
    assert f"{best.params['conv1_filters']} filters" in words
    others = 1 + len(OMNIGLOT)
    assert shape.tags.count("tr") == others + 7 + 1 + 60  # systems, layers, trials, a header each
    assert len(figures_of(page)) == shape.tags.count("figure") == 14
    assert all(link.startswith("#") for link in shape.links)
    assert "NaN" not in json.dumps(figures_of(page))


def test_plotly_itself_takes_every_figure(made_up: StoredStudy) -> None:
    """Its Python classes check what its script would silently leave out."""

    def coloured(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: coloured(v) for k, v in value.items()}
        return "#123456" if isinstance(value, str) and value.startswith("@") else value

    for figure in figures_of(page_of(made_up)):
        go.Figure([coloured(t) for t in figure["traces"]], coloured(figure["layout"]))


def test_only_the_pages_own_scripts_may_run(made_up: StoredStudy) -> None:
    page = page_of(made_up)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert len(page.encode()) < 6e6


def test_confirmation_and_every_look_at_the_evaluation_tasks(stored: StoredStudy) -> None:
    stored.study.add_trial(a_trial(stored, 0.25, TrialState.COMPLETE))
    before = words_of(page_of(stored))
    assert "have not been looked at" in before
    assert "hpo confirm tiny" in before
    for k, error in enumerate((0.3, 0.34)):
        keep_result(stored.study, 0, k, {"error": error, "tasks": 4000, "seconds": 1.0})
    for file in ("one.safetensors", "two.safetensors"):
        keep_look(stored.study, Look("2026-01-02T03:04:05", file, 0.9, (0.86, 0.93), 400, "runs"))
    words = words_of(page_of(stored))
    assert "looked at 2 times" in words
    for part in ("one.safetensors", "86.0 % – 93.0 %", "32.0 %", "± 2.8 %", "30.0 %, 34.0 %"):
        assert part in words


def test_the_interval_is_over_draws_and_left_out_where_ties_count(open_study: Open) -> None:
    stored = open_study()
    right = np.arange(40) % 8 < 6  # the 2 draws of the study have 16 and 14 of 20 right
    stored.study.add_trial(
        a_trial(stored, 0.25, TrialState.COMPLETE, best_error=0.25, outcomes=pack(right))
    )
    low, high = interval_over_draws((~right).reshape(2, 20).astype(float))
    page = make_page(stored, trials_table(stored), "export")
    assert f"95 % lie between {percent(low)} and {percent(high)}" in words_of(page)
    stored.study.add_trial(
        a_trial(stored, 0.2, TrialState.COMPLETE, best_error=0.2, outcomes=pack(right))
    )
    assert "95 % lie between" not in words_of(make_page(stored, trials_table(stored), "export"))


def test_nothing_from_a_study_becomes_markup(open_study: Open) -> None:
    evil = "</script><img src=x onerror=alert(1)>$name"
    stored = open_study(f"description={json.dumps(evil)}")
    stored.study.add_trial(a_trial(stored, 0.25, TrialState.COMPLETE, device=evil))
    stored.study.add_trial(a_trial(stored, 0.5, TrialState.FAIL, fail_reason=evil))
    keep_look(stored.study, Look("2026", evil, 0.9, (0.86, 0.93), 400, evil))
    page = make_page(stored, trials_table(stored), evil)
    assert "img" not in shape_of(page).tags
    assert words_of(page).count("&lt;img src=x onerror=alert(1)&gt;$name") >= 6


NONE_IS_TRAINED = "No trial has been trained to its end yet"


@pytest.mark.parametrize(
    ("trials", "drawn", "part"),
    [
        ([], 0, "There is no trial yet"),
        ([(0.6, TrialState.RUNNING), (None, TrialState.FAIL), None], 1, NONE_IS_TRAINED),
        ([(1.0, TrialState.COMPLETE, "diverged")], 0, "diverged"),
        (
            [(0.25, TrialState.COMPLETE)],
            12,
            "Importances need 7 complete trials: 6 more to go.",
        ),
        ([(math.nan, TrialState.FAIL), (0.5, TrialState.PRUNED)], 2, NONE_IS_TRAINED),
    ],
)
def test_studies_with_little_in_them(
    stored: StoredStudy, trials: list[tuple[Any, ...] | None], drawn: int, part: str
) -> None:
    for trial in trials:
        if trial is None:  # one that has only just begun
            stored.study.ask()
        else:
            error, state, *reason = trial
            more = {"fail_reason": reason[0]} if reason else {}
            stored.study.add_trial(a_trial(stored, error, state, **more))
    page = page_of(stored)
    assert part in words_of(page)
    assert sum(bool(f["traces"]) for f in figures_of(page)) == drawn
    assert shape_of(page).tags.count("h2") == 10


def test_a_trial_that_was_handed_back_has_not_failed(stored: StoredStudy) -> None:
    stored.study.add_trial(a_trial(stored, 0.5, TrialState.COMPLETE))
    reason = "interrupted by Ctrl-C"
    stored.study.add_trial(a_trial(stored, 0.5, TrialState.FAIL, fail_reason=reason))
    words = words_of(page_of(stored))
    assert "handed back" in words
    assert reason in words
    assert "1 complete" in words
    assert "1 fail" not in words
    assert list(trials_table(stored)["state"]) == ["complete", "fail"]  # as Optuna has it


def test_the_table_has_a_row_for_every_trial(made_up: StoredStudy) -> None:
    table = trials_table(made_up)
    assert table["number"].tolist() == list(range(60))
    assert set(table["state"]) == {"complete", "pruned", "fail"}
    for trial in made_up.study.trials:
        row = table.iloc[trial.number]
        assert {n: row[n] for n in trial.params} == trial.params
        assert row["epochs"] == len(trial.intermediate_values)
        lowest = min(trial.intermediate_values.values())
        assert row["error"] == (trial.value if trial.state == TrialState.COMPLETE else lowest)
        assert trial.datetime_start is not None
        assert row["started"].timestamp() == trial.datetime_start.timestamp()
    ranked = trained(table)
    best = best_trial(made_up.study)
    assert best is not None
    assert ranked["number"].iloc[0] == best.number
    assert 39 not in ranked["number"].tolist()  # untrainable, as the made-up study has it


def test_what_was_spent_counts_once_what_a_retry_went_on_from(stored: StoredStudy) -> None:
    first = a_trial(stored, 0.5, TrialState.FAIL, seconds=3.0, fail_reason="killed")
    again = a_trial(
        stored, 0.5, TrialState.COMPLETE, seconds=7.0, retry_of=0, first_try=0, resumed_at=1
    )
    again.intermediate_values = {0: 0.5, 1: 0.4, 2: 0.4}
    for trial in (first, again):
        stored.study.add_trial(trial)
    stored.study.add_trial(
        a_trial(stored, 1.0, TrialState.COMPLETE, seconds=1.0, fail_reason="out of memory: much")
    )
    table, training = trials_table(stored), stored.settings.training
    assert images_per_epoch(training) == 2 * 20 * 4
    assert table["seconds_spent"].sum() == 8.0
    epochs = table["multiply_adds_spent"] / (50_000 * images_per_epoch(training))
    assert epochs.tolist() == [1, 2, 0]


def plot_titled(page: str, title: str) -> dict[str, Any]:
    """The figure of this title."""
    return figures_of(page)[re.findall(r"<figure><h3>(.*?)</h3>", page).index(title)]


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


def test_the_command_writes_page_and_tables(hpo: Hpo, tmp_path: Path, database: str) -> None:
    write_tiny(tmp_path / "studies")
    stored = big_study(database, 6, 4, tiny_settings(tmp_path), name="tiny")
    storage = f"--storage {database}"
    plain = hpo(f"report tiny {storage}")
    assert plain.status == 0
    assert plain.out.split() == ["studies/tiny/report.html"]
    page = (tmp_path / plain.out.strip()).read_text(encoding="utf-8")
    assert f"hpo export tiny {storage} -o best.toml" in words_of(page)

    both = hpo(f"report tiny {storage} -o here.html --csv t.csv --parquet t.parquet")
    assert both.out.split() == ["here.html", "t.csv", "t.parquet"]
    table = trials_table(stored)
    pd.testing.assert_frame_equal(pd.read_parquet("t.parquet"), table)
    read = pd.read_csv("t.csv", parse_dates=["started", "ended"])
    assert list(read.columns) == list(table.columns)
    assert read["error"].tolist() == table["error"].tolist()
    assert read["conv1_lr"].tolist() == table["conv1_lr"].tolist()

    piped = hpo(f"report tiny {storage} --csv -")
    assert len(pd.read_csv(io.StringIO(piped.out))) == 6
    assert "studies/tiny/report.html" in piped.err


def test_the_report_of_a_search_that_was_run(hpo: Hpo, searched: Searched, tmp_path: Path) -> None:
    stored = searched()
    assert hpo("report tiny -o report.html").status == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    words, best = words_of(page), best_trial(stored.study)
    assert best is not None
    assert f"trial {best.number}, on 40 tasks" in words
    assert "3 of 3" in words
    assert "hpo export tiny -o best.toml" in words
    assert sum(bool(f["traces"]) for f in figures_of(page)) == 12


def test_other_commands_do_not_wait_for_pandas() -> None:
    code = "import hpo.cli, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "plotly", "pyarrow", "tensorboard"} & set(ran.stdout.split())


def test_files_that_are_unwritable(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "studies")
    assert refused(hpo("report tiny"), "start one with `hpo run tiny ")
    big_study(f"sqlite:///{tmp_path / 'study.db'}", 1, 4, tiny_settings(tmp_path), name="tiny")
    line = f"report tiny --storage sqlite:///{tmp_path / 'study.db'}"
    assert refused(hpo(f"{line} -o ."), "cannot be written", "with -o")
    assert refused(hpo(f"{line} -o r.html --csv study.db/x.csv"), "cannot be written", "with --csv")
    assert refused(hpo(f"{line} --parquet ."), "cannot be written", "with --parquet")
    monkeypatch.setattr("hpo.cli.report.find_spec", lambda name: None)
    assert refused(hpo(f"{line} --parquet t.parquet"), "pip install 'hpo-siamese[parquet]'")
    assert not list(tmp_path.rglob("*.html")) + list(tmp_path.rglob("*.parquet"))


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
