import os
from pathlib import Path

import psutil
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from data.chance import seeded
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from model.history import Epoch, History
from model.siamese import SiameseNetwork, shapes_of
from tests.model.tiny import tiny_configuration

CPU = torch.device("cpu")


@pytest.fixture
def checkpoint() -> Checkpoint:
    configuration = tiny_configuration()
    network = SiameseNetwork(configuration.network, seeded(5))
    history = History([Epoch(0.5, 1.0, 10, 1.0, 0.1), Epoch(0.25, 0.5, 10, 1.0, 0.1)])
    return Checkpoint(network, configuration, history, "strokes-1-0")


def test_it_describes_itself(checkpoint: Checkpoint, tmp_path: Path, device: torch.device) -> None:
    path = tmp_path / "new" / "c.safetensors"
    save_checkpoint(path, checkpoint)
    assert [p.name for p in path.parent.iterdir()] == ["c.safetensors"]
    loaded = load_checkpoint(path, device)
    assert loaded.configuration == checkpoint.configuration
    assert loaded.history == checkpoint.history
    assert loaded.data_fingerprint == "strokes-1-0"
    images = torch.rand(3, 1, 20, 20)
    torch.testing.assert_close(
        loaded.network.encode(images.to(device)).cpu(),
        checkpoint.network.encode(images),
        atol=1e-3,
        rtol=1e-3,
    )


def test_what_is_no_checkpoint_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path, CPU)
    path.write_text("seed = 1")
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(path, CPU)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of this version"):
        load_checkpoint(path, CPU)
    save_checkpoint(path, checkpoint)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(path, CPU)


@pytest.mark.parametrize(
    ("part", "content"),
    [
        *((part, None) for part in ("configuration", "history", "data_fingerprint")),
        *(("history", other) for other in ('[{"loss_of_another_version": 1}]', "3", "none")),
    ],
)
def test_a_part_that_is_missing_or_of_another_version_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, part: str, content: str | None
) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint)
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), part: content}
    kept = {name: text for name, text in metadata.items() if text is not None}
    save_file(checkpoint.network.state_dict(), path, kept)
    with pytest.raises(CheckpointError, match="does not fit itself .*: give a file"):
        load_checkpoint(path, CPU)


def test_weights_of_another_network_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    other = checkpoint.configuration.network.model_copy(update={"fc_units": 48})
    wrong = Checkpoint(
        SiameseNetwork(other, seeded(0)),
        checkpoint.configuration,
        checkpoint.history,
        checkpoint.data_fingerprint,
    )
    save_checkpoint(tmp_path / "c", wrong)
    with pytest.raises(CheckpointError, match="does not fit itself"):
        load_checkpoint(tmp_path / "c", CPU)


def test_a_place_that_cannot_be_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written .* another place"):
        save_checkpoint(tmp_path / "file" / "c", checkpoint)


def test_a_small_file_never_makes_a_large_network(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    wide = metadata["configuration"].replace("fc_units = 32", "fc_units = 4000000")
    assert wide != metadata["configuration"]
    save_file(weights, path, {**metadata, "configuration": wide})
    before = psutil.Process().memory_info().rss
    with pytest.raises(CheckpointError, match="its weights are not those of its configuration"):
        load_checkpoint(path, CPU)
    assert psutil.Process().memory_info().rss - before < 2**28  # its first layer alone is 16 GB


def test_shapes_are_known_without_a_network() -> None:
    for normalisation in ("none", "batch"):
        described = tiny_configuration().network.model_copy(update={"normalisation": normalisation})
        built = SiameseNetwork(described, seeded(0)).state_dict()
        assert shapes_of(described) == {k: tuple(v.shape) for k, v in built.items()}


def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="cannot be read .*a pipe or a device"):
        load_checkpoint(tmp_path / "pipe", CPU)
