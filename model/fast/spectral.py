"""Valid convolution by the discrete Fourier transform: what a large kernel costs least as on a CPU.

A valid correlation of an S×S map is a circular one of length S, which the transform turns into a
product at each of S·(S/2 + 1) frequencies: a complex matrix product of (images × channels) with
(channels × filters), whatever the kernel. At such lengths the transforms too are best done as
matrix products. The 7×7 layer of the published network takes a seventh of the multiply-adds.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from model.architecture import Architecture

WORTHWHILE = 2.0
"""Use it where it saves this factor of the direct convolution's multiply-adds (measured)."""


def spectral_layers(architecture: Architecture) -> frozenset[str]:
    """Names of the convolutions after the first that cost clearly less this way."""
    chosen = set()
    layers = architecture.convolutions
    for number in range(1, len(layers)):
        side, kernel = architecture.needed_sides[number], layers[number].kernel
        inside, filters = layers[number - 1].filters, layers[number].filters
        out, half = side - kernel + 1, side // 2 + 1
        direct = inside * filters * kernel**2 * out**2
        forward = inside * (side * 2 * half * side + 4 * side * side * half)
        backward = filters * (4 * out * side * half + out * out * 2 * half)
        products = 4 * side * half * inside * filters
        if direct > WORTHWHILE * (forward + products + backward):
            chosen.add(architecture.layers[number])
    return frozenset(chosen)


@dataclass(frozen=True)
class Transforms:
    """The matrices of one side length S and kernel k, with F = S // 2 + 1 and O = S - k + 1.

    The real and imaginary rows of a result along the width stand beside one another, so that
    the next step along the height takes both as one matrix.

    Attributes:
        across: (2F, S), positions along the width to frequencies.
        down: two of (S, 2S), those of a column, real and imaginary by turns, to the real and to the
            imaginary parts of its frequencies.
        up: two of (2O, S), the inverse of ``down`` for the first O positions, from each part.
        back: (O, 2F), the inverse of ``across`` for the first O positions.
    """

    across: Tensor
    down: tuple[Tensor, Tensor]
    up: tuple[Tensor, Tensor]
    back: Tensor


@lru_cache(maxsize=256)
def _transforms(side: int, out: int, kind: torch.dtype) -> Transforms:
    half = side // 2 + 1

    def waves(rows: int, columns: int) -> tuple[Tensor, Tensor]:
        turns = torch.outer(torch.arange(rows), torch.arange(columns)).double() % side
        angle = turns * (2 * math.pi / side)
        return angle.cos(), angle.sin()

    def by_turns(one: Tensor, other: Tensor, dim: int) -> Tensor:
        return torch.stack([one, other], dim).flatten(dim - 1, dim).to(kind).contiguous()

    cosine, sine = waves(half, side)
    across = torch.cat([cosine, -sine]).to(kind)
    cosine, sine = waves(side, side)
    down = by_turns(cosine, sine, 2), by_turns(-sine, cosine, 2)
    cosine, sine = cosine[:out] / side, sine[:out] / side
    up = by_turns(cosine, sine, 1), by_turns(-sine, cosine, 1)
    # Of a real map only half of the frequencies are kept; the others are their conjugates.
    twice = torch.full((half, 1), 2.0 / side, dtype=torch.double)
    twice[0] /= 2
    if side % 2 == 0:
        twice[-1] /= 2
    cosine, sine = waves(half, out)
    back = torch.cat([cosine * twice, -sine * twice]).T.to(kind).contiguous()
    return Transforms(across, down, up, back)


def _to_frequencies(t: Transforms, maps: Tensor) -> tuple[Tensor, Tensor]:
    """(H, W, N, M) maps, H and W up to S → their real and imaginary parts, each (S·F, N, M)."""
    height, width, rows, columns = maps.shape
    along = torch.matmul(t.across[:, :width], maps.reshape(height, width, -1))
    along = along.view(2 * height, -1)
    real, imaginary = (part[:, : 2 * height] @ along for part in t.down)
    return real.view(-1, rows, columns), imaginary.view(-1, rows, columns)


def _to_frequencies_adjoint(
    t: Transforms, real: Tensor, imaginary: Tensor, height: int, width: int
) -> Tensor:
    """The gradient of `_to_frequencies`: (S·F, N, M) twice → (H, W, N, M)."""
    side, (_, rows, columns) = t.across.shape[1], real.shape
    down = [part[:, : 2 * height].T for part in t.down]
    along = (down[0] @ real.view(side, -1)).addmm_(down[1], imaginary.view(side, -1))
    maps = torch.matmul(t.across[:, :width].T, along.view(height, t.across.shape[0], -1))
    return maps.view(height, width, rows, columns)


def _to_positions(t: Transforms, real: Tensor, imaginary: Tensor) -> Tensor:
    """(S·F, N, M) twice → the first O×O positions of the maps, (O, O, N, M)."""
    side, (_, rows, columns) = t.across.shape[1], real.shape
    out = t.back.shape[0]
    along = (t.up[0] @ real.view(side, -1)).addmm_(t.up[1], imaginary.view(side, -1))
    maps = torch.matmul(t.back, along.view(out, t.back.shape[1], -1))
    return maps.view(out, out, rows, columns)


def _to_positions_adjoint(t: Transforms, maps: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of `_to_positions`: (O, O, N, M) → (S·F, N, M) twice."""
    out, _, rows, columns = maps.shape
    along = torch.matmul(t.back.T, maps.reshape(out, out, -1)).view(2 * out, -1)
    real, imaginary = (part.T @ along for part in t.up)
    return real.view(-1, rows, columns), imaginary.view(-1, rows, columns)


class _SpectralConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor) -> Tensor:
        side, kernel = maps.shape[0], weight.shape[2]
        t = _transforms(side, side - kernel + 1, maps.dtype)
        x = _to_frequencies(t, maps)
        w = _to_frequencies(t, weight.permute(2, 3, 1, 0))
        ctx.save_for_backward(*x, *w)
        ctx.transforms, ctx.side, ctx.kernel = t, side, kernel
        # A correlation: the product with the conjugate of the kernel's transform.
        real = torch.bmm(x[0], w[0]).baddbmm_(x[1], w[1])
        imaginary = torch.bmm(x[1], w[0]).baddbmm_(x[0], w[1], alpha=-1)
        return _to_positions(t, real, imaginary)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x0, x1, w0, w1 = ctx.saved_tensors
        t: Transforms = ctx.transforms
        real, imaginary = _to_positions_adjoint(t, gradients[0])
        kernel = _to_frequencies_adjoint(
            t,
            torch.bmm(x0.mT, real).baddbmm_(x1.mT, imaginary),
            torch.bmm(x1.mT, real).baddbmm_(x0.mT, imaginary, alpha=-1),
            ctx.kernel,
            ctx.kernel,
        )
        maps = _to_frequencies_adjoint(
            t,
            torch.bmm(real, w0.mT).baddbmm_(imaginary, w1.mT, alpha=-1),
            torch.bmm(real, w1.mT).baddbmm_(imaginary, w0.mT),
            ctx.side,
            ctx.side,
        )
        return maps, kernel.permute(3, 2, 0, 1)


def spectral_convolution(maps: Tensor, weight: Tensor) -> Tensor:
    """`torch.nn.functional.conv2d` of square maps, with image and channel as the last axes.

    Args:
        maps: (S, S, N, C) float32 or bfloat16, on the CPU.
        weight: (K, C, k, k) of the same type, k ≤ S.

    Returns:
        (S - k + 1, S - k + 1, N, K).
    """
    convolved: Tensor = _SpectralConvolution.apply(maps, weight)
    return convolved
