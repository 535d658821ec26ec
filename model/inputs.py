"""What the networks of a study or configuration train on and are scored on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from data.sources.by_name import open_set
from data.split import Split, split
from data.tasks import OneShotTasks, draw_tasks
from model.configuration import DataChoice


def open_split(
    choice: DataChoice, side: int, folder: Path, say: Callable[[str], None]
) -> tuple[Split, str]:
    """The data at an image size, cut; and its fingerprint."""
    drawings = open_set(choice.set, choice.seed, folder, say)
    return split(drawings).resized(side), drawings.fingerprint


def validation_tasks(choice: DataChoice, cut: Split, device: torch.device) -> OneShotTasks:
    """The validation tasks of a study or configuration, on the device."""
    return draw_tasks(cut.validation, choice.validation_tasks, choice.task_seed).to(device)
