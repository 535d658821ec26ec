"""Trials as TensorBoard shows them: their curves, their hyper-parameters, their pictures."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from data.errors import UserError
from data.files import check_writable, writing
from hpo.study.space import Params
from model.history import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def check_tensorboard(folder: Path) -> None:
    """Find out, before long work, whether runs can be written in a folder.

    Raises:
        UserError: TensorBoard is not installed, or the folder cannot be written.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401 - takes a second, so only who asks for it waits
    except ImportError as error:
        raise UserError(
            "--tensorboard needs TensorBoard: install it with pip install "
            "'hpo-siamese[tensorboard]'"
        ) from error
    with writing(folder, "give another folder with --tensorboard"):
        check_writable(folder / "run")


class TrialRun:
    """The run of one trial; its steps are epochs, counted from 1.

    A retry goes on in the run of the first try. It hides what that wrote and writes all epochs
    again: what a killed process left may have ended before the snapshot, or after it.
    """

    def __init__(self, folder: Path | None, first_try: int, params: Params) -> None:
        """Begin the run.

        Args:
            folder: of the study's runs, made if it is absent; with None nothing is written.
            first_try: number of the trial's first try.
            params: of the trial.

        Raises:
            OSError: the folder cannot be written; each method may raise it too.
        """
        self._writer: SummaryWriter | None = None
        self._best = math.inf
        if folder is None:
            return
        from torch.utils import tensorboard
        from torch.utils.tensorboard.summary import hparams

        run = str(folder / f"trial-{first_try:04d}")
        self._writer = tensorboard.SummaryWriter(run, purge_step=0)
        # `add_hparams` would wait for the end, and make a run of its own beside this one.
        experiment, session, _ = hparams(params, {"best_error": None})
        for summary in (experiment, session):
            self._writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]

    def add_epoch(self, epoch: int, done: Epoch) -> None:
        """Add what an epoch gave.

        Args:
            epoch: from 0.
            done: what it gave.
        """
        self._best = min(self._best, done.error)
        self._add(
            epoch,
            validation_error=done.error,
            best_error=self._best,
            training_loss=done.loss,
        )

    def add_mark(self, epoch: int, error: float) -> None:
        """Add the error that marks a network that cannot train, the best one as in the study.

        Args:
            epoch: in which it was found out, from 0.
            error: the mark.
        """
        self._add(epoch, validation_error=error, best_error=error)

    def add_pictures(self, epochs: int, pictures: Mapping[str, Image.Image]) -> None:
        """Add pictures of what the network learnt.

        Args:
            epochs: how many it has trained.
            pictures: by the name that a person reads.
        """
        if self._writer is None:
            return
        for name, picture in pictures.items():
            pixels = np.asarray(picture.convert("RGB"))
            self._writer.add_image(name.replace(" ", "_"), pixels, epochs, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()

    def _add(self, epoch: int, **scalars: float) -> None:
        if self._writer is None:
            return
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, epoch + 1)
        self._writer.flush()  # a process that is killed loses no epoch, and a person sees each
