from pathlib import Path
from unittest.mock import Mock

import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from hpo.study import sparse
from hpo.study.limits import Budget, set_limits
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, load
from hpo.study.trials import SURPLUS
from hpo.view import status
from hpo.view.status import StatusReader, as_json, counted
from hpo.view.terminal import StudyView, best_table
from tests.hpo.big_study import big_study
from tests.hpo.command import Hpo
from tests.hpo.fixture_types import Run
from tests.hpo.made_up import check_standing, drawn
from tests.hpo.tiny_study import tiny_settings


def test_the_standing_is_what_the_trials_say(database: str, tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    stored = big_study(database, trials=60, epochs=3, settings=settings)
    stored.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"retry_of": 3}))
    stored.study.add_trial(create_trial(state=TrialState.WAITING))
    stored.study.ask()
    other = big_study(database, trials=5, epochs=3, name="other")  # in the same database
    for one in (stored, other):
        check_standing(one)
    figures = as_json(stored, StatusReader(stored).read())
    assert figures["retried"] == 1
    assert [one["errors"] for one in figures["running"]] == [[]]


def test_a_network_that_could_not_train_never_leads(stored: StoredStudy) -> None:
    for _ in range(2):
        stored.study.add_trial(create_trial(value=1.0, user_attrs={"fail_reason": "diverged"}))
    reader = StatusReader(stored)
    now = reader.read()
    assert (now.finished, now.untrainable, now.leaders, now.best) == (2, 2, [], None)
    stored.study.add_trial(create_trial(value=1.0))
    assert [trial.number for trial in reader.read().leaders] == [2]


@pytest.mark.parametrize(
    "reason",
    ["interrupted by Ctrl-C", "interrupted by SIGTERM", SURPLUS],
)
def test_ones_own_ctrl_c_is_no_failure(stored: StoredStudy, reason: str) -> None:
    back = {"fail_reason": reason, "to_be_retried": "free"}
    stored.study.add_trial(create_trial(value=0.5, user_attrs={"seconds": 1}))
    stored.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=back))
    for attributes in ({"retry_of": 1}, {}):  # that it waits, and that it was enqueued
        stored.study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=attributes))
    check_standing(stored)
    figures = as_json(stored, StatusReader(stored).read())
    assert figures["trials"]["fail"] == figures["handed_back"] == 1  # the state is Optuna's
    assert figures["retried"] == 0
    assert counted(figures) == "1 complete, 2 waiting"
    assert "0 pruned, 0 failed" in drawn(StudyView(stored))
    assert "retried" not in drawn(StudyView(stored))
    died = {"fail_reason": "its process died"}
    stored.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=died))
    stored.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=died))
    stored.study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={"retry_of": 4}))
    figures = as_json(stored, StatusReader(stored).read())
    assert counted(figures) == "1 complete, 3 waiting, 1 failed, 1 retried"
    assert "0 pruned, 1 failed, 1 retried" in drawn(StudyView(stored))


def test_a_complete_trial_with_such_a_reason_is_complete(stored: StoredStudy) -> None:
    odd = {"fail_reason": "interrupted by nobody"}
    stored.study.add_trial(create_trial(value=1.0, user_attrs=odd))
    assert counted(as_json(stored, StatusReader(stored).read())) == "1 complete"


def test_epochs_are_counted_from_one_for_people_and_from_nothing_in_json(
    stored: StoredStudy, run: Run
) -> None:
    run(stored, 1)
    now = StatusReader(stored).read()
    epoch = as_json(stored, now)["best"]["best_epoch"]
    assert stored.study.trials[0].intermediate_values[epoch] == stored.study.trials[0].value
    row = drawn(best_table(stored.space, now.leaders)).splitlines()[1].split()
    assert int(row[4]) == epoch + 1


def test_what_ended_since_is_seen(database: str) -> None:
    stored = big_study(database, trials=12, epochs=3)
    reader = StatusReader(stored)
    before = reader.read()
    elsewhere = load("paper", open_storage(database, create=False)).study
    assert before.best is not None
    assert before.best.value is not None
    elsewhere.add_trial(
        create_trial(value=before.best.value / 2, user_attrs={"best_epoch": 0, "seconds": 1.0})
    )
    after = reader.read()
    assert after.finished == before.finished + 1
    assert after.best is not None
    assert after.best.number == 12


def test_a_database_that_is_away_is_waited_for(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = StatusReader(big_study(database, trials=2, epochs=1))
    away = OperationalError("SELECT", {}, Exception("connection refused"))
    plain = sparse.read_sparsely
    found = Mock(side_effect=[away, plain])
    monkeypatch.setattr(status, "read_sparsely", lambda *given: found()(*given))
    assert reader.read().finished == 2
    assert found.call_count == 2


def test_the_rate_and_the_time_left_are_those_of_all_that_run_at_once(
    stored: StoredStudy, hpo: Hpo
) -> None:
    for seconds in (30, 90):
        ended = create_trial(state=TrialState.PRUNED, user_attrs={"seconds": seconds})
        stored.study.add_trial(ended)
    reader = StatusReader(stored)
    set_limits(stored.study, 7, None)
    assert (reader.read().seconds_left, reader.read().share) == (300, 2 / 7)
    for _ in range(2):
        stored.study.ask()
    figures = as_json(stored, reader.read())
    assert (figures["seconds_per_trial"], figures["trials_per_hour"]) == (60, 120)
    assert figures["seconds_left"] == 150
    assert "about 2.5 min left" in drawn(StudyView(stored))
    shown = hpo(f"status tiny.toml --storage {stored.storage.url}").out
    assert "tiny: 2 of 7 trials finished (2 running, 2 pruned)\n" in shown
    assert "rate: 120.0 trials an hour, 60 s each, 2.5 min left\n" in shown
    for seconds, left, share in ((160, 20, 0.75), (4000, 150, 2 / 7)):  # the first limit counts
        set_limits(stored.study, 7, Budget(seconds, "seconds"))
        now = reader.read()
        assert (now.seconds_left, now.share, now.full) == (left, share, False)
    set_limits(stored.study, 7, Budget(120, "seconds"))
    assert (reader.read().share, reader.read().full) == (1, True)
