import os

import pytest
import torch

from hpo.cli.run import _for_gpus
from hpo.cli.steps import find_device
from hpo.study.settings import SettingsError
from hpo.workers.local import devices, threads

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
    with pytest.raises(SettingsError, match="has 2 CUDA devices"):
        find_device("cuda:2")


def test_the_cores_are_divided_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert [threads(workers) for workers in (1, 4, 9)] == [6, 1, 1]
    monkeypatch.delattr(os, "sched_getaffinity")  # Linux alone has it
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [threads(workers) for workers in (1, 4, 9)] == [8, 2, 1]


def test_this_many_trials_run_on_every_gpu_that_is_used() -> None:
    assert _for_gpus(3, None, ALL) == 6
    assert _for_gpus(3, None, SECOND) == 3
    with pytest.raises(SettingsError, match="say the same twice"):
        _for_gpus(3, 2, ALL)
    with pytest.raises(SettingsError, match="needs a GPU"):
        _for_gpus(3, None, CPU)
