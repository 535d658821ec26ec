"""The device and the threads that a command computes with."""

import torch

from hpo.study.settings import SettingsError
from model.fast.device import current
from model.fast.threads import Threads


def find_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is a GPU where there is one.

    Raises:
        SettingsError: it is not there, or of a kind that is not supported.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"--device {name} is no device: name cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(f"--device {name} is not supported: name cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices that "
            "PyTorch can use: leave --device out, or name cpu"
        )
    return current(device)


def use_threads(asked: int | None) -> Threads:
    """The threads of the CPU for each training: always this many, or as PyTorch has it, or fewer.

    PyTorch is set to the number that was asked for, so that all that follows has it.
    """
    if asked:
        torch.set_num_threads(asked)
    return Threads(fixed=asked)
