from functools import partial

import pytest
import torch

from data.chance import seeded
from model.architecture import Architecture
from model.fast.encoder import encoder
from model.fast.micro_batches import backward
from model.loss import batch_loss
from model.siamese import SiameseNetwork
from tests.model.tiny import architecture


@pytest.mark.parametrize("block", [1, 5, 8, 15])
@pytest.mark.parametrize("kind", ["pairs", "softmax", "binary"])
def test_parts_give_the_gradient_of_the_whole(kind: str, block: int, device: torch.device) -> None:
    described = architecture(((3, 16), (3, 16)), size=20, fc=48)
    network = SiameseNetwork(described.model_copy(update={"initial_weights": "he"}), seeded(0)).to(
        device
    )
    images = torch.rand(16, 1, 20, 20, generator=seeded(1)).to(device)
    same = (torch.arange(8) % 2).float().to(device) if kind == "pairs" else None
    loss_of = partial(batch_loss, network, same=same, softmax=kind == "softmax")
    encode = encoder(network, "fp32")

    whole = backward(encode, images, loss_of, block=16)
    expected = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    parts = backward(encode, images, loss_of, block)
    found = [p.grad for p in network.parameters() if p.grad is not None]
    assert len(found) == len(expected) == len(list(network.parameters()))
    torch.testing.assert_close(parts, whole)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_the_first_of_two_passes_adds_nothing_to_the_statistics(device: torch.device) -> None:
    plain = architecture(((3, 16), (3, 16)), size=20, fc=48)
    described = Architecture.model_validate({**plain.model_dump(), "normalisation": "batch"})
    images = torch.rand(16, 1, 20, 20, generator=seeded(1)).to(device)

    def trained(block: int) -> SiameseNetwork:
        network = SiameseNetwork(described, seeded(0)).to(device)
        loss_of = partial(batch_loss, network, same=None, softmax=True)
        norms = network.norms.values()
        backward(encoder(network, "fp32"), images, loss_of, block, norms)
        assert all(norm.track_running_stats for norm in norms)
        return network

    for block, updates in ((16, 1), (8, 2), (5, 4)):
        kept = trained(block).state_dict()
        assert [int(kept[f"norms.conv{n}.num_batches_tracked"]) for n in (1, 2)] == [updates] * 2
