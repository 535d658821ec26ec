from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from hpo.retry import RETRIES, owner, reclaim
from hpo.settings import StudySettings
from hpo.study import StoredStudy, finished
from tests.hpo.tiny_study import tiny_settings

Open = Callable[[StudySettings], StoredStudy]


def gone() -> dict[str, object]:
    """The owner of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return {**owner(), "pid": process.pid}


def begin(stored: StoredStudy, holder: dict[str, object]) -> int:
    """A trial that runs in another process."""
    trial = stored.study.ask()
    trial.set_user_attr("owner", holder)
    trial.set_user_attr("seed", 5)
    stored.space.suggest(trial)
    trial.report(0.5, 0)
    return trial.number


def test_a_trial_whose_process_died_is_queued_with_its_parameters_and_seed(
    tmp_path: Path, open_study: Open
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    number = begin(stored, gone())
    assert reclaim(stored.study, stored.storage) == 1
    old, new = stored.study.trials
    assert old.state == TrialState.FAIL
    assert old.user_attrs["fail_reason"] == "its process died"
    assert new.state == TrialState.WAITING
    assert new.params == old.params
    assert new.user_attrs == {"seed": 5, "deaths": 1, "retry_of": number}
    assert reclaim(stored.study, stored.storage) == 0
    assert len(stored.study.trials) == 2
    assert finished(stored.study) == 0


def test_a_reclaim_that_was_cut_short_is_finished_without_a_second_copy(
    tmp_path: Path, open_study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    begin(stored, gone())
    with monkeypatch.context() as patch:
        patch.setattr(stored.study, "tell", lambda *a, **k: (_ for _ in ()).throw(KeyError))
        with pytest.raises(KeyError):
            reclaim(stored.study, stored.storage)
    assert reclaim(stored.study, stored.storage) == 0
    assert [t.state for t in stored.study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_trials_of_living_processes_and_other_machines_are_left_alone(
    tmp_path: Path, open_study: Open
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    begin(stored, owner())
    begin(stored, {**gone(), "host": "another"})
    assert reclaim(stored.study, stored.storage) == 0
    assert [t.state for t in stored.study.trials] == [TrialState.RUNNING] * 2


def test_a_trial_that_kills_its_process_is_not_retried_for_ever(
    tmp_path: Path, open_study: Open
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    begin(stored, gone())
    for _ in range(RETRIES + 2):
        reclaim(stored.study, stored.storage)
        waiting = [t for t in stored.study.trials if t.state == TrialState.WAITING]
        if not waiting:
            break
        trial = stored.study.ask()
        assert trial.number == waiting[0].number
        trial.set_user_attr("owner", gone())
    assert len(stored.study.trials) == RETRIES + 1
    assert {t.state for t in stored.study.trials} == {TrialState.FAIL}
