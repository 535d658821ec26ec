from __future__ import annotations

import pytest
import torch

from data.pairs import seeded
from model.optimizer import layerwise_sgd, set_epoch
from model.recipe import AllPairs, LayerRates, Training
from model.siamese import SiameseNetwork
from tests.model.test_architecture import architecture

RATES = {
    "conv1": LayerRates(lr=0.1, momentum=0.9, l2=0.01),
    "fc": LayerRates(lr=0.02, momentum=0.0, l2=0.0),
    "out": LayerRates(lr=0.003, momentum=0.7, l2=0.1),
}
TRAINING = Training(sampling=AllPairs(), momentum_ramp=4, lr_decay=0.99)


def test_two_steps_by_hand() -> None:
    """v ← μ·v + ∇L + 2λ·w; w ← w − η·v, each layer with its own η, μ, λ; biases without λ."""
    network = SiameseNetwork(architecture(((3, 16),), size=8, fc=16), seeded(0))
    optimizer = layerwise_sgd(network, RATES)
    expected = {
        name: (parameter.detach().clone(), torch.zeros_like(parameter))
        for name, parameter in network.named_parameters()
    }
    for epoch in (2, 3):
        set_epoch(optimizer, RATES, TRAINING, epoch)
        chance = seeded(epoch)
        for name, parameter in network.named_parameters():
            gradient = torch.randn(parameter.shape, generator=chance)
            parameter.grad = gradient.clone()
            rates = RATES[name.split(".")[1]]
            lr = rates.lr * 0.99**epoch
            momentum = 0.5 + (rates.momentum - 0.5) * epoch / 4
            penalty = 2 * rates.l2 if name.endswith("weight") else 0.0
            weight, velocity = expected[name]
            velocity = momentum * velocity + gradient + penalty * weight
            expected[name] = weight - lr * velocity, velocity
        optimizer.step()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name][0], msg=name)


@pytest.mark.parametrize(("epoch", "momentum"), [(0, 0.5), (2, 0.7), (4, 0.9), (100, 0.9)])
def test_momentum_rises_linearly_to_its_own_value(epoch: int, momentum: float) -> None:
    assert RATES["conv1"].momentum_at(epoch, 4) == pytest.approx(momentum)


def test_momentum_may_fall_too_and_rates_fall_by_a_hundredth() -> None:
    assert RATES["fc"].momentum_at(2, 4) == pytest.approx(0.25)
    assert RATES["conv1"].lr_at(0, 0.99) == 0.1
    assert RATES["conv1"].lr_at(10, 0.99) == pytest.approx(0.1 * 0.99**10)


def test_every_weight_is_in_one_group_of_its_layer() -> None:
    network = SiameseNetwork(architecture(((3, 16),), size=8, fc=16), seeded(0))
    groups = layerwise_sgd(network, RATES).param_groups
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    assert [g["layer"] for g in groups] == ["conv1", "conv1", "fc", "fc", "out", "out"]
