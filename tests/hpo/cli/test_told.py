"""All that the commands say of a study whose trials are made up, word for word.

After a change that is meant, ``pytest --snapshot-update`` writes it anew; read what has changed.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState, create_trial
from syrupy.assertion import SnapshotAssertion

from hpo.study.confirmations import keep_result
from hpo.study.evaluations import Look, keep_look
from hpo.study.limits import Budget, set_limits
from hpo.study.study import StoredStudy
from hpo.view.terminal import StudyView
from model.scoring import pack
from tests.hpo.big_study import big_study
from tests.hpo.command import Hpo
from tests.hpo.made_up import drawn, keep
from tests.hpo.masks import any_making, five_digits
from tests.hpo.report.pages import figures_of, words_of
from tests.hpo.tiny_study import tiny_settings, write_tiny


@pytest.fixture(autouse=True)
def _time_of_india(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "IST-5:30")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def told(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredStudy:
    """A study of trials of all kinds, confirmed and looked at; there is no other study file."""
    monkeypatch.setattr("hpo.study.paths._shipped_folders", tuple)
    write_tiny(tmp_path / "studies")
    folder = tmp_path / "studies/tiny"
    folder.mkdir()
    stored = big_study(f"sqlite:///{folder}/study.db", 24, 4, tiny_settings(tmp_path), "tiny")
    study, first = stored.study, stored.study.trials[0]
    for state, more in (
        (TrialState.FAIL, {"fail_reason": "interrupted by Ctrl-C"}),
        (TrialState.WAITING, {"retry_of": 17, "first_try": 17}),
        (TrialState.COMPLETE, {"fail_reason": "out of memory: 9 GiB"}),
        (TrialState.PRUNED, {"best_error": 0.8}),
        (TrialState.RUNNING, {}),
    ):
        value = {TrialState.COMPLETE: 1.0, TrialState.PRUNED: 0.8}.get(state)
        made = create_trial(
            state=state,
            value=value,
            params=first.params,
            distributions=first.distributions,
            intermediate_values={0: 0.9, 1: value or 0.8},
            user_attrs={**first.user_attrs, **more},
        )
        made.datetime_start = first.datetime_start
        made.datetime_complete = first.datetime_complete if state.is_finished() else None
        study.add_trial(made)
    for trial, errors in ((20, (0.3, 0.34, 0.32)), (21, (0.4, 0.44, 0.43)), (22, (0.31,))):
        keep(study, trial, *errors)
    keep_look(study, Look("2026-01-02T03:04:05", "a.safetensors", 0.9, (0.86, 0.93), 400, "runs"))
    return stored


def masked(text: str, stored: StoredStudy, folder: Path) -> str:
    """Without what is another every time, and the digits that differ between processors."""
    text = text.replace(str(folder), "FOLDER").replace(stored.token, "TOKEN")
    text = any_making(five_digits(text))
    text = re.sub(r"Made by hpo [\d.]+ on [-\d]+ [:\d]+ UTC", "Made by hpo VERSION on TIME", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "status tiny",
        "status tiny --json",
        "list",
        "list --json",
        "export tiny",
        "export tiny --trial 22",
        "report tiny --csv -",
        "run tiny --keys",
    ],
)
def test_a_command_says(
    line: str, hpo: Hpo, told: StoredStudy, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    said = hpo(line)
    assert said.status == 0
    assert masked(said.out, told, tmp_path) == snapshot(name="stdout")
    assert masked(said.err, told, tmp_path) == snapshot(name="stderr")


def test_the_view_and_the_status_say_it_of_a_study_with_a_budget(
    hpo: Hpo, told: StoredStudy, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    set_limits(told.study, 40, Budget(3600, "seconds"))
    view = re.sub(r"\d+ (days|years) left", "… left", drawn(StudyView(told), colours=True))
    assert masked(view, told, tmp_path) == snapshot(name="view")
    assert masked(hpo("status tiny").out, told, tmp_path) == snapshot(name="status")


def test_the_page_says(
    hpo: Hpo, told: StoredStudy, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    for trial, right in ((20, 84), (21, 75)):
        for k in range(2):
            outcomes = pack(np.arange(100) % (17 + k) < right / 6)
            result = {"error": 1 - right / 100 + k / 50, "tasks": 100, "outcomes": outcomes}
            keep_result(told.study, trial, k, result, full=True)
    assert hpo("report tiny -o report.html").status == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    words = re.sub(r"\s*\n\s*|\s{2,}", "\n", words_of(page))
    assert masked(words, told, tmp_path) == snapshot(name="words")
    figures = [json.dumps(figure, ensure_ascii=False) for figure in figures_of(page)]
    assert "\n".join(figures) == snapshot(name="figures")
