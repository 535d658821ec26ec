import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy import text

from hpo.study.owner import Owner, owner
from hpo.study.patient_storage import PatientStorage
from hpo.study.retry import RETRIES, is_lost_at, owed_a_retry, reclaim, retry_later
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy
from hpo.study.trials import Record, finished
from tests.hpo.fixture_types import Open, Run
from tests.hpo.made_up import gone


def begin(stored: StoredStudy, holder: Owner) -> int:
    """A trial that runs in another process."""
    trial = stored.study.ask()
    trial.set_user_attr("owner", holder)
    trial.set_user_attr("seed", 5)
    stored.space.suggest(trial)
    trial.set_user_attr("weights", 1)
    trial.report(0.5, 0)
    return trial.number


def test_a_dead_trial_is_enqueued_with_its_parameters_and_seed(stored: StoredStudy) -> None:
    number = begin(stored, gone())
    assert reclaim(stored.study, stored.storage) == 1
    old, new = stored.study.trials
    assert old.state == TrialState.FAIL
    assert old.user_attrs["fail_reason"] == "its process died"
    assert new.state == TrialState.WAITING
    assert new.params == old.params
    assert new.user_attrs == {
        "seed": 5,
        "deaths": 1,
        "retry_of": number,
        "first_try": number,
    }
    assert reclaim(stored.study, stored.storage) == 0
    assert len(stored.study.trials) == 2
    assert finished(stored.study) == 0


@pytest.mark.parametrize("step", ["tell", "add_trial"])
def test_a_reclaim_that_was_cut_short_is_finished_without_a_second_copy(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    begin(stored, gone())
    with monkeypatch.context() as patch:
        patch.setattr(stored.study, step, lambda *a, **k: (_ for _ in ()).throw(KeyError))
        with pytest.raises(KeyError):
            reclaim(stored.study, stored.storage)
    assert reclaim(stored.study, stored.storage) == 1
    assert reclaim(stored.study, stored.storage) == 0
    assert [t.state for t in stored.study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_a_trial_that_another_process_reclaims_at_once_is_enqueued_once(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(stored, gone())
    trials = stored.study.get_trials()
    assert reclaim(stored.study, stored.storage) == 1
    monkeypatch.setattr(stored.study, "get_trials", lambda **_: trials)  # what the slower one saw
    assert reclaim(stored.study, stored.storage) == 0


def test_what_another_process_ends_at_once_keeps_nobody_from_the_rest(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (begin(stored, gone()) for _ in range(2))
    trials = stored.study.get_trials()
    stored.study.tell(first, state=TrialState.FAIL)
    with monkeypatch.context() as patch:
        patch.setattr(stored.study, "get_trials", lambda **_: trials)  # what the slower one saw
        assert reclaim(stored.study, stored.storage) == 1
    assert [t.user_attrs.get("retry_of") for t in stored.study.trials] == [None, None, second]


def test_a_trial_that_failed_with_a_reason_of_its_own_is_not_enqueued_again(
    stored: StoredStudy,
) -> None:
    stored.study.add_trial(
        create_trial(state=TrialState.FAIL, user_attrs={"fail_reason": "no such kernel"})
    )
    assert not owed_a_retry(stored.study.trials)
    assert reclaim(stored.study, stored.storage) == 0


def test_a_second_copy_that_dies_at_once_is_not_enqueued_again(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(stored, gone())
    stored.study.tell(0, state=TrialState.FAIL)
    trials = stored.study.get_trials()
    with monkeypatch.context() as patch:
        patch.setattr(stored.study, "get_trials", lambda **_: trials)  # what two processes saw
        assert [reclaim(stored.study, stored.storage) for _ in range(2)] == [1, 1]
    for _ in range(2):
        stored.study.ask().set_user_attr("owner", gone())  # and no more than that
    assert reclaim(stored.study, stored.storage) == 1
    assert reclaim(stored.study, stored.storage) == 0
    assert [t.user_attrs.get("retry_of") for t in stored.study.trials] == [None, 0, 0, 1]


def test_the_second_copy_of_a_retry_is_ended_with_its_reason(stored: StoredStudy, run: Run) -> None:
    begin(stored, gone())
    stored.study.tell(0, state=TrialState.FAIL)
    trials = stored.study.get_trials()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored.study, "get_trials", lambda **_: trials)  # what two processes saw
        assert [reclaim(stored.study, stored.storage) for _ in range(2)] == [1, 1]
    assert run(stored, 2) is None
    _, first, second, third = stored.study.trials
    assert (first.state, third.state) == (TrialState.COMPLETE, TrialState.COMPLETE)
    assert second.state == TrialState.FAIL
    assert second.user_attrs["fail_reason"] == "another retry of the same trial was first"


def test_a_trial_killed_while_its_parameters_were_drawn_is_drawn_anew(stored: StoredStudy) -> None:
    trial = stored.study.ask()
    trial.set_user_attr("owner", gone())
    trial.suggest_int("conv1_kernel", 3, 9)
    assert reclaim(stored.study, stored.storage) == 1
    again = stored.study.ask()
    params = stored.space.suggest(again)
    assert again.number == 1
    assert stored.space.fits([int(params[k]) for k in stored.space.kernels])


def test_a_first_trial_killed_at_once_keeps_its_parameters(open_study: Open) -> None:
    first = "search.first=[{ conv1_kernel = 9, conv2_kernel = 6 }]"
    stored = open_study(first)
    trial = stored.study.ask()
    trial.set_user_attr("owner", gone())
    reclaim(stored.study, stored.storage)
    params = stored.space.suggest(stored.study.ask())
    assert [params[k] for k in stored.space.kernels] == [9, 6]


def test_a_trial_without_owner_is_given_time(stored: StoredStudy, open_study: Open) -> None:
    stored.study.add_trial(create_trial(state=TrialState.RUNNING))
    assert reclaim(stored.study, stored.storage) == 0
    with stored.storage.engine.begin() as connection:
        connection.execute(text("UPDATE trials SET datetime_start = '2020-01-01 00:00:00'"))
    again = open_study()
    assert reclaim(again.study, again.storage) == 1


def test_a_trial_has_its_owner_from_the_first_moment(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    stored.study.enqueue_trial({"conv1_kernel": 3})
    monkeypatch.setattr(type(stored.study.sampler), "before_trial", killed)
    for _ in range(2):  # one that was enqueued, and a new one
        with pytest.raises(KeyboardInterrupt):
            stored.study.ask()
    assert [t.state for t in stored.study.trials] == [TrialState.RUNNING] * 2
    assert [t.user_attrs["owner"] for t in stored.study.trials] == [owner()] * 2


def test_trials_of_living_processes_and_other_machines_are_left_alone(stored: StoredStudy) -> None:
    begin(stored, owner())
    begin(stored, {**gone(), "host": "another"})
    assert reclaim(stored.study, stored.storage) == 0
    assert [t.state for t in stored.study.trials] == [TrialState.RUNNING] * 2


def test_a_trial_that_kills_its_process_is_not_retried_for_ever(stored: StoredStudy) -> None:
    begin(stored, gone())
    for _ in range(RETRIES + 2):
        reclaim(stored.study, stored.storage)
        waiting = [t for t in stored.study.trials if t.state == TrialState.WAITING]
        if not waiting:
            break
        trial = stored.study.ask()
        assert trial.number == waiting[0].number
        trial.set_user_attr("owner", gone())
        trial.set_user_attr("weights", 1)
        trial.set_user_attr("resumed_at", 1)
        trial.report(0.5, 0)  # the epoch of the first try, and none of its own
    assert len(stored.study.trials) == RETRIES + 1
    assert {t.state for t in stored.study.trials} == {TrialState.FAIL}
    assert not owed_a_retry(stored.study.trials)  # so that its snapshot is swept away
    assert owed_a_retry(stored.study.trials[:1])


def test_a_retry_that_dies_at_once_keeps_its_parameters(stored: StoredStudy) -> None:
    begin(stored, gone())
    reclaim(stored.study, stored.storage)
    stored.study.ask().set_user_attr("owner", gone())  # and no more than that
    reclaim(stored.study, stored.storage)
    first, second, third = stored.study.trials
    assert first.params == second.params == third.params
    assert third.user_attrs["first_try"] == 0
    assert third.state == TrialState.WAITING


def test_a_trial_that_failed_without_a_reason_is_enqueued_again(stored: StoredStudy) -> None:
    begin(stored, {**gone(), "host": "another"})
    stored.study.tell(0, state=TrialState.FAIL)  # by a process that died before it went on
    assert reclaim(stored.study, stored.storage) == 1
    assert reclaim(stored.study, stored.storage) == 0


def test_a_trial_whose_heartbeat_stopped_has_that_as_its_reason(stored: StoredStudy) -> None:
    number = begin(stored, {**gone(), "host": "another"})
    stored.storage.record_heartbeat(number + 1)  # its id
    with stored.storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'"))
    optuna.storages.fail_stale_trials(stored.study)  # as Optuna does before a trial
    assert stored.study.trials[0].state == TrialState.RUNNING
    assert reclaim(stored.study, stored.storage) == 1
    old, new = stored.study.trials
    assert (old.state, new.state) == (TrialState.FAIL, TrialState.WAITING)
    assert old.user_attrs["fail_reason"] == "no heartbeat for 300 s"
    assert reclaim(stored.study, stored.storage) == 0


def test_a_process_that_dies_as_it_hands_a_trial_back_leaves_the_reason(
    stored: StoredStudy,
) -> None:
    trial = stored.study.ask()
    trial.set_user_attr("owner", gone())
    retry_later(trial, "interrupted by SIGTERM", counted=False)
    assert reclaim(stored.study, stored.storage) == 1
    old, new = stored.study.trials
    assert old.user_attrs["fail_reason"] == "interrupted by SIGTERM"
    assert new.user_attrs["deaths"] == 0


def test_progress_forgives_earlier_deaths(stored: StoredStudy) -> None:
    begin(stored, gone())
    for epochs in range(1, RETRIES + 4):
        assert reclaim(stored.study, stored.storage) == 1
        trial = stored.study.ask()
        trial.set_user_attr("owner", gone())
        trial.set_user_attr("resumed_at", epochs - 1)
        for epoch in range(epochs):
            trial.report(0.5, epoch)
    assert reclaim(stored.study, stored.storage) == 1


def test_only_one_process_begins_a_waiting_trial(stored: StoredStudy, database: str) -> None:
    stored.study.enqueue_trial({"conv1_kernel": 3})
    storages = [open_storage(database, create=False) for _ in range(4)]
    gate = threading.Barrier(len(storages))

    def begin_it(storage: PatientStorage) -> bool:
        gate.wait()
        return storage.set_trial_state_values(1, TrialState.RUNNING)

    with ThreadPoolExecutor(len(storages)) as pool:
        won = pool.map(begin_it, storages)
    assert sorted(won) == [False, False, False, True]


def test_a_retry_goes_on_as_the_first_try_was_begun(stored: StoredStudy) -> None:
    trial = stored.study.ask()
    Record(owner=gone(), seed=5, begun_with="old 3", fallback="no Triton").write(trial)
    trial.suggest_int("conv1_kernel", 3, 9)  # killed while its parameters were drawn
    assert reclaim(stored.study, stored.storage) == 1
    again = stored.study.trials[1]
    assert again.params == {}
    assert again.user_attrs == {
        "seed": 5,
        "from": "old 3",
        "fallback": "no Triton",
        "retry_of": 0,
        "first_try": 0,
        "deaths": 1,
    }


def test_what_was_enqueued_is_kept_however_often_its_process_dies(stored: StoredStudy) -> None:
    stored.study.enqueue_trial({"conv1_kernel": 4, "conv2_kernel": 3})
    for _ in range(2):
        trial = stored.study.ask()
        trial.set_user_attr("owner", gone())
        trial.suggest_int("conv1_kernel", 3, 9)
        assert reclaim(stored.study, stored.storage) == 1
    last = stored.study.trials[-1]
    assert last.params == {}
    assert last.system_attrs["fixed_params"] == {"conv1_kernel": 4, "conv2_kernel": 3}


@pytest.mark.parametrize(
    ("resumed_at", "epochs", "deaths"), [(None, 0, 3), (None, 1, 1), (2, 2, 3), (2, 3, 1)]
)
def test_an_epoch_of_its_own_forgives_earlier_deaths(
    stored: StoredStudy, resumed_at: int | None, epochs: int, deaths: int
) -> None:
    trial = stored.study.ask()
    Record(owner=gone(), deaths=2, resumed_at=resumed_at).write(trial)
    for epoch in range(epochs):
        trial.report(0.5, epoch)
    reclaim(stored.study, stored.storage)
    assert stored.study.trials[-1].user_attrs["deaths"] == deaths


@pytest.mark.parametrize(("counted", "deaths"), [(True, 1), (False, 0)])
def test_a_trial_that_ends_is_retried_and_counted_if_it_is_to_be(
    stored: StoredStudy, counted: bool, deaths: int
) -> None:
    trial = stored.study.ask()
    retry_later(trial, "so it is", counted)
    stored.study.tell(trial, state=TrialState.FAIL)
    assert stored.study.trials[0].user_attrs["fail_reason"] == "so it is"
    assert reclaim(stored.study, stored.storage) == 1
    assert stored.study.trials[1].user_attrs["deaths"] == deaths


def test_a_trial_without_owner_is_lost_after_five_minutes(stored: StoredStudy) -> None:
    stored.study.add_trial(create_trial(state=TrialState.RUNNING))
    (trial,) = stored.study.trials
    assert trial.datetime_start is not None
    assert is_lost_at(trial) == trial.datetime_start + timedelta(minutes=5)
    begin(stored, owner())
    assert is_lost_at(stored.study.trials[1]) is None
    stored.study.enqueue_trial({})
    assert is_lost_at(stored.study.trials[2]) is None


def test_a_silent_trial_of_another_study_costs_this_one_none(stored: StoredStudy) -> None:
    begin(stored, {**gone(), "host": "another"})
    other = optuna.create_study(study_name="other", storage=stored.storage)
    other.add_trial(create_trial(state=TrialState.RUNNING))
    with stored.storage.engine.begin() as connection:
        old = "UPDATE trials SET datetime_start = '2020-01-01 00:00:00' WHERE trial_id = 2"
        connection.execute(text(old))
    assert stored.storage.silent_trial_ids(2) == [2]
    assert reclaim(stored.study, stored.storage) == 0
    assert stored.study.trials[0].state == TrialState.RUNNING
