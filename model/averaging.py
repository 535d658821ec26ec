"""A running average of a network's weights, which answers better than the last ones do."""

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from model.recipe import Training
from model.siamese import SiameseNetwork

Tensors = tuple[Tensor, ...] | list[Tensor]


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
