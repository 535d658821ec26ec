"""How the weights move: by an optimizer with rates of its own for every layer, and on average."""

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from model.recipe import LayerRates, Training
from model.siamese import SiameseNetwork

SECOND_MOMENT = 0.999
"""β₂ of AdamW."""
Tensors = tuple[Tensor, ...] | list[Tensor]


def layerwise_optimizer(
    network: SiameseNetwork, rates: Mapping[str, LayerRates], training: Training
) -> torch.optim.Optimizer:
    """The optimizer of a recipe, set for the first epoch by `set_epoch`.

    ``sgd`` is PyTorch's: v ← μ·v + ∇L + 2λ·w, then w ← w − η·v; 2λ·w is the gradient of the penalty
    λ·w². The paper (Koch et al. 2015, §3.2) prints Δw ← −η·∇L + μ·Δw, then w ← w + Δw + 2λ·|w|.
    All that differs: the paper's penalty is not multiplied by η and has no momentum, so that a λ
    of ours is worth about λ·η/(1 − μ) of the paper's; its sign and its |w| would let
    weights grow, and are taken for a misprint; η is within the paper's velocity and outside ours,
    which is the same as long as η stays, and it changes between epochs only; the penalty
    holds the weights and not the biases, which the paper does not say.

    ``adamw`` (Loshchilov and Hutter 2019) takes μ as its β₁, and λ as its decoupled weight decay:
    w ← w − η·λ·w at every step.

    Args:
        network: already on its device.
        rates: one for each of the network's layers, by name.
        training: the recipe.
    """
    adam, groups = training.optimizer == "adamw", []
    for name in network.architecture.layers:
        layer = network.layer(name)
        norm = network.norms[name].parameters() if name in network.norms else ()
        penalty = rates[name].l2 * (1 if adam else 2)
        groups.append({"params": [layer.weight], "weight_decay": penalty, "layer": name})
        free = [p for p in chain([layer.bias], norm) if p is not None]
        groups.append({"params": free, "weight_decay": 0.0, "layer": name})
    return (torch.optim.AdamW if adam else torch.optim.SGD)(groups, fused=True)


def set_epoch(
    optimizer: torch.optim.Optimizer,
    rates: Mapping[str, LayerRates],
    training: Training,
    epoch: int,
) -> None:
    """Give every layer the rate and momentum that the schedule has for this epoch (from 0)."""
    for group in optimizer.param_groups:
        layer = rates[group["layer"]]
        lr = layer.lr * training.lr_factor(epoch)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
        momentum = layer.momentum_at(epoch, training.momentum_ramp)
        if training.optimizer == "adamw":
            group["betas"] = (momentum, SECOND_MOMENT)
        else:
            group["momentum"] = momentum


def averaged(network: SiameseNetwork, training: Training) -> AveragedModel | None:
    """An average to be updated after each step; None where the recipe has none.

    It is the plain mean of the first steps, up to the number N that makes the share
    ``averaging`` of the training, and the exponential one with weight 1/N from then on (Polyak and
    Juditsky 1992). What batch normalisation keeps is averaged likewise.
    """
    steps = training.averaging * training.epochs * training.sampling.epoch_steps
    if steps <= 1:
        return None

    def update(average: Tensors, newest: Tensors, _seen: Tensor | int) -> None:
        if not average[0].is_floating_point():  # how many batches were normalised
            torch._foreach_copy_(average, newest)
            return
        share = 1 / min(steps, 1 + int(model.n_averaged))  # on the CPU: no wait for a GPU
        torch._foreach_lerp_(average, newest, share)

    model = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    return model
