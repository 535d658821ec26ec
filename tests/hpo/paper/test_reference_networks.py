from pathlib import Path

import pytest
import torch

from data.chance import seeded
from hpo.paper.published import OMNIGLOT
from hpo.paper.reference_networks import NETWORKS, configuration_of, network_key
from model.configuration import Configuration
from model.fast.encoder import encoder
from model.siamese import bias_of
from model.training import build
from tests.model.tiny import exported, tiny_configuration

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without configurations of its own, the shipped ones are found."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_shipped_configurations_can_be_built(name: str) -> None:
    configuration = configuration_of(name)
    assert configuration.data.set == "omniglot"
    assert configuration.training.patience >= configuration.training.epochs
    size = configuration.network.image_size
    network = build(configuration.network, configuration.seed, CPU).eval()
    embedded = network.encode(torch.rand(2, 1, size, size))
    assert embedded.shape == (2, configuration.network.fc_units)
    assert Configuration.from_toml(configuration.to_toml(), name) == configuration
    assert name in OMNIGLOT


def test_the_dense_network_is_matrix_products_of_the_flattened_images() -> None:
    configuration = configuration_of("siamese-dense")
    network = build(configuration.network, 0, CPU)
    side = configuration.network.image_size
    images = torch.rand(16, 1, side, side, generator=seeded(1))
    with torch.no_grad():
        network.encode(images)  # so that the normalisation has seen something
        network.eval()
        first, fc, norm = network.layer("conv1"), network.layer("fc"), network.norms["conv1"]
        assert first.weight.numel() == len(first.weight) * side**2  # a weight for every pixel
        units = torch.relu(norm(images.flatten(1) @ first.weight.flatten(1).T))
        expected = torch.sigmoid(units @ fc.weight.T + bias_of(fc))
        assert torch.allclose(network.encode(images), expected, atol=1e-5)
        assert torch.allclose(encoder(network, "fp32")(images), expected, atol=1e-5)


def test_a_configuration_of_ones_own_comes_before_the_shipped_one(tmp_path: Path) -> None:
    folder = tmp_path / "studies/configurations"
    folder.mkdir(parents=True)
    (folder / "siamese-conv.toml").write_text(tiny_configuration().to_toml())
    assert configuration_of("siamese-conv") == tiny_configuration()
    assert configuration_of("siamese-dense").data.set == "omniglot"


def test_the_key_is_of_all_that_the_training_depends_on() -> None:
    configuration = tiny_configuration()
    key = network_key("siamese-conv", configuration, "data-1")
    assert network_key("siamese-conv", exported(configuration), "data-1") == key
    assert network_key("siamese-conv", configuration, "data-2") != key
    assert network_key("siamese-conv", tiny_configuration(seed=2), "data-1") != key
    assert network_key("siamese-conv", tiny_configuration(epochs=3), "data-1") != key
