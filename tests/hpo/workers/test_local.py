import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
import torch
from optuna.trial import create_trial

from data.errors import UserError
from hpo.cli.run import _for_gpus
from hpo.search.loop import DeviceFailure, MachineFailure
from hpo.search.observer import Observer
from hpo.study.limits import WANTED, Budget, set_limits
from hpo.study.settings import SettingsError
from hpo.study.study import StoredStudy
from hpo.study.trials import finished
from hpo.workers import local
from hpo.workers.local import (
    Seen,
    Workers,
    cores_for,
    devices,
    go_on_in_a_process_of_its_own,
)
from hpo.workers.worker import Work
from model.fast.device import find_device
from tests.hpo.command import Hpo
from tests.hpo.processes import check_whole
from tests.hpo.tiny_study import open_tiny, write_tiny

ALL, SECOND, CPU = torch.device("cuda"), torch.device("cuda", 1), torch.device("cpu")


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_workers_take_the_gpus_in_turn_unless_one_is_named() -> None:
    assert devices(ALL, 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert devices(SECOND, 2) == ["cuda:1", "cuda:1"]
    assert devices(CPU, 2) == ["cpu", "cpu"]


def test_a_gpu_that_is_named_is_where_pytorch_works(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert find_device("cuda:1") == SECOND
    assert find_device("cuda") == ALL
    assert chosen == [SECOND]
    with pytest.raises(UserError, match="has 2 CUDA devices"):
        find_device("cuda:2")


def test_the_cores_are_divided_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert [cores_for(workers) for workers in (1, 4, 9)] == [6, 1, 1]
    monkeypatch.delattr(os, "sched_getaffinity")  # Linux alone has it
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [cores_for(workers) for workers in (1, 4, 9)] == [8, 2, 1]


def test_this_many_trials_run_on_every_gpu_that_is_used() -> None:
    assert _for_gpus(3, None, ALL) == 6
    assert _for_gpus(3, None, SECOND) == 3
    with pytest.raises(SettingsError, match="say the same twice"):
        _for_gpus(3, 2, ALL)
    with pytest.raises(SettingsError, match="needs a GPU"):
        _for_gpus(3, None, CPU)


def test_a_worker_whose_gpu_broke_is_replaced(
    stored: StoredStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "broken"

    def work(job: Work) -> None:
        if not marker.exists():
            marker.touch()
            raise DeviceFailure("trial 0 failed")
        study = optuna.load_study(study_name=job.study, storage=job.url)
        study.add_trial(create_trial(value=0.5))

    monkeypatch.setattr(local, "work", work)
    stored.study.set_user_attr(WANTED, 1)
    job = Work("tiny", str(stored.storage.url), tmp_path, "cpu", tmp_path)
    workers = Workers([job])
    monkeypatch.setattr(workers, "_context", multiprocessing.get_context("fork"))
    assert workers.run(stored, None, Observer()) is None
    assert marker.exists()
    assert finished(stored.study) == 1


def test_who_watches_workers_tells_once_that_the_budget_is_used_up(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "NEWS", 0.0)
    observer = Mock(spec=Observer)
    seen = Seen(stored, observer)
    set_limits(stored.study, None, Budget(10, "seconds"))
    for _ in range(2):
        stored.study.ask().set_user_attr("seconds", 6.0)
        seen.look()
        seen.look()
    observer.budget_used_up.assert_called_once_with(2)


def test_who_watches_workers_tells_of_the_trials_that_end_meanwhile(stored: StoredStudy) -> None:
    stored.study.add_trial(create_trial(value=0.5))
    observer = Mock()
    seen = Seen(stored, observer)
    seen.look()
    observer.trial_finished.assert_not_called()
    stored.study.ask()
    for value in (0.25, 0.125):
        stored.study.add_trial(create_trial(value=value))
        seen.look()
        seen.look()
    told = [call.args[0].number for call in observer.trial_finished.call_args_list]
    assert told == [2, 3]


def test_a_worker_ends_with_the_process_that_began_it(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, kill = Mock(), Mock()
    monkeypatch.setattr("hpo.workers.local.multiprocessing.parent_process", lambda: parent)
    monkeypatch.setattr("hpo.workers.local.os.kill", kill)
    local._follow_parent()
    parent.join.assert_called_once_with()
    kill.assert_called_once_with(os.getpid(), signal.SIGTERM)


@pytest.mark.soak
@pytest.mark.parametrize("line", ["run tiny --trials 1", "worker tiny"])
def test_a_search_alone_goes_on_in_another_process_where_its_gpu_broke(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1 --workers 0").status == 0
    broken = Mock(side_effect=DeviceFailure("trial 0 failed"))
    monkeypatch.setattr("hpo.cli.run.search", broken)
    monkeypatch.setattr("hpo.cli.worker.work", broken)
    done = hpo(line)
    assert done.status == 0, done.err
    assert broken.call_count == 1
    assert "trial 0 failed\nthe search goes on in another process\n" in done.err
    check_whole(open_tiny(tmp_path), 1)


def workers_that(
    does: Callable[[Work], None], stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> Workers:
    """One worker that does this instead of a search."""
    monkeypatch.setattr(local, "work", does)
    job = Work("tiny", str(stored.storage.url), Path(), "cpu", Path())
    workers = Workers([job])
    monkeypatch.setattr(workers, "_context", multiprocessing.get_context("fork"))
    return workers


def test_workers_that_die_are_replaced_as_long_as_trials_are_finished(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_and_die(job: Work) -> None:
        study = optuna.load_study(study_name=job.study, storage=job.url)
        if finished(study) < 3:
            study.add_trial(create_trial(value=0.5))
            os._exit(1)

    monkeypatch.setattr(local, "DEATHS", 1)
    stored.study.set_user_attr(WANTED, 3)
    assert workers_that(add_and_die, stored, monkeypatch).run(stored, None, Observer()) is None
    assert finished(stored.study) == 3


def test_a_worker_that_ends_before_the_study_is_full_is_replaced(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_one(job: Work) -> None:
        optuna.load_study(study_name=job.study, storage=job.url).add_trial(create_trial(value=0.5))

    stored.study.set_user_attr(WANTED, 3)
    assert workers_that(add_one, stored, monkeypatch).run(stored, None, Observer()) is None
    assert finished(stored.study) == 3


def test_workers_that_do_nothing_but_die_end_the_search(
    stored: StoredStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(job: Work) -> None:
        with (tmp_path / "deaths").open("a") as file:
            file.write("x")
        os._exit(1)

    stored.study.set_user_attr(WANTED, 8)
    workers = workers_that(die, stored, monkeypatch)
    with pytest.raises(MachineFailure, match=r"died 6 times .* \(the last with status 1\)"):
        workers.run(stored, None, Observer())
    assert (tmp_path / "deaths").read_text() == "x" * 6


def test_a_worker_that_says_what_is_wrong_is_not_replaced(
    stored: StoredStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(job: Work) -> None:
        (tmp_path / str(os.getpid())).touch()
        raise UserError("the data is not here")

    stored.study.set_user_attr(WANTED, 8)
    with pytest.raises(MachineFailure, match="a worker gave up, as it said above"):
        workers_that(refuse, stored, monkeypatch).run(stored, None, Observer())
    assert len([file for file in tmp_path.iterdir() if file.name.isdecimal()]) == 1


def test_workers_are_told_to_end_when_the_time_is_up(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.study.set_user_attr(WANTED, 8)
    workers = workers_that(lambda job: time.sleep(600), stored, monkeypatch)
    assert workers.run(stored, 0.3, Observer()) == "the time is up"
    assert not multiprocessing.active_children()


def test_a_second_ctrl_c_kills_workers_that_do_not_end(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(job: Work) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)

    def interrupted(sentinels: object, timeout: float) -> None:
        raise KeyboardInterrupt

    workers = workers_that(hang, stored, monkeypatch)
    workers._start(0)
    monkeypatch.setattr(local, "wait", interrupted)
    workers._stop()
    assert not multiprocessing.active_children()


def test_a_search_that_goes_on_elsewhere_says_why_and_has_the_time_that_is_left(
    stored: StoredStudy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hpo")
    made = Mock()
    monkeypatch.setattr(local, "Workers", made)
    job, stop, observer = Mock(), Mock(), Observer()
    ended = go_on_in_a_process_of_its_own(DeviceFailure("it broke"), job, stored, stop, observer)
    assert ended is made.return_value.run.return_value
    made.assert_called_once_with([job])
    made.return_value.run.assert_called_once_with(stored, stop.left.return_value, observer)
    assert caplog.messages == ["it broke", "the search goes on in another process"]
