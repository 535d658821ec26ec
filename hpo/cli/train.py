"""The command that trains one network: train; one that is stopped goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from data.files import check_writable
from data.split import Split
from hpo.cli.options import Data, Device, find_device, say
from hpo.search.stopping import Brake, Interrupted
from hpo.study.paths import data_folder
from hpo.view.format import percent
from model.checkpoint import Checkpoint, CheckpointError, save_checkpoint
from model.configuration import Configuration, ConfigurationError
from model.inputs import open_split, validation_tasks
from model.snapshot import Snapshot
from model.training import Diverged, Trainer, train


def train_configuration(
    configuration: Annotated[Path, typer.Argument(metavar="CONFIG", help="From hpo export.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: CONFIG as .safetensors]")
    ] = None,
    as_trial: Annotated[
        bool, typer.Option(help="With the trial's own seed and budget, to get its error again.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Instead of the configuration's.")] = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Train a configuration in full, and write a checkpoint; the same line resumes it.

    Example: hpo train best.toml -o best.safetensors
    """
    config, where = Configuration.read(configuration), find_device(device)
    target = output or configuration.with_suffix(".safetensors")
    check_target(target, "give another place with -o")
    changes: dict[str, Any] = {}
    if as_trial:
        if config.provenance is None:
            raise ConfigurationError(
                f"{configuration} names no trial: leave --as-trial out, or export it anew"
            )
        changes = {"training": config.provenance.training, "seed": config.provenance.seed}
    if seed is not None:
        changes["seed"] = seed
    config = config.model_copy(update=changes)
    cut, fingerprint = open_split(config.data, config.network.image_size, data_folder(data), say)
    if config.provenance and config.provenance.data_fingerprint != fingerprint:
        say(f"the data is not the trial's: {config.provenance.data_fingerprint} → {fingerprint}")
    history = train_in_full(config, cut, fingerprint, target, where).history
    print(
        f"{target}: one-shot validation error {percent(history.best_error)} in epoch "
        f"{history.best_epoch} of {len(history.epochs)}"
    )


def check_target(target: Path, otherwise: str) -> None:
    """Find out, before the training, whether its checkpoint can be written.

    Args:
        target: the file.
        otherwise: what to do if it cannot, for the message.

    Raises:
        CheckpointError: it cannot.
    """
    try:
        check_writable(target)
    except OSError as error:
        raise CheckpointError(
            f"{target} cannot be written ({error.strerror}): {otherwise}"
        ) from error


def train_in_full(
    config: Configuration, cut: Split, fingerprint: str, target: Path, device: torch.device
) -> Checkpoint:
    """Train a configuration, or go on with a training that was stopped, and write its checkpoint.

    What is not finished stands in ``target`` with ``.unfinished`` after its name.

    Args:
        config: what to train.
        cut: its data, at the size of its images.
        fingerprint: of the data.
        target: the file of the checkpoint.
        device: where to train.

    Raises:
        CheckpointError: a file cannot be written.
        Diverged: in the first epoch; later on, the best epoch before is kept.
        typer.Exit: the training was stopped; the status is 130.
    """
    tasks = validation_tasks(config.data, cut, device)
    trainer = Trainer(config, cut.train.to(device), tasks, device)
    snapshot, brake = Snapshot(target.with_name(f"{target.name}.unfinished")), Brake(None)
    history = trainer.history
    if snapshot.resume(trainer):
        say(f"going on after {len(history.epochs)} epochs that were trained before")

    def on_epoch(number: int, error: float) -> None:
        snapshot.save_if_cheap(trainer)
        epoch = history.epochs[-1]
        say(
            f"epoch {number}: error {percent(error)}, best {percent(history.best_error)}, "
            f"loss {epoch.loss:.4f}, {epoch.pairs / epoch.train_seconds:,.0f} pairs/s"
        )

    try:
        with brake.on_signals():
            try:
                train(trainer, on_epoch, brake.check)
            except Interrupted:
                snapshot.save(trainer)
                raise
    except OSError as error:
        raise CheckpointError(
            f"{snapshot.path} cannot be written ({error.strerror}): see to the disk, then type the "
            "same line"
        ) from error
    except Interrupted as error:
        say(f"stopped by {error}; the same line goes on from here")
        raise typer.Exit(130) from error
    except Diverged as error:
        if not history.epochs:
            raise
        say(f"{error}; the best epoch before is kept")
    checkpoint = Checkpoint(trainer.network, config, history, fingerprint)
    save_checkpoint(target, checkpoint)
    snapshot.remove()
    return checkpoint
