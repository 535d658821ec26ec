"""The source of chance: generators, each of its own seed."""

import torch
from torch import Generator


def seeded(seed: int, device: torch.device | str = "cpu") -> Generator:
    """A generator of its own on ``device``, started at ``seed``."""
    return torch.Generator(device=device).manual_seed(seed)
