import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock, call

import pytest
from optuna.trial import create_trial

from hpo.search.loop import DeviceFailure, MachineFailure
from hpo.search.observer import Observer
from hpo.study.study import StoredStudy
from hpo.workers.local import REPLACE
from hpo.workers.ray import _work, run_on_ray
from hpo.workers.worker import Work
from model.fast.threads import Threads


class RayError(Exception):
    """What Ray raises."""


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Ray, on which one worker after the other is done."""
    made = Mock()
    made.exceptions.RayError = RayError
    made.cluster_resources.return_value = {"CPU": 8.0}
    made.wait.side_effect = lambda left, **_: (left[:1], left[1:])
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def test_whatever_ray_raises_as_it_begins_is_one_sentence(
    stored: StoredStudy, tmp_path: Path, ray: Mock
) -> None:
    job = Work("tiny", str(stored.storage.url), tmp_path, "cpu", tmp_path)
    for error in (AssertionError(), TimeoutError("no answer\nfrom it"), KeyError("raylet")):
        ray.init.side_effect = error
        with pytest.raises(MachineFailure, match=r"^there is no Ray cluster at x \(.+\): give"):
            run_on_ray("x", job, 1, None, stored, None, Observer())


@pytest.mark.parametrize(
    ("resources", "trials_per_gpu", "share", "device"),
    [({"GPU": 2.0}, 4, 0.25, "cuda"), ({"GPU": 2.0}, None, 1, "cuda"), ({}, 4, 0, "cpu")],
)
def test_ray_is_asked_for_a_workers_share_of_a_machine(
    stored: StoredStudy,
    tmp_path: Path,
    ray: Mock,
    resources: dict[str, float],
    trials_per_gpu: int | None,
    share: float,
    device: str,
) -> None:
    ray.cluster_resources.return_value = {"CPU": 8.0, **resources}
    job = Work(
        "tiny", str(stored.storage.url), tmp_path, "cuda:1", tmp_path, Threads(fixed=3, most=1)
    )
    assert run_on_ray("auto", job, 5, trials_per_gpu, stored, None, Observer()) is None
    assert ray.init.call_args.kwargs["address"] == "auto"
    ray.remote.assert_called_once_with(num_cpus=3, num_gpus=share, max_retries=-1)
    begun = ray.remote.return_value.return_value.remote
    assert begun.call_args_list == [call(replace(job, device=device))] * 5
    ray.shutdown.assert_called_once_with()


def test_workers_on_ray_end_with_their_time(stored: StoredStudy, tmp_path: Path, ray: Mock) -> None:
    job = Work("tiny", str(stored.storage.url), tmp_path, "cpu", tmp_path)
    assert run_on_ray("auto", job, 3, None, stored, 0, Observer()) == "the time is up"
    assert ray.cancel.call_count == 3
    ray.shutdown.assert_called_once_with()


def test_what_ended_last_is_told_too(stored: StoredStudy, tmp_path: Path, ray: Mock) -> None:
    observer = Mock(spec=Observer)
    job = Work("tiny", str(stored.storage.url), tmp_path, "cpu", tmp_path)
    ray.get.side_effect = lambda done: stored.study.add_trial(create_trial(value=0.5))
    assert run_on_ray("auto", job, 2, None, stored, None, observer) is None
    told = [call.args[0].number for call in observer.trial_finished.call_args_list]
    assert told == [0, 1]


def test_without_ray_there_is_one_sentence(
    stored: StoredStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    job = Work("tiny", str(stored.storage.url), tmp_path, "cpu", tmp_path)
    with pytest.raises(MachineFailure, match="--ray needs Ray: install the extra for it, pip"):
        run_on_ray("auto", job, 1, None, stored, None, Observer())


def test_a_worker_that_gave_up_ends_the_search_with_what_it_said(
    stored: StoredStudy, tmp_path: Path, ray: Mock
) -> None:
    ray.get.side_effect = RayError("Traceback:\n  line 7\nDataError: no images\n")
    job = Work("tiny", str(stored.storage.url), tmp_path, "cpu", tmp_path)
    with pytest.raises(MachineFailure, match=r"gave up \(DataError: no images\): see to it, then"):
        run_on_ray("auto", job, 2, None, stored, None, Observer())
    ray.shutdown.assert_called_once_with()


def test_a_worker_whose_gpu_broke_ends_its_process_so_that_ray_begins_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave = Mock(side_effect=SystemExit)
    monkeypatch.setattr("hpo.workers.ray.os._exit", leave)
    work = Mock(return_value="the time is up")
    monkeypatch.setattr("hpo.workers.ray.work", work)
    job = Mock()
    assert _work(job) == "the time is up"
    work.assert_called_once_with(job)
    work.side_effect = DeviceFailure("the GPU broke")
    with pytest.raises(SystemExit):
        _work(job)
    leave.assert_called_once_with(REPLACE)
