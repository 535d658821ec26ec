"""What the networks of a study or configuration train on and are scored on."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from data.drawings import Drawings
from data.sources.by_name import open_set
from data.split import Split, split, split_classes
from data.tasks import OneShotTasks, draw_tasks
from model.architecture import Channels
from model.configuration import Configuration, DataChoice
from model.fast.threads import Threads
from model.training import Trainer


@dataclass(frozen=True)
class Inputs:
    """Data at the image size of some networks, on the device where they train.

    Attributes:
        split: the data; only its training set is on ``device``.
        tasks: the validation tasks, on ``device``.
        device: where to train.
        fingerprint: of the data's content.
        threads: of the CPU, as `Trainer` takes it.
    """

    split: Split
    tasks: OneShotTasks
    device: torch.device
    fingerprint: str
    threads: Threads | None = None

    def trainer(self, configuration: Configuration) -> Trainer:
        """A network of this configuration, ready to train; raises as `Trainer` does."""
        return Trainer(configuration, self.split.train, self.tasks, self.device, self.threads)


def open_inputs(
    choice: DataChoice,
    side: int,
    channels: Channels,
    folder: Path,
    device: torch.device,
    threads: Threads | None = None,
) -> Inputs:
    """Load the data of a study or configuration, and draw its validation tasks.

    Args:
        choice: the data set and the tasks.
        side: height and width of the images, in pixels.
        channels: of the images.
        folder: where Omniglot is, or is downloaded to; or that of the images.
        device: where to train.
        threads: of the CPU; left out, PyTorch's number, and fewer beside busy processes.

    Raises:
        DataError: the data is absent, broken or too small.
    """
    drawings = open_set(choice.set, choice.seed, folder, side, channels)
    return inputs_from(drawings, choice, side, device, threads)


def inputs_from(
    drawings: Drawings,
    choice: DataChoice,
    side: int,
    device: torch.device,
    threads: Threads | None = None,
) -> Inputs:
    """The same from drawings that are loaded already."""
    cut = split_as(choice, drawings).resized(side)
    tasks = draw_tasks(
        cut.validation, choice.validation_tasks, choice.task_seed, choice.way, choice.shots
    )
    on_device = replace(cut, train=cut.train.to(device))
    return Inputs(on_device, tasks.to(device), device, drawings.fingerprint, threads)


def split_as(choice: DataChoice, drawings: Drawings) -> Split:
    """The data cut as a study or configuration has it; raises as `data.split` does."""
    if choice.set != "folder":
        return split(drawings, choice.all_drawers)
    groups = choice.validation_groups, choice.evaluation_groups
    return split_classes(drawings, *groups, choice.held_out, choice.way, choice.seed)
