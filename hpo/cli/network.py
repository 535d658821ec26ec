"""The command that trains one network: train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hpo.cli.full_training import check_target, train_in_full
from hpo.cli.options import Data, Device, find_device, say
from hpo.inputs import open_split
from hpo.places import data_folder
from hpo.wording import percent
from model.config import Configuration, ConfigurationError


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
