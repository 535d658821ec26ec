import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from optuna.trial import TrialState

from hpo.paper.published import OMNIGLOT
from hpo.report.page import make_page
from hpo.report.table import trained, trials_table
from hpo.study.confirmations import keep_result
from hpo.study.evaluations import Look, keep_look
from hpo.study.study import StoredStudy
from hpo.study.trials import best_trial, images_per_epoch
from hpo.view.format import percent
from model.scoring import interval_over_draws, pack
from tests.hpo.big_study import big_study
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Open, Searched
from tests.hpo.report.pages import (
    a_trial,
    figures_of,
    page_of,
    shape_of,
    words_of,
)
from tests.hpo.tiny_study import tiny_settings, write_tiny


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    """A study of 60 trials, of all kinds."""
    folder = tmp_path_factory.mktemp("made-up")
    return big_study(f"sqlite:///{folder / 'study.db'}", trials=60, epochs=9)


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
    assert "Training time 8.0 s" in " ".join(words_of(page_of(stored)).split())


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
