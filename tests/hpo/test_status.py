from __future__ import annotations

from statistics import mean

from optuna.trial import TrialState, create_trial

from hpo.ranking import trained_trials
from hpo.status import StatusReader, status
from hpo.storage import open_storage
from hpo.study import FINISHED, StoredStudy, load
from tests.hpo.big_study import big_study


def check_standing(stored: StoredStudy) -> None:
    """What is read from the tables is what Optuna's own reading gives."""
    now, trials = StatusReader(stored).read(), stored.study.get_trials(deepcopy=False)
    assert now.states == {s: sum(t.state == s for t in trials) for s in TrialState}
    assert [t.number for t in now.leaders] == [t.number for t in trained_trials(stored.study)[:5]]
    ended = [t for t in trials if t.datetime_complete]
    ended.sort(key=lambda t: (t.datetime_complete, t.number))
    assert [t.number for t in now.recent] == [t.number for t in ended[-8:]]
    assert [t.number for t in now.running] == [
        t.number for t in trials if t.state == TrialState.RUNNING
    ]
    took = [t.user_attrs["seconds"] for t in trials if t.state in FINISHED]
    assert (now.seconds is None) == (not took)
    assert now.seconds is None or abs(now.seconds - mean(took)) < 1e-9
    assert now.retried == len({t.user_attrs.get("retry_of") for t in trials} - {None})
    untrainable = [
        t for t in trials if t.state == TrialState.COMPLETE and "fail_reason" in t.user_attrs
    ]
    assert now.untrainable == len(untrainable)


def test_the_standing_is_what_the_trials_say(database: str) -> None:
    stored = big_study(database, trials=60, epochs=3)
    stored.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"retry_of": 3}))
    stored.study.add_trial(create_trial(state=TrialState.WAITING))
    stored.study.ask()
    other = big_study(database, trials=5, epochs=3, name="other")  # in the same database
    for one in (stored, other):
        check_standing(one)
    figures = status(stored, StatusReader(stored).read())
    assert figures["retried"] == 1
    assert [one["errors"] for one in figures["running"]] == [[]]


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
