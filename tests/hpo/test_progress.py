from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial

from hpo.progress import make_progress
from hpo.settings import StudySettings
from hpo.study import WANTED, StoredStudy
from tests.hpo.tiny_study import tiny_settings
from tests.model.tiny import tiny_configuration

Open = Callable[[StudySettings], StoredStudy]


def test_piped_lines_are_plain(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, open_study: Open
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    stored.study.set_user_attr(WANTED, 5)
    stored.study.add_trial(create_trial(state=TrialState.PRUNED))
    with make_progress(stored) as progress:
        progress.trial_started(3, tiny_configuration())
        progress.trial_finished(
            create_trial(
                value=0.25, intermediate_values={0: 0.5, 1: 0.25}, user_attrs={"seconds": 9}
            )
        )
        progress.trial_finished(
            create_trial(
                value=1.0,
                intermediate_values={0: 1.0},
                user_attrs={"fail_reason": "diverged: early"},
            )
        )
        progress.trial_finished(
            create_trial(state=TrialState.PRUNED, intermediate_values={0: 0.75})
        )
    started, complete, diverged, pruned = capsys.readouterr().err.splitlines()
    assert started == "trial 3 started: 16@3 16@3 fc 32, 0.2 M multiply-adds"
    assert "complete: error 25.0 % in 9.0 s; 2 of 5 trials; best 25.0 %" in complete
    assert "diverged: early: error 100.0 %" in diverged
    assert "best 25.0 %" in diverged
    assert "pruned after epoch 0: error 75.0 %" in pruned
    assert "4 of 5 trials" in pruned
    assert "\x1b" not in started + complete + diverged + pruned
