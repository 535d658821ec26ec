"""2×2 max-pooling and ReLU on a CPU, in few passes over memory, and the first layer with them.

A convolution of a single channel is one matrix product with the patches of the image; made for
each corner of the pooling window in turn, its map is never stored. The larger of two values is
remembered as their difference, whose sign lets the gradient through as that of a ReLU does.
"""

import functools
from typing import Any

import torch
from torch import Tensor

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
    def forward(ctx: Any, maps: Tensor, bias: Tensor, dim: int, relu: bool) -> Tensor:
        ctx.dim, ctx.shape, ctx.relu = dim, maps.shape, relu
        best, signs = _largest(_corners(maps, dim))
        best += bias
        best = best.relu_() if relu else best
        ctx.save_for_backward(*([best] if relu else []), *signs)
        return best

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        *best, lower, two, four = ctx.saved_tensors
        upstream = _through_relu(gradients[0], best)
        of_bias = upstream.flatten(0, -2).sum(0)
        odd = any(side % 2 for side in ctx.shape[ctx.dim : ctx.dim + 2])
        gradient = (lower.new_zeros if odd else lower.new_empty)(ctx.shape)
        _route(upstream, [lower, two, four], _corners(gradient, ctx.dim))
        return gradient, of_bias, None, None


def _through_relu(gradient: Tensor, best: list[Tensor]) -> Tensor:
    """A tensor of its own: the gradient of what was largest, before the ReLU if there was one."""
    return _passes(gradient, best[0], 0) if best else gradient.clone()


def _corners(maps: Tensor, dim: int) -> list[Tensor]:
    """Views of the four corners of all whole windows."""
    high, wide = (side // 2 * 2 for side in maps.shape[dim : dim + 2])
    before = (slice(None),) * dim
    return [maps[(*before, slice(i, high, 2), slice(j, wide, 2))] for i, j in CORNERS]


def pool(maps: Tensor, bias: Tensor, dim: int, relu: bool) -> Tensor:
    """Add the bias, then 2×2 max-pooling, then ReLU if ``relu``.

    Args:
        maps: rows and columns at ``dim`` and ``dim + 1``, channels last.
        bias: (C,).
        dim: of the rows.
        relu: whether ReLU follows.

    Returns:
        The same axes, with half the rows and columns; an odd last one is left out.
    """
    pooled: Tensor = _Pool.apply(maps, bias, dim, relu)
    return pooled


class _FirstLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pixels: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        kernel = weight.shape[2]
        side = (pixels.shape[0] - kernel + 1) // 2
        weights = torch.cat([weight.flatten(1), bias.unsqueeze(1)], 1).T
        best, signs = _largest(
            [_patches(pixels, kernel, side, corner).T @ weights for corner in CORNERS]
        )
        best = best.relu_() if relu else best
        ctx.save_for_backward(pixels, *([best] if relu else []), *signs)
        ctx.kernel, ctx.side, ctx.relu = kernel, side, relu
        return best.view(side, side, pixels.shape[2], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None]:
        pixels, *best, lower, two, four = ctx.saved_tensors
        upstream = _through_relu(gradients[0].reshape(lower.shape), best)
        parts = [torch.empty_like(lower) for _ in CORNERS]
        _route(upstream, [lower, two, four], parts)
        products = (
            _patches(pixels, ctx.kernel, ctx.side, corner) @ part
            for corner, part in zip(CORNERS, parts, strict=True)
        )
        total = functools.reduce(torch.Tensor.add_, products)
        return None, total[:-1].T.reshape(-1, 1, ctx.kernel, ctx.kernel), total[-1], None


def _patches(pixels: Tensor, kernel: int, side: int, corner: tuple[int, int]) -> Tensor:
    """(k·k + 1, side·side·N): what each weight sees at one corner of all windows; the bias, 1."""
    row, column = corner
    windows = pixels.unfold(0, kernel, 1).unfold(1, kernel, 1)
    windows = windows[row : row + 2 * side : 2, column : column + 2 * side : 2]
    patches = pixels.new_empty(kernel**2 + 1, *windows.shape[:3])
    patches[:-1].view(kernel, kernel, *windows.shape[:3]).copy_(windows.permute(3, 4, 0, 1, 2))
    patches[-1] = 1
    return patches.flatten(1)


def first_layer(images: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """Valid convolution of one channel, 2×2 max-pooling, ReLU if ``relu``.

    The images get no gradient.

    Args:
        images: (N, 1, S, S) float32 or bfloat16, on the CPU.
        weight: (K, 1, k, k), of the same type.
        bias: (K,).
        relu: whether ReLU follows.

    Returns:
        (P, P, N, K) with P = (S - k + 1) // 2.
    """
    pixels = images.squeeze(1).permute(1, 2, 0)
    blocks: list[Tensor] = [
        _FirstLayer.apply(block.contiguous(), weight, bias, relu)
        for block in pixels.split(BLOCK, dim=2)
    ]
    return torch.cat(blocks, dim=2)
