"""A trained network in one file that describes itself."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from data.errors import UserError, first_line
from data.files import check_file, write_whole, writing
from model.configuration import Configuration, ConfigurationError
from model.history import Epoch, History
from model.siamese import SiameseNetwork, shapes_of
from model.training import build

FORMAT = "hpo-checkpoint-1"


class CheckpointError(UserError):
    """A file that is no checkpoint, or cannot be written. One sentence that says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights, the configuration that they were trained with, and every epoch's figures."""

    network: SiameseNetwork
    configuration: Configuration
    history: History
    data_fingerprint: str


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in one move.

    Raises:
        CheckpointError: the file cannot be written.
    """
    metadata = {
        "format": FORMAT,
        "configuration": checkpoint.configuration.to_toml(),
        "history": json.dumps([dataclasses.asdict(e) for e in checkpoint.history.epochs]),
        "data_fingerprint": checkpoint.data_fingerprint,
    }
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in checkpoint.network.state_dict().items()
    }
    with writing(path, "see to the disk, or name another place", CheckpointError):
        write_whole(path, save(weights, metadata))


def load_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """Read a checkpoint; nothing in it is ever executed.

    Raises:
        CheckpointError: no such file, not a checkpoint, or one that is cut short.
    """
    advice = "give a file that `hpo train` wrote"
    try:
        check_file(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}): {advice}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a checkpoint ({error}): {advice}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of this version: {advice}")
    try:
        configuration = Configuration.from_toml(metadata["configuration"], str(path))
        if {k: tuple(v.shape) for k, v in weights.items()} != shapes_of(configuration.network):
            raise ValueError("its weights are not those of its configuration")
        network = build(configuration.network, configuration.seed, device)
        network.load_state_dict(weights)
        epochs = [Epoch(**epoch) for epoch in json.loads(metadata["history"])]
        fingerprint = metadata["data_fingerprint"]
    except (ConfigurationError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit itself ({first_line(error)}): {advice}"
        ) from error
    return Checkpoint(network, configuration, History(epochs), fingerprint)
