"""2×2 max-pooling and ReLU in few passes over memory, and the first layer with them.

The larger of two values is remembered as their difference, whose sign lets the gradient through as
that of a ReLU does; a GPU does all of it in one kernel where it can (`fused_pooling`).

The convolution of an image's one or three channels is a matrix product with its patches. On a CPU
that is one for each corner of the pooling window in turn, so that its map is never stored; on a GPU
one for all corners, with patches that are a pixel larger.
"""

import functools
import logging
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from model.fast.blank_paper import ahead_of_relu, ink_after_relu, passes

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column inside the pooling window."""
BLOCK = 128
"""Images of a CPU's first layer at a time; all at once would hold the patches of all."""
ALIGNED = 8
"""A row of patches is a multiple of it long: 16 bytes of bf16, as a GPU takes them."""

log = logging.getLogger(__name__)


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
    below = passes(upstream, lower, 0)
    above = upstream.sub_(below)
    for whole, right, left_part, right_part in (
        (above, right_of_upper, one, two),
        (below, right_of_lower, three, four),
    ):
        passes(whole, right, 0, grad_input=right_part)
        torch.sub(whole, right_part, out=left_part)


@functools.cache
def _fused(device: torch.device) -> ModuleType | None:
    """`fused_pooling`, on a GPU where it runs; where it does not, a line says why."""
    if device.type != "cuda":
        return None
    try:
        from model.fast import fused_pooling

        fused_pooling.largest(torch.zeros(1, 1, 1, 2, 2, 1, device=device), None)
    except Exception as error:  # whatever Triton, its C compiler or its driver raises
        log.warning("training is slower than it could be: Triton does not run here (%s)", error)
        return None
    return fused_pooling


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, blank: Tensor | None, dim: int | None) -> Tensor:
        windows = _windows(maps, dim)
        ctx.dim, ctx.shape, fused = dim, maps.shape, _fused(maps.device)
        if not fused:
            return _activated(ctx, *_largest(_corners(windows)), blank)
        best: Tensor
        best, choice = fused.largest(windows, blank)
        ctx.save_for_backward(choice, blank)
        return best

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        upstream = gradients[0]
        odd = ctx.dim is not None and any(n % 2 for n in ctx.shape[ctx.dim : ctx.dim + 2])
        gradient = (upstream.new_zeros if odd else upstream.new_empty)(ctx.shape)
        windows = _windows(gradient, ctx.dim)
        if fused := _fused(upstream.device):
            choice, blank = ctx.saved_tensors
            return gradient, fused.route(upstream, choice, blank, windows), None
        upstream, for_blank = _ahead_of_activation(ctx, upstream)
        _route(upstream, list(ctx.saved_tensors[:3]), _corners(windows))
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


def _windows(maps: Tensor, dim: int | None) -> Tensor:
    """(…, 2, 2, C) view: all whole windows of maps whose rows are at ``dim``, columns next to it.

    Without ``dim`` the maps are such windows already.
    """
    if dim is None:
        return maps
    rows, columns = (side // 2 for side in maps.shape[dim : dim + 2])
    whole = maps.narrow(dim, 0, 2 * rows).narrow(dim + 1, 0, 2 * columns)
    split: Tensor = whole.unflatten(dim + 1, (columns, 2)).unflatten(dim, (rows, 2))
    return split.movedim((dim + 1, dim + 3), (-3, -2))


def _corners(windows: Tensor) -> list[Tensor]:
    """Views of the four corners, (…, C) each."""
    return [windows[..., row, column, :] for row, column in CORNERS]


def pool(maps: Tensor, blank: Tensor | None, dim: int | None) -> Tensor:
    """2×2 max-pooling, then ReLU with what blank paper gives taken off, as in `blank_paper`.

    Args:
        maps: rows and columns at ``dim`` and ``dim + 1``, channels last; or (…, 2, 2, C).
        blank: (C,) float32, from `blank_paper.response`; None: no ReLU.
        dim: of the rows; None: the maps are windows already.

    Returns:
        The same axes, with half the rows and columns, an odd last one left out; or (…, C).
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
        ctx.pixels, ctx.kernel, ctx.side, ctx.weight = pixels, kernel, side, weight.shape
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
        return None, total.T.reshape(ctx.weight), for_blank


def _patches(pixels: Tensor, kernel: int, side: int, corner: tuple[int, int]) -> Tensor:
    """(C·k·k, side·side·N): what each weight sees at one corner of all windows."""
    row, column = corner
    windows = pixels.unfold(0, kernel, 1).unfold(1, kernel, 1)
    windows = windows[row : row + 2 * side : 2, column : column + 2 * side : 2]
    return windows.permute(3, 4, 5, 0, 1, 2).reshape(pixels.shape[3] * kernel**2, -1)


def first_layer(images: Tensor, weight: Tensor, blank: Tensor | None) -> Tensor:
    """Valid convolution of few channels, then as `pool`.

    The images get no gradient.

    Args:
        images: (N, C, S, S) float32 or bfloat16.
        weight: (K, C, k, k), of the same type.
        blank: (K,) float32, the biases; None: no ReLU.

    Returns:
        With P = (S - k + 1) // 2 on a CPU (P, P, N, K), else (N, P, P, K).
    """
    if images.device.type != "cpu":
        return _first_layer_on_gpu(images, weight, blank)
    pixels = images.permute(2, 3, 0, 1)
    blocks: list[Tensor] = [
        _FirstLayer.apply(block.contiguous(), weight, blank) for block in pixels.split(BLOCK, dim=2)
    ]
    return torch.cat(blocks, dim=2)


def _first_layer_on_gpu(pixels: Tensor, weight: Tensor, blank: Tensor | None) -> Tensor:
    """(N, C, S, S) and (K, C, k, k) to (N, P, P, K)."""
    kernel = weight.shape[2]
    seen = pixels.unfold(2, kernel + 1, 2).unfold(3, kernel + 1, 2)  # (N, C, P, P, k + 1, k + 1)
    seen = seen.movedim(1, 3)
    size = pixels.shape[1] * (kernel + 1) ** 2
    padding = -size % ALIGNED
    patches = pixels.new_empty(*seen.shape[:3], size + padding)
    patches[..., size:] = 0
    patches[..., :size].unflatten(-1, seen.shape[3:]).copy_(seen)
    corners = [functional.pad(weight, (b, 1 - b, a, 1 - a)) for a, b in CORNERS]
    weights = functional.pad(torch.stack(corners).flatten(0, 1).flatten(1), (0, padding))
    windows = functional.linear(patches, weights).unflatten(-1, (2, 2, -1))
    return pool(windows, blank, None)
