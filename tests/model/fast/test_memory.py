import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import psutil
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

from model.fast.heap import keep_freed
from model.fast.memory import release_memory

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
    # Connected to 2 · 6² numbers and a bias each, 2²¹ units have 73 · 2²¹ weights and as many more
    # for the output: at 16 bytes 74 · 2²⁵, and all else is small.
    described = architecture(((3, 2),), size=8, fc=2**21)
    monkeypatch.setattr(memory, "available", lambda device: 3 * 2**29)
    with pytest.raises(DoesNotFit, match=r"at least 2\.3 GiB of memory, and 1\.5 GiB are free"):
        block_that_fits(described, CPU)


# Weights: 20 of the convolution, 73 · 3 between, 4 of the output, at 16 bytes. Numbers of an image
# and its maps: 8² + 2 · 6², at 4 bytes.
SMALL, WEIGHTS, IMAGE = architecture(((3, 2),), size=8, fc=3), 16 * 243, 4 * 136


@pytest.mark.parametrize(
    ("free", "block"),
    [
        (WEIGHTS + IMAGE, 1),
        (WEIGHTS + 5 * IMAGE * 3 - 1, 2),
        (WEIGHTS + 5 * IMAGE * 3, 3),
        (WEIGHTS + 5 * IMAGE * 1000, 1000),
    ],
)
def test_a_block_is_what_fits_beside_the_weights(
    monkeypatch: pytest.MonkeyPatch, free: int, block: int
) -> None:
    monkeypatch.setattr(memory, "available", lambda device: free)
    assert block_that_fits(SMALL, CPU) == block


def test_a_byte_less_than_one_image_needs_is_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda device: WEIGHTS + IMAGE - 1)
    with pytest.raises(DoesNotFit):
        block_that_fits(SMALL, CPU)


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [("1000", 700, 1000 - 700 + 20 + 3), ("1000", 1100, 0), ("max", 700, 5000), ("9000", 1, 5000)],
)
def test_a_container_leaves_what_is_below_its_limit_and_what_is_only_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, used: int, left: int
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    (tmp_path / "memory.stat").write_text(
        "anon 600\ninactive_anon 300\ninactive_file 20\nactive_file 3\nunevictable 50\n"
    )
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: Mock(available=5000))
    assert memory.available(CPU) == left


def test_without_a_container_all_is_left_that_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: Mock(available=5000))
    assert memory.available(CPU) == 5000


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


def test_the_peak_of_a_process_is_in_bytes_and_can_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, reset = tmp_path / "status", tmp_path / "clear_refs"
    status.write_text("VmPeak:\t  999 kB\nVmHWM:\t  123 kB\nVmRSS:\t  100 kB\n")
    reset.touch()
    monkeypatch.setattr(memory, "_STATUS", status)
    monkeypatch.setattr(memory, "_RESET", reset)
    assert memory.peak(CPU) == 123 * 1024
    memory.reset_peak(CPU)
    assert reset.read_text() == "5"
    forbidden = Mock(write_text=Mock(side_effect=PermissionError))
    monkeypatch.setattr(memory, "_RESET", forbidden)
    memory.reset_peak(CPU)
    forbidden.write_text.assert_called_once()
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "of another system")
    assert memory.peak(CPU) == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
