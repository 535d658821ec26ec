"""SGD with a learning rate, momentum and L2 penalty of its own for every layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from model.recipe import LayerRates, Training
from model.siamese import SiameseNetwork


def layerwise_sgd(network: SiameseNetwork, rates: Mapping[str, LayerRates]) -> torch.optim.SGD:
    """The paper's optimizer (Koch et al. 2015, §3.2), set for the first epoch.

    A step is v ← μ·v + ∇L + 2λ·w, then w ← w − η·v; 2λ·w is the gradient of the penalty λ·w².
    As is usual, and as the penalty's name says, it holds the weights and not the biases.
    Unlike the paper's, the rate η stands outside the velocity v: the same within an
    epoch, and η changes by a hundredth between two.

    Args:
        network: already on its device.
        rates: one for each of the network's layers, by name.
    """
    groups = []
    for name in network.architecture.layers:
        layer = network.layer(name)
        penalty = 2 * rates[name].l2
        groups.append({"params": [layer.weight], "weight_decay": penalty, "layer": name})
        groups.append({"params": [layer.bias], "weight_decay": 0.0, "layer": name})
    return torch.optim.SGD(groups, lr=0.0, momentum=0.5, fused=True)


def set_epoch(
    optimizer: torch.optim.SGD, rates: Mapping[str, LayerRates], training: Training, epoch: int
) -> None:
    """Give every layer the rate and momentum that the schedule has for this epoch (from 0)."""
    for group in optimizer.param_groups:
        layer = rates[group["layer"]]
        group["lr"] = layer.lr_at(epoch, training.lr_decay)
        group["momentum"] = layer.momentum_at(epoch, training.momentum_ramp)
