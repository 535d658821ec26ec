"""2×2 max-pooling and ReLU on a CPU, in few passes over memory, and the first layer with them.

A convolution of a single channel is one matrix product with the patches of the image; made for
each corner of the pooling window in turn, its map is never stored. The larger of two values is
remembered as their difference, whose sign lets the gradient through as that of a ReLU does.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from model.fast.blank_paper import ahead_of_relu, ink_after_relu

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column inside the pooling window."""
BLOCK = 128
"""Images of the first layer at a time; all at once would hold the patches of all."""

_passes = torch.ops.aten.threshold_backward  # the gradient where a number is above 0


def _largest(corners: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The largest of four, and what `_route` needs."""
    one, two, three, four = corners
    upper, lower = torch.maximum(one, two), torch.maximum(three, four)
    return torch.maximum(upper, lower), [lower - upper, two - one, four - three]


def _route(upstream: Tensor, signs: list[Tensor], corners: list[Tensor]) -> None:
    """Write the gradients of the four corners; of equal corners the first gets it all.

    Args:
        upstream: the gradient of the largest; overwritten.
        signs: from `_largest`.
        corners: where the gradients go.
    """
    lower, right_of_upper, right_of_lower = signs
    one, two, three, four = corners
    below = _passes(upstream, lower, 0)
    above = upstream.sub_(below)
    for whole, right, left_part, right_part in (
        (above, right_of_upper, one, two),
        (below, right_of_lower, three, four),
    ):
        _passes(whole, right, 0, grad_input=right_part)
        torch.sub(whole, right_part, out=left_part)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, blank: Tensor | None, dim: int) -> Tensor:
        ctx.dim, ctx.shape = dim, maps.shape
        return _activated(ctx, *_largest(_corners(maps, dim)), blank)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        upstream, for_blank = _ahead_of_activation(ctx, gradients[0])
        signs = list(ctx.saved_tensors[:3])
        odd = any(side % 2 for side in ctx.shape[ctx.dim : ctx.dim + 2])
        gradient = (signs[0].new_zeros if odd else signs[0].new_empty)(ctx.shape)
        _route(upstream, signs, _corners(gradient, ctx.dim))
        return gradient, for_blank, None


def _activated(ctx: Any, best: Tensor, signs: list[Tensor], blank: Tensor | None) -> Tensor:
    """What was largest, through ReLU where there is one; keeps what the gradient needs."""
    if blank is None:
        ctx.save_for_backward(*signs)
        return best
    best = ink_after_relu(best, blank)
    ctx.save_for_backward(*signs, best, blank)
    return best


def _ahead_of_activation(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
    """The gradient of what was largest, a tensor of its own, and that of ``blank``."""
    ink_and_blank = ctx.saved_tensors[3:]
    if not ink_and_blank:
        return gradient.clone(), None
    return ahead_of_relu(gradient, *ink_and_blank)


def _corners(maps: Tensor, dim: int) -> list[Tensor]:
    """Views of the four corners of all whole windows."""
    high, wide = (side // 2 * 2 for side in maps.shape[dim : dim + 2])
    before = (slice(None),) * dim
    return [maps[(*before, slice(i, high, 2), slice(j, wide, 2))] for i, j in CORNERS]


def pool(maps: Tensor, blank: Tensor | None, dim: int) -> Tensor:
    """2×2 max-pooling, then ReLU with what blank paper gives taken off, as in `blank_paper`.

    Args:
        maps: rows and columns at ``dim`` and ``dim + 1``, channels last.
        blank: (C,) float32, from `blank_paper.response`; None: no ReLU.
        dim: of the rows.

    Returns:
        The same axes, with half the rows and columns; an odd last one is left out.
    """
    pooled: Tensor = _Pool.apply(maps, blank, dim)
    return pooled


class _FirstLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pixels: Tensor, weight: Tensor, blank: Tensor | None) -> Tensor:
        kernel = weight.shape[2]
        side = (pixels.shape[0] - kernel + 1) // 2
        weights = weight.flatten(1).T
        products = [_patches(pixels, kernel, side, corner).T @ weights for corner in CORNERS]
        best = _activated(ctx, *_largest(products), blank)
        ctx.pixels, ctx.kernel, ctx.side = pixels, kernel, side
        return best.view(side, side, pixels.shape[2], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor | None]:
        signs = list(ctx.saved_tensors[:3])
        upstream, for_blank = _ahead_of_activation(ctx, gradients[0].reshape(signs[0].shape))
        parts = [torch.empty_like(upstream) for _ in CORNERS]
        _route(upstream, signs, parts)
        products = (
            _patches(ctx.pixels, ctx.kernel, ctx.side, corner) @ part
            for corner, part in zip(CORNERS, parts, strict=True)
        )
        total = functools.reduce(torch.Tensor.add_, products)
        return None, total.T.reshape(-1, 1, ctx.kernel, ctx.kernel), for_blank


def _patches(pixels: Tensor, kernel: int, side: int, corner: tuple[int, int]) -> Tensor:
    """(k·k, side·side·N): what each weight sees at one corner of all windows."""
    row, column = corner
    windows = pixels.unfold(0, kernel, 1).unfold(1, kernel, 1)
    windows = windows[row : row + 2 * side : 2, column : column + 2 * side : 2]
    return windows.permute(3, 4, 0, 1, 2).flatten(0, 1).flatten(1)


def first_layer(images: Tensor, weight: Tensor, blank: Tensor | None) -> Tensor:
    """Valid convolution of one channel, then as `pool`.

    The images get no gradient.

    Args:
        images: (N, 1, S, S) float32 or bfloat16, on the CPU.
        weight: (K, 1, k, k), of the same type.
        blank: (K,) float32, the biases; None: no ReLU.

    Returns:
        (P, P, N, K) with P = (S - k + 1) // 2.
    """
    pixels = images.squeeze(1).permute(1, 2, 0)
    blocks: list[Tensor] = [
        _FirstLayer.apply(block.contiguous(), weight, blank)
        for block in pixels.split(BLOCK, dim=2)
    ]
    return torch.cat(blocks, dim=2)
