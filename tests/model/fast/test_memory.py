import subprocess
import sys

import pytest
import torch

from model.fast import memory
from model.fast.device import computes_bf16
from model.fast.memory import DoesNotFit, block_that_fits, out_of_memory
from tests.model.tiny import architecture

CPU = torch.device("cpu")

MANY_SHAPES = """
import psutil
import torch

from model.fast.memory import release_memory, keep_freed

keep_freed()
torch.set_num_threads(1)

def after(rows):
    for count in rows:
        torch.ones(count, 64, dtype=torch.bfloat16) @ torch.ones(64, 32, dtype=torch.bfloat16)
    release_memory(torch.device("cpu"))
    return psutil.Process().memory_info().rss

before = after(range(1000, 1200))
print((after(range(2000, 2300)) - before) / 2**20)
"""


def test_a_network_beyond_memory_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    described = architecture(((3, 16), (3, 16)), size=20, fc=4096)
    monkeypatch.setattr(memory, "available", lambda device: 2**20)
    with pytest.raises(DoesNotFit, match=r"at least 0\.0 GiB of memory, and 0\.0 GiB are free"):
        block_that_fits(described, CPU)


def test_a_block_shrinks_with_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    described = architecture(((3, 16), (3, 16)), size=20, fc=48)
    blocks = []
    for megabytes in (4, 40, 400):
        monkeypatch.setattr(memory, "available", lambda device, m=megabytes: m * 2**20)
        blocks.append(block_that_fits(described, CPU))
    assert 1 <= blocks[0] < blocks[1] < blocks[2]


@pytest.mark.skipif(not computes_bf16(CPU), reason="needs a processor that computes in bf16")
def test_the_kernels_of_earlier_networks_are_freed() -> None:
    line = [sys.executable, "-c", MANY_SHAPES]
    told = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert float(told) < 30  # MiB; a third of one for every shape where all are kept


def test_out_of_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**55)
    assert out_of_memory(real.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert out_of_memory(RuntimeError("Triton Error [CUDA]: out of memory"))
    assert out_of_memory(DoesNotFit("too large"))
    assert not out_of_memory(RuntimeError("shapes differ"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A GPU that says what it holds: 100 MiB of its allocator's, 30 MiB of them in use."""
    for name, megabytes in (("memory_reserved", 100), ("memory_allocated", 30)):
        monkeypatch.setattr(torch.cuda, name, lambda device, m=megabytes: m * 2**20)
    return torch.device("cuda", 1)


def test_what_the_allocator_of_a_gpu_holds_unused_is_available(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 * 2**20, 2**30))
    assert memory.available(gpu) == 75 * 2**20
    # It says itself when it runs out, so all images are tried at once.
    assert block_that_fits(architecture(((3, 16), (3, 16)), size=20, fc=48), gpu) > 10**9


def test_a_network_beyond_a_gpu_is_refused_before_it_is_built(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 2**30))
    with pytest.raises(DoesNotFit):
        block_that_fits(architecture(((3, 16), (3, 512)), size=20, fc=4096), gpu)


def test_a_trial_gives_a_gpu_back_what_it_freed_and_is_measured_by_itself(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: called.append("emptied"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", called.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    memory.reset_peak(gpu)
    memory.release_memory(gpu)
    assert called == [gpu, "emptied"]
    assert memory.peak(gpu) == 7
