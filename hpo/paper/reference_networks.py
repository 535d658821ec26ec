"""The siamese networks of the published table: what they are here, and where they are kept."""

import hashlib
from pathlib import Path

import torch

from hpo.study.paths import find_configuration, networks_folder
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from model.configuration import Configuration

NETWORKS = ("siamese-dense", "siamese-conv")
"""By name, in the order in which they are trained. The first has no convolutions."""


def configuration_of(name: str) -> Configuration:
    """The configuration of one of `NETWORKS`.

    Raises:
        ConfigurationError: there is none, or it is broken.
    """
    return Configuration.read(find_configuration(name))


def network_key(name: str, configuration: Configuration, fingerprint: str) -> str:
    """What tells a trained network from one of another configuration or other data.

    Args:
        name: one of `NETWORKS`.
        configuration: of the network; where it comes from does not matter.
        fingerprint: of the data.
    """
    digest = hashlib.sha256(f"{configuration.recipe_key}\0{fingerprint}".encode())
    return f"{name}-{digest.hexdigest()[:12]}"


def checkpoint_file(key: str) -> Path:
    """Where the network of this key is kept."""
    return networks_folder() / f"{key}.safetensors"


def kept_network(key: str, device: torch.device) -> Checkpoint | None:
    """The network of this key, or None where its file is absent, broken or of another version."""
    try:
        return load_checkpoint(checkpoint_file(key), device)
    except CheckpointError:
        return None
