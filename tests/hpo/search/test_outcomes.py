from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpo.report.table import trials_table
from hpo.search.outcomes import MOST, OUTCOMES, fitting, outcomes_at
from hpo.search.stopping import Brake, Interrupted
from hpo.study.settings import StudySettings
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, create_or_resume
from model.scoring import pack
from tests.hpo.conftest import Run
from tests.hpo.tiny_study import tiny_settings

Open = Callable[[StudySettings], StoredStudy]


def test_a_trial_keeps_what_it_answered_after_each_epoch(
    tmp_path: Path, open_study: Open, run: Run
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    run(stored, 1)
    (trial,) = stored.study.trials
    assert len(trial.user_attrs[OUTCOMES]) == 3
    for epoch, error in trial.intermediate_values.items():
        right = outcomes_at(trial, epoch)
        assert right is not None
        assert right.sum() == round((1 - error) * 100)  # of the fixture's 100 tasks
    assert outcomes_at(trial, 3) is None
    assert OUTCOMES not in trials_table(stored).columns


def test_a_pruner_that_compares_by_pairs_has_the_outcomes_of_the_epoch(
    tmp_path: Path, open_study: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(trial: optuna.Trial) -> bool:
        seen.append(len(trial.user_attrs.get(OUTCOMES, ())))
        return False

    monkeypatch.setattr(optuna.Trial, "should_prune", look)
    run(open_study(tiny_settings(tmp_path, "search.pruner=wilcoxon")), 1)
    assert seen == [1, 2, 3]


def test_a_trial_that_was_interrupted_has_the_outcomes_of_one_that_was_not(
    tmp_path: Path, open_study: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, checks = tiny_settings(tmp_path), 0

    def stop_in_the_third_epoch(brake: Brake) -> None:
        nonlocal checks
        checks += 1
        if checks == 11:
            brake.reason = "Ctrl-C"
            raise Interrupted("Ctrl-C")

    stored = open_study(settings)
    with monkeypatch.context() as patch:
        patch.setattr(Brake, "check", stop_in_the_third_epoch)
        assert run(stored, 1) == "Ctrl-C"
    run(open_study(settings), 1)
    stopped, went_on = open_study(settings).study.trials
    assert len(stopped.user_attrs[OUTCOMES]) == went_on.user_attrs["resumed_at"] == 2
    storage = open_storage(f"sqlite:///{tmp_path / 'other.db'}", create=True)
    whole = create_or_resume("tiny", settings, "strokes-1-0", storage)[0]
    run(whole, 1)
    (never,) = whole.study.trials
    assert never.params == went_on.params
    assert never.user_attrs[OUTCOMES] == went_on.user_attrs[OUTCOMES]
    assert never.user_attrs[OUTCOMES][:2] == stopped.user_attrs[OUTCOMES]


def made_up(epochs: int, tasks: int) -> list[str]:
    chance = np.random.default_rng(0)
    return [pack(chance.random(tasks) < 0.5) for _ in range(epochs)]


@pytest.mark.parametrize(("epochs", "tasks"), [(200, 320), (1100, 320), (90, 4000), (1, 390_000)])
def test_as_many_epochs_as_fit_are_kept(epochs: int, tasks: int) -> None:
    texts = made_up(epochs, tasks)
    assert fitting(texts) == texts
    assert len(json.dumps(texts)) <= MOST


@pytest.mark.parametrize(("epochs", "tasks", "stride"), [(2000, 320, 2), (201, 4000, 4)])
def test_of_more_epochs_every_so_many_are_kept(epochs: int, tasks: int, stride: int) -> None:
    texts = made_up(epochs, tasks)
    kept = fitting(texts)
    assert len(json.dumps(kept)) <= MOST
    assert len(kept) == epochs
    assert kept[::stride] == texts[::stride]
    assert kept[-1] == texts[-1]
    assert {i for i, text in enumerate(kept) if text} == {*range(0, epochs, stride), epochs - 1}
    trial = create_trial(state=TrialState.RUNNING, user_attrs={OUTCOMES: kept})
    assert outcomes_at(trial, 1) is None
    assert outcomes_at(trial, stride) is not None


def test_what_cannot_fit_is_left_out() -> None:
    assert fitting(made_up(2, 400_000)) == []
    assert fitting([]) == []
