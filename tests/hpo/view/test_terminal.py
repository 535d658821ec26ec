import io
import logging
import time
from datetime import datetime, timedelta
from unittest.mock import Mock

import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from hpo.study.checked import BrokenStudy
from hpo.study.limits import WANTED
from hpo.study.study import StoredStudy
from hpo.view.log import log_to_stderr
from hpo.view.status import StatusReader
from hpo.view.terminal import (
    PlainLines,
    StudyView,
    best_table,
    live_view,
    seconds_left,
    show_progress,
)
from tests.hpo.fixture_types import Open, Run
from tests.hpo.made_up import drawn
from tests.model.tiny import tiny_configuration


def test_the_view_shows_every_process(stored: StoredStudy, open_study: Open, run: Run) -> None:
    run(stored, 1)
    stored.study.set_user_attr(WANTED, 9)
    view = StudyView(stored)
    elsewhere = open_study()  # as another process has it
    trial = elsewhere.study.ask()
    network = elsewhere.space.configuration(elsewhere.space.suggest(trial), 0).network
    assert "starting" not in drawn(view)
    view.read()
    assert "starting" in drawn(view)
    trial.set_user_attr("weights", network.weights)
    trial.set_user_attr("pairs_per_second", 412.3)
    trial.report(0.5, 0)
    trial.report(0.25, 1)
    view.read()
    shown = drawn(view)
    assert "1 / 9 trials" in shown
    assert "2 / 3" in shown
    assert "25.0 %" in shown
    assert "412 pairs/s" in shown
    assert f"fc {network.fc_units}" in shown
    best = stored.study.trials[0]
    assert f"best {100 * (best.value or 0):.1f} % (trial 0)" in shown
    assert "0 pruned, 0 failed" in shown
    assert all(len(line) <= 80 for line in drawn(view, width=80).splitlines())


def test_trials_that_failed_are_told_from_those_tried_again(stored: StoredStudy) -> None:
    for attributes in ({}, {"retry_of": 0}):
        stored.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=attributes))
    assert "0 pruned, 1 failed, 1 retried" in drawn(StudyView(stored))


def test_time_left_of_a_trial() -> None:
    start = datetime(2026, 1, 1)
    trial = create_trial(
        state=TrialState.RUNNING,
        intermediate_values=dict.fromkeys(range(6), 0.5),
        user_attrs={"resumed_at": 4},
    )
    trial.datetime_start = start
    now = start + timedelta(seconds=20)  # for the two epochs since it was resumed
    assert seconds_left(trial, 10, now) == pytest.approx(40)
    assert seconds_left(trial, 6, now) == 0
    trial.user_attrs["resumed_at"] = 6
    assert seconds_left(trial, 10, now) is None


def test_the_view_ends_with_what_the_study_holds_at_last(stored: StoredStudy, run: Run) -> None:
    screen = io.StringIO()
    with live_view(stored, screen):
        run(stored, 2)
    assert "2 / 2 trials" in screen.getvalue()


def test_a_failing_database_stops_the_view(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen, away = io.StringIO(), OperationalError("SELECT", {}, Exception("away"))
    with live_view(stored, screen):
        monkeypatch.setattr(StatusReader, "read", Mock(side_effect=away))
    assert "0 / 0 trials" in screen.getvalue()


@pytest.mark.parametrize("reason", ["[/x] no such kernel", "[red]", "\x1b]0;owned\x07"])
def test_what_a_database_says_is_neither_markup_nor_control(
    stored: StoredStudy, reason: str
) -> None:
    stored.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"fail_reason": reason}))
    shown = drawn(StudyView(stored))
    assert reason.replace("\x1b", "\ufffd").replace("\x07", "\ufffd") in shown


def test_a_database_that_somebody_breaks_stops_the_view(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("hpo.view.terminal.READING", 0.01)
    with live_view(stored, screen):
        monkeypatch.setattr(StatusReader, "read", Mock(side_effect=BrokenStudy("broken")))
        time.sleep(0.1)
    assert "0 / 0 trials" in screen.getvalue()


def test_the_pools_traceback_of_a_lost_connection_is_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr()
    logging.getLogger("sqlalchemy.pool.impl.QueuePool").error("Exception during reset")
    assert capsys.readouterr().err == ""


def test_the_five_best_are_listed_with_their_settings(stored: StoredStudy, run: Run) -> None:
    run(stored, 6)
    shown = drawn(best_table(stored.space, StatusReader(stored).read().leaders)).splitlines()
    assert len(shown) == 6
    ranked = sorted(stored.study.trials, key=lambda t: (t.value, t.number))
    assert [int(line.split()[1]) for line in shown[1:]] == [t.number for t in ranked[:5]]
    assert f"{ranked[0].params['out_lr']:.2g}" in shown[1]
    network = stored.space.configuration(ranked[0].params, 0).network
    figures = [f"{network.weights / 1e6:.2f}", f"{network.multiply_adds / 1e6:.1f}"]
    assert shown[1].split()[-2:] == figures


def test_a_budget_that_is_used_up_is_a_line(
    stored: StoredStudy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_to_stderr()
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        with show_progress(stored) as progress:
            progress.budget_used_up(1)
            progress.budget_used_up(3)
        said = capsys.readouterr().err
        for line in ("budget used up, finishing 1 trial\n", "budget used up, finishing 3 trials\n"):
            assert said.count(line) == 1


def test_piped_lines_are_plain(stored: StoredStudy, capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()
    stored.study.set_user_attr(WANTED, 5)
    stored.study.add_trial(create_trial(state=TrialState.PRUNED))
    good, bad = {"seconds": 9}, {"fail_reason": "diverged: early"}
    ended = (
        create_trial(value=0.25, intermediate_values={0: 0.5, 1: 0.25}, user_attrs=good),
        create_trial(value=1.0, intermediate_values={0: 1.0}, user_attrs=bad),
        create_trial(state=TrialState.PRUNED, value=0.2, intermediate_values={0: 0.2}),
        create_trial(value=0.5),
        create_trial(value=0.125),
    )
    with show_progress(stored) as progress:
        progress.trial_started(3, tiny_configuration())
        for trial in ended:
            stored.study.add_trial(trial)
            progress.trial_finished(stored.study.trials[-1])
    started, complete, diverged, pruned, worse, better = capsys.readouterr().err.splitlines()
    assert started == "trial 3 started: 16@3 16@3 fc 32, 0.2 M multiply-adds"
    assert "complete: error 25.0 % in 9.0 s; 2 of 5 trials; best 25.0 %" in complete
    assert "diverged: early: error 100.0 %" in diverged
    assert "best 25.0 %" in diverged
    assert "pruned after 1 epoch: error 20.0 %" in pruned
    assert "4 of 5 trials" in pruned
    assert worse.endswith("; 5 of 5 trials; best 25.0 % (trial 1)")
    assert better.endswith("; 6 of 5 trials; best 12.5 % (trial 5)")
    assert "\x1b" not in started + complete + diverged + pruned


def test_a_line_of_a_trial_counts_those_of_other_processes(
    stored: StoredStudy, open_study: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hpo")
    stored.study.set_user_attr(WANTED, 9)
    lines, elsewhere = PlainLines(stored), open_study()
    for error in (0.5, 0.25, 0.75):
        elsewhere.study.add_trial(create_trial(value=error))
    stored.study.set_user_attr(WANTED, 12)
    lines.trial_finished(stored.study.trials[2])
    (line,) = caplog.messages
    assert "trial 2 " in line
    assert line.endswith("; 3 of 12 trials; best 25.0 % (trial 1)")
