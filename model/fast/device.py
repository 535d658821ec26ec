"""A device: which arithmetic it is fast in, what it is called, which one PyTorch takes."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from data.errors import UserError
from model.recipe import Precision


def computes_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 in hardware; elsewhere it is many times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return False


def resolve_precision(asked: Literal["auto", "bf16", "fp32"], device: torch.device) -> Precision:
    """The arithmetic that ``asked`` means on this device."""
    if asked == "auto":
        return "bf16" if computes_bf16(device) else "fp32"
    return asked


def dtype_of(precision: Precision) -> torch.dtype:
    """The type of the numbers that this arithmetic takes."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


@contextmanager
def plain_kernels() -> Iterator[None]:
    """PyTorch's own kernels in the block, instead of those of cuDNN and oneDNN."""
    warnings.filterwarnings("ignore", "TF32 acceleration on top of oneDNN")  # it is not asked for
    with torch.backends.cudnn.flags(enabled=False), torch.backends.mkldnn.flags(enabled=False):
        yield


def device_name(device: torch.device, fewest: int | None = None, highest: int | None = None) -> str:
    """The device as a person knows it.

    Args:
        device: which.
        fewest, highest: threads that a training used of the CPU, where that is known.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    highest = highest or torch.get_num_threads()
    some = f"{fewest} to {highest}" if fewest and fewest < highest else str(highest)
    return f"CPU, {some} threads"


def threads_in(name: str) -> int | None:
    """The threads in a `device_name`, if it is a CPU that used the same number all the time."""
    found = re.fullmatch(r"CPU, ([0-9]{1,3}) threads", name)
    return int(found[1]) if found else None


def find_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is a GPU where there is one.

    Raises:
        UserError: it is not there, or of a kind that is not supported.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"{name} is no device: name cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"the device {name} is not supported: name cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"there is no device {name}, as this machine has {torch.cuda.device_count()} CUDA "
            "devices that PyTorch can use: leave the device out, or name cpu"
        )
    return current(device)


def current(device: torch.device) -> torch.device:
    """The device; a GPU with a number becomes the one that PyTorch takes where none is named."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device
