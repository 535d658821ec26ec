"""Maps less what blank paper gives: what is left is small, so bf16 keeps it.

Blank paper gives every map of a valid convolution one number throughout. With the paper's initial
weights that number is near 0.5 and what ink adds to it is a hundred times smaller, less than the
step between two bf16 numbers there. So the numbers are carried in fp32, one a channel, and only
what ink adds goes through the convolutions. The function is the plain one, and so is its gradient:
what both twins have in common cancels out in it, in fp32.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from model.initial_weights import Layer
from model.siamese import bias_of

passes = torch.ops.aten.threshold_backward  # the gradient where a number is above 0


def response(layer: Layer, before: Tensor | None) -> Tensor | None:
    """What a convolution makes of blank paper, ahead of its ReLU.

    Args:
        layer: the convolution.
        before: (C,) float32, likewise of the layer before; None: it is the first.

    Returns:
        (K,) float32; None for a layer without biases, whose maps are normalised.
    """
    bias: Tensor | None = layer.bias
    if bias is None or before is None:
        return bias
    return bias + layer.weight.flatten(2).sum(2) @ before.relu()


def ink_after_relu(maps: Tensor, blank: Tensor) -> Tensor:
    """max(m, -b) + min(b, 0), which is relu(m + b) - relu(b), in the place of m.

    Args:
        maps: (…, C) m, what ink adds ahead of the ReLU.
        blank: (C,) b, float32, from `response`.
    """
    floor = (-blank).to(maps.dtype)
    return torch.maximum(maps, floor, out=maps).sub_(floor.clamp(min=0))


def ahead_of_relu(gradient: Tensor, ink: Tensor, blank: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of m, a tensor of its own, and of b.

    Args:
        gradient: (…, C) of ``ink``.
        ink: from `ink_after_relu`.
        blank: likewise.
    """
    floor = (-blank).to(ink.dtype).clamp(max=0)
    of_maps = passes(gradient, ink - floor, 0)
    through, whole = (g.flatten(0, -2).sum(0, dtype=torch.float32) for g in (of_maps, gradient))
    return of_maps, torch.where(blank > 0, through - whole, through)


class _Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, blank: Tensor) -> Tensor:
        ink = ink_after_relu(maps.clone(memory_format=torch.contiguous_format), blank)
        ctx.save_for_backward(ink, blank)
        return ink

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return ahead_of_relu(gradients[0], *ctx.saved_tensors)


def relu(maps: Tensor, blank: Tensor) -> Tensor:
    """`ink_after_relu` in a tensor of its own, with a gradient."""
    ink: Tensor = _Relu.apply(maps, blank)
    return ink


def units(layer: Layer, features: Tensor, before: Tensor | None) -> Tensor:
    """What the fully connected layer makes of blank paper and ink, ahead of its activation.

    Args:
        layer: fully connected.
        features: (N, C·S·S), what ink adds, channel by channel.
        before: (C,) float32, from `response` of the last convolution; None: the features are
            of the whole.

    Returns:
        (N, F) float32.
    """
    weight = layer.weight.to(features.dtype)
    if before is None:
        return functional.linear(features, weight).float() + bias_of(layer)
    blank = before.relu().to(features.dtype)
    blank = blank.repeat_interleave(features.shape[1] // len(blank))
    both = functional.linear(torch.cat([features, blank.unsqueeze(0)]), weight).float()
    return both[:-1] + both[-1] + bias_of(layer)
