"""The memory of a device: what a network needs, what is free, what was used at the most."""

import ctypes
import gc
import sys
from pathlib import Path

import psutil
import torch

from data.errors import UserError
from model.architecture import Architecture

_CGROUP = Path("/sys/fs/cgroup")
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")

COPIES = 5
"""Tensors of the size of an image's maps that a training step on a CPU holds at the most."""

_OUT_OF_MEMORY = (  # of oneDNN, cuBLAS, CUDA and Triton
    "can't allocate memory",
    "ALLOC_FAILED",
    "CUDA error: out of memory",
    "Triton Error [CUDA]: out of memory",
)


class DoesNotFit(UserError, RuntimeError):
    """A network that this device cannot train, whatever the batch."""

    advice = "free some, or take a smaller network"


def out_of_memory(error: RuntimeError) -> bool:
    """Whether memory is used up: so `DoesNotFit`, and what PyTorch raises for host or device."""
    known = isinstance(error, DoesNotFit | torch.OutOfMemoryError)
    return known or any(sign in str(error) for sign in _OUT_OF_MEMORY)


def available(device: torch.device) -> int:
    """Bytes that a new tensor on the device could take."""
    if device.type != "cuda":
        return min(psutil.virtual_memory().available, _left_to_container())
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + held


def _left_to_container() -> int:
    """Bytes below the limit that a container or a batch system sets, if one does."""
    try:
        limit, used = (int((_CGROUP / f"memory.{x}").read_text()) for x in ("max", "current"))
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no such files, or no limit: "max"
        return sys.maxsize
    cached = sum(int(x.split()[1]) for x in lines if x.startswith(("inactive_file", "active_file")))
    return max(0, limit - used + cached)


def block_that_fits(architecture: Architecture, device: torch.device) -> int:
    """How many images to embed at once in training, by a generous guess of what each takes.

    A GPU that runs out says so, and the block is halved then; a process that runs out of the host's
    memory is killed, so there the guess is made beforehand.

    Raises:
        DoesNotFit: what is free cannot hold the weights with their gradient, their velocity and
            the best epoch's copy, and the maps of one image.
    """
    free = available(device)
    weights, image = 16 * architecture.weights, 4 * architecture.map_numbers
    if weights + image > free:
        raise DoesNotFit(
            f"the network needs at least {(weights + image) / 2**30:.1f} GiB of memory, "
            f"and {free / 2**30:.1f} GiB are free"
        )
    if device.type == "cuda":
        return sys.maxsize
    return max(1, (free - weights) // (COPIES * image))


def release_memory(device: torch.device) -> None:
    """Release what no tensor uses: to the system, and on a GPU to other processes."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def reset_peak(device: torch.device) -> None:
    """Start a new measurement for `peak`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _RESET.exists():
        try:
            _RESET.write_text("5")
        except OSError:  # a sandbox that forbids it; the peak is then the process's own
            return


def peak(device: torch.device) -> int:
    """Bytes: of the device's allocator on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)
