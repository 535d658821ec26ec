import pytest
import torch
from torch import Tensor

from data.pairs import seeded
from model.fast.device import Precision
from model.fast.encoder import encoder
from model.fast.spectral import spectral_layers
from model.siamese import SiameseNetwork
from tests.model.tiny import architecture

SHAPES = {
    "one convolution": (((5, 16),), 12),
    "whole image": (((12, 16),), 12),
    "direct": (((3, 16), (3, 16)), 20),
    "cropped": (((5, 16), (3, 16), (3, 16)), 35),
    "spectral": (((5, 16), (8, 32), (3, 16)), 50),
    "spectral last": (((4, 16), (9, 64)), 40),
}


def gradients(network: SiameseNetwork, embedded: Tensor) -> list[Tensor]:
    upstream = torch.linspace(-1, 1, embedded.numel(), device=embedded.device)
    network.zero_grad()
    embedded.backward(upstream.view_as(embedded).to(embedded.dtype))
    return [p.grad for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_fast_encoder_computes_the_plain_one(
    shape: str, precision: Precision, normalisation: str, device: torch.device
) -> None:
    """Stated: fp32 within 1e-5 in the embedding and 1e-3 in the gradient; bf16, 2e-2 and 0.3
    (its rounding changes which corner of a window is the largest).
    """
    layers, size = SHAPES[shape]
    chosen = {"initial_weights": "he", "normalisation": normalisation}
    described = architecture(layers, size=size, fc=48).model_copy(update=chosen)
    network = SiameseNetwork(described, seeded(0)).to(device)
    images = torch.rand(9, 1, size, size, generator=seeded(1)).to(device)
    fast = encoder(network, precision)(images)
    found = [g.double() for g in gradients(network, fast)]
    plain = network.double().encode(images.double())
    exact = gradients(network, plain)
    close, steep = (1e-5, 1e-3) if precision == "fp32" else (2e-2, 0.3)
    assert float((fast - plain).detach().abs().max()) < close
    for one, other in zip(found, exact, strict=True):
        assert float((one - other).norm() / other.norm()) < steep


def test_the_shapes_here_take_every_path() -> None:
    chosen = {
        name: spectral_layers(architecture(layers, size=size, fc=48))
        for name, (layers, size) in SHAPES.items()
    }
    assert "conv2" in chosen["spectral"]
    assert "conv3" not in chosen["spectral"]
    assert chosen["spectral last"] == {"conv2"}
    assert not chosen["direct"]


def test_what_the_crop_leaves_out_changes_nothing() -> None:
    described = architecture(((5, 16), (3, 16), (3, 16)), size=35, fc=48)
    network = SiameseNetwork(described, seeded(0))
    assert described.needed_sides == [32, 14, 6, 4]
    images = torch.rand(3, 1, 35, 35)
    scribbled = images.clone()
    scribbled[..., 32:, :] = 0.5
    scribbled[..., 32:] = 0.5
    assert torch.equal(network.encode(images), network.encode(scribbled))
    scribbled[..., 31, 31] = 0.5
    assert not torch.equal(network.encode(images), network.encode(scribbled))
