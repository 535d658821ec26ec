"""A configuration trained in full: one that is stopped goes on, and ends as a checkpoint."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from data.files import writing
from hpo.search.stopping import Stop
from hpo.study.paths import data_folder
from model.checkpoint import Checkpoint, CheckpointError, save_checkpoint
from model.configuration import Configuration
from model.fast.threads import Threads
from model.history import Diverged, History
from model.inputs import Inputs, open_inputs
from model.snapshot import Snapshot, train_resumably

logger = logging.getLogger(__name__)


def inputs_of(
    config: Configuration, data: Path | None, device: torch.device, threads: Threads | None = None
) -> Inputs:
    """The data that a configuration names; if it is not the trial's, that is logged.

    Args:
        config: what to train.
        data: the folder of the data, if one was named.
        device: where to train.
        threads: of the CPU; left out, PyTorch's number, and fewer beside busy processes.

    Raises:
        SettingsError: the folder does not exist.
        DataError: the data is absent, broken or too small.
    """
    size = config.network.image_size, config.network.channels
    folder = data_folder(data, config.data)
    inputs = open_inputs(config.data, *size, folder, device, threads)
    if config.provenance and config.provenance.data_fingerprint != inputs.fingerprint:
        changed = f"{config.provenance.data_fingerprint} → {inputs.fingerprint}"
        logger.warning("the data is not the trial's: %s", changed)
    return inputs


def train_in_full(
    config: Configuration,
    inputs: Inputs,
    target: Path,
    on_epoch: Callable[[History], None] | None = None,
    stop: Stop | None = None,
) -> Checkpoint:
    """Train a configuration, or go on with a training that was stopped, and write its checkpoint.

    What is not finished is in ``target`` with ``.unfinished`` after its name.

    Args:
        config: what to train.
        inputs: its data.
        target: the file of the checkpoint.
        on_epoch: called after each epoch with all that are done.
        stop: of this training and others; left out, its own.

    Raises:
        CheckpointError: a file cannot be written.
        Diverged: in the first epoch; later on, the best epoch before is kept.
        Interrupted: a signal stopped it; it goes on from there the next time.
    """
    trainer, stop = inputs.trainer(config), stop or Stop(None)
    snapshot = Snapshot(target.with_name(f"{target.name}.unfinished"))
    history = trainer.history

    def on_resume() -> None:
        logger.info("going on after %d epochs that were trained before", len(history.epochs))

    def epoch_done(_number: int, _error: float) -> None:
        if on_epoch:
            on_epoch(history)

    try:
        advice = "see to the disk, then type the same line"
        with writing(snapshot.path, advice, CheckpointError), stop.on_signals():
            train_resumably(trainer, snapshot, stop.check, epoch_done, on_resume)
    except Diverged as error:
        if not history.epochs:
            raise
        logger.warning("%s; the best epoch before is kept", error)
    checkpoint = Checkpoint(trainer.network, config, history, inputs.fingerprint)
    save_checkpoint(target, checkpoint)
    snapshot.remove()
    return checkpoint
