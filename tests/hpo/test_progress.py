from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from hpo.progress import LiveProgress, duration, make_progress, percent, sparkline
from model.training import Epoch, History
from tests.model.tiny import tiny_configuration


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


def test_percentages_and_curves() -> None:
    assert percent(0.1234) == "12.3 %"
    assert sparkline([1.0, 0.5, 0.0]) == "█▅▁"


def test_piped_lines_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    with make_progress(5, 1, None) as progress:
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


def test_the_live_view_shows_the_running_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    view = LiveProgress(3, 0, (0, 0.5))
    view.trial_started(2, tiny_configuration(epochs=9))
    view.epoch_done(2, History([Epoch(0.5, 1, 800, 2.0, 0.1), Epoch(0.25, 1, 800, 2.0, 0.1)]))
    Console(file=screen, width=160).print(view._view())
    shown = screen.getvalue()
    assert "0 / 3 trials" in shown
    assert "2 / 9" in shown
    assert "25.0 %" in shown
    assert "400 pairs/s" in shown
    assert "16@3 16@3 fc 32" in shown
