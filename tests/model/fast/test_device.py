"""Which devices are taken, what they are called, and the arithmetic that they are fast in."""

from collections.abc import Callable

import pytest
import torch

from data.errors import UserError
from model.fast.device import device_name, find_device, resolve_precision, threads_in

Gpus = Callable[[int], list[torch.device]]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """Makes the machine one of this many GPUs; gives those that are chosen from then on."""

    def gpus(count: int) -> list[torch.device]:
        chosen = list[torch.device]()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
        return chosen

    return gpus


@pytest.mark.parametrize(
    ("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cuda:2", 2)]
)
def test_a_gpu_that_is_not_there_is_refused(gpus: Gpus, name: str, count: int) -> None:
    chosen = gpus(count)
    with pytest.raises(UserError, match=f"no device {name}, as this machine has {count} CUDA"):
        find_device(name)
    assert chosen == []


def test_a_gpu_that_is_named_is_the_one_that_pytorch_takes(gpus: Gpus) -> None:
    chosen = gpus(2)
    assert find_device("cuda:1") == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")]
    assert find_device("cuda") == find_device("auto") == torch.device("cuda")
    assert find_device("cpu") == torch.device("cpu")
    assert len(chosen) == 1


def test_without_a_gpu_it_is_the_cpu(gpus: Gpus) -> None:
    gpus(0)
    assert find_device("auto") == torch.device("cpu")


def test_the_name_of_a_cpu_says_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert device_name(cpu) == "CPU, 6 threads"
    assert device_name(cpu, 1, 4) == "CPU, 1 to 4 threads"
    assert device_name(cpu, 4, 4) == "CPU, 4 threads"
    assert threads_in("CPU, 12 threads") == 12
    assert threads_in("CPU, 1 to 4 threads") is None
    assert threads_in("a made-up device") is None


@pytest.mark.parametrize(
    ("able", "precision"),
    [
        ({}, "fp32"),
        ({"avx512_bf16": False, "avx2": True}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
    ],
)
def test_arithmetic_is_that_of_the_hardware_where_none_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], precision: str
) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert resolve_precision("auto", cpu) == precision
    assert resolve_precision("bf16", cpu) == "bf16"
    assert resolve_precision("fp32", cpu) == "fp32"
