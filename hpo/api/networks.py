"""A trained network: trained in full, or read from its file; it embeds, compares and classifies."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import DataError
from data.files import check_writable, writing
from hpo.api.errors import in_a_sentence
from hpo.api.pictures import Picture, read_pictures
from hpo.results.classify import FEWEST, Guess, embed, rank
from hpo.results.full_training import inputs_of, train_in_full
from hpo.study.paths import shipped_network
from model.checkpoint import Checkpoint, CheckpointError
from model.checkpoint import load_checkpoint as read_checkpoint
from model.configuration import Configuration
from model.fast.device import find_device
from model.fast.heap import keep_freed
from model.history import History, Interrupted


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network on its device.

    Every method takes pictures of any size and shape: paths, Pillow images, or uint8 arrays, (H, W)
    grey or (H, W, 3) RGB, in any sequence; an (N, H, W) or (N, H, W, 3) array is one. They are read
    as ``hpo classify`` reads files. For a network of drawings the paper is what the border
    shows, and the ink what differs from it the most: dark on light or light on dark makes no
    difference.

    Attributes:
        checkpoint: the weights, their ``configuration``, and the ``history`` of the training.
        device: where it computes.
    """

    checkpoint: Checkpoint
    device: torch.device

    def embed(self, images: Iterable[Picture]) -> NDArray[np.float32]:
        """What the network makes of each picture, before it compares.

        Args:
            images: N pictures.

        Returns:
            (N, F) float32 in [0, 1], where F is the network's ``fc_units``; eight times as many
            where it answers in eight views, the turns and mirror images of a picture.

        Raises:
            DataError: there is no picture, or one is unreadable, blank or of another form.
        """
        return self._numpy(self._embedded(images))

    def compare(self, a: Iterable[Picture], b: Iterable[Picture]) -> NDArray[np.float32]:
        """How likely ``a[i]`` and ``b[i]`` show the same class, by the network.

        Args:
            a, b: N pictures each.

        Returns:
            (N,) float32 in [0, 1], the sigmoid of the network's logit. It is not calibrated.

        Raises:
            DataError: as `embed` does, or they are not equally many.
        """
        first, second = self._embedded(a, " of a"), self._embedded(b, " of b")
        if len(first) != len(second):
            raise DataError(
                f"{len(first)} images cannot be paired with {len(second)}: give as many of each"
            )
        with torch.inference_mode():
            return self._numpy(self.checkpoint.network.score(first, second).sigmoid())

    def classify(
        self, support: Mapping[str, Iterable[Picture]], queries: Iterable[Picture]
    ) -> list[list[Guess]]:
        """Which class each query belongs to, from a picture or a few of each class.

        Args:
            support: the pictures of each class, two classes or more.
            queries: N pictures.

        Returns:
            For each query all classes, the likeliest first, as ``hpo classify`` has them: a
            `Guess` has the ``name``, the ``score`` (the mean logit over the pictures of the
            class) and the ``probability`` (softmax of the scores, which ranks and is not
            calibrated).

        Raises:
            DataError: as `embed` does, or there are fewer than two classes.
        """
        if len(support) < FEWEST:
            raise DataError(f"a choice needs {FEWEST} classes or more: add to the support set")
        shown = {name: self._read(images, f" of {name}") for name, images in support.items()}
        asked = self._read(queries, " of the queries")
        return rank(self.checkpoint, shown, asked, self.device)

    def _read(self, images: Iterable[Picture], of: str = "") -> Tensor:
        return read_pictures(images, self.checkpoint.configuration.network, of)

    def _embedded(self, images: Iterable[Picture], of: str = "") -> Tensor:
        return embed(self.checkpoint, self._read(images, of), self.device)

    @staticmethod
    def _numpy(values: Tensor) -> NDArray[np.float32]:
        found: NDArray[np.float32] = values.cpu().numpy()
        return found


@in_a_sentence
def load_checkpoint(
    path: str | os.PathLike[str] | None = None, device: str = "auto"
) -> TrainedNetwork:
    """A network that `train` or ``hpo train`` wrote; nothing in the file is ever executed.

    Args:
        path: of the file; left out, the network that comes with the program, which was trained on
            Omniglot.
        device: ``cpu``, ``cuda`` or ``cuda:1``; ``auto`` takes a GPU if there is one.

    Raises:
        CheckpointError: no such file, not a checkpoint, or one that is cut short.
        UserError: there is no such device.
    """
    where = find_device(device)
    file = shipped_network() if path is None else Path(path)
    return TrainedNetwork(read_checkpoint(file, where), where)


@in_a_sentence
def train(
    configuration: Configuration,
    path: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    device: str = "auto",
    on_epoch: Callable[[History], None] | None = None,
) -> TrainedNetwork:
    """Train a configuration in full, as ``hpo train`` does, and write its checkpoint.

    Ctrl-C stops it after the running step, and the same call then goes on from there: until it is
    finished, it is in ``path`` with ``.unfinished`` after its name. The memory that is freed
    stays with this process, which makes training faster.

    Args:
        configuration: from `best_configuration`.
        path: of the checkpoint, which is overwritten.
        data: the folder of the data; left out, the configuration's, ``HPO_DATA``, or
            ``~/.cache/hpo``.
        device: ``cpu``, ``cuda`` or ``cuda:1``; ``auto`` takes a GPU if there is one.
        on_epoch: called after each epoch with all that are done; ``history.epochs[-1].error``, in
            [0, 1], is that of the last.

    Raises:
        CheckpointError: the file cannot be written.
        DataError: the data is absent, broken or too small.
        Diverged: the loss was not finite in the first epoch; later on, the best epoch is kept.
        KeyboardInterrupt: Ctrl-C or SIGTERM stopped it.
        UserError: there is no such device, or no such folder.
    """
    where, target = find_device(device), Path(path)
    with writing(target, "give another place", CheckpointError):
        check_writable(target)
    keep_freed()
    inputs = inputs_of(configuration, Path(data) if data is not None else None, where)
    try:
        return TrainedNetwork(train_in_full(configuration, inputs, target, on_epoch), where)
    except Interrupted as error:
        raise KeyboardInterrupt(f"stopped by {error}; the same call goes on from here") from error
