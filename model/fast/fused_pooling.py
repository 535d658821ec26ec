"""Max-pooling with ReLU as one kernel of a GPU each way, by Triton, which comes with PyTorch.

What is remembered of a window is the corner that was largest, a byte, instead of PyTorch's eight;
and no map is read twice. Imported where a GPU is used: Triton takes its time, and may be absent.
"""

import torch
import triton
from torch import Tensor
from triton import language as tl

POSITIONS = 32
"""Windows of a block."""
CHANNELS = 64
"""Channels of a block, at the most."""


@triton.jit
def _block(count, across, down, channels, outer, row, column, P: tl.constexpr, C: tl.constexpr):
    """Of this program: its channels, which of its numbers there are, and where they are.

    Places are those of the windows' first corners in the maps, and of the windows in what is
    pooled.
    """
    position = tl.program_id(0) * P + tl.arange(0, P)
    channel = tl.program_id(1) * C + tl.arange(0, C)
    inside = (position < count)[:, None] & (channel < channels)[None, :]
    i, j, n = (position // across) % down, position % across, position // (across * down)
    start = n.to(tl.int64) * outer + i * row + j * column
    in_maps = start[:, None] + channel[None, :]
    return channel, inside, in_maps, position[:, None].to(tl.int64) * channels + channel[None, :]


@triton.jit
def _larger(top, which, corner, other):
    """The larger of two, the first of equals, or what is not a number; and which it was."""
    beats = (other > top) | (other != other)
    return tl.where(beats, other, top), tl.where(beats, corner, which)


@triton.jit
def _largest(
    maps, blank, best, choice, count, across, down, channels,
    outer, row, column, lower, right,
    RELU: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    channel, inside, at, to = _block(count, across, down, channels, outer, row, column, P, C)
    here = maps + at
    top = tl.load(here, inside, 0).to(tl.float32)
    which = tl.zeros((P, C), tl.int32)
    two = tl.load(here + right, inside, 0).to(tl.float32)
    top, which = _larger(top, which, 1, two)
    three = tl.load(here + lower, inside, 0).to(tl.float32)
    top, which = _larger(top, which, 2, three)
    four = tl.load(here + lower + right, inside, 0).to(tl.float32)
    top, which = _larger(top, which, 3, four)
    if RELU:
        given = tl.load(blank + channel, channel < channels, 0)[None, :]
        clipped = top <= -given
        which = tl.where(clipped, 4, which)
        top = tl.where(clipped, -given, top) + tl.minimum(given, 0)
    tl.store(best + to, top.to(best.dtype.element_ty), inside)
    tl.store(choice + to, which.to(tl.int8), inside)


@triton.jit
def _route(
    upstream, choice, blank, maps, of_blank, count, across, down, channels,
    outer, row, column, lower, right,
    RELU: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    channel, inside, at, of = _block(count, across, down, channels, outer, row, column, P, C)
    here = maps + at
    gradient = tl.load(upstream + of, inside, 0)
    which = tl.load(choice + of, inside, 0)
    zero = tl.zeros((P, C), gradient.dtype)
    tl.store(here, tl.where(which == 0, gradient, zero), inside)
    tl.store(here + right, tl.where(which == 1, gradient, zero), inside)
    tl.store(here + lower, tl.where(which == 2, gradient, zero), inside)
    tl.store(here + lower + right, tl.where(which == 3, gradient, zero), inside)
    if RELU:
        known = channel < channels
        open_to_blank = tl.load(blank + channel, known, 0) > 0
        changed = (which == 4) == open_to_blank[None, :]
        total = tl.sum(tl.where(changed, gradient, zero).to(tl.float32), axis=0)
        total = tl.where(open_to_blank, -total, total)
        tl.store(of_blank + tl.program_id(0) * channels + channel, total, known)


def largest(windows: Tensor, blank: Tensor | None) -> tuple[Tensor, Tensor]:
    """The largest of each window, after `blank_paper.ink_after_relu`, and which corner it was.

    Args:
        windows: (A, B, D, 2, 2, C), a view of maps whose channels are next to each other.
        blank: (C,) float32; None: no ReLU.

    Returns:
        (A, B, D, C) of the same type, and int8: 0 to 3, row by row; 4 where the ReLU let
        nothing through.
    """
    shape = (*windows.shape[:3], windows.shape[5])
    best = windows.new_empty(shape)
    choice = torch.empty(shape, dtype=torch.int8, device=windows.device)
    _launch(_largest, windows, blank is not None, windows, blank, best, choice)
    return best, choice


def route(upstream: Tensor, choice: Tensor, blank: Tensor | None, windows: Tensor) -> Tensor | None:
    """Write the gradient of the maps, and give that of ``blank``, as in `blank_paper`.

    Args:
        upstream: (A, B, D, C) of what `largest` gave.
        choice: from `largest`.
        blank: likewise.
        windows: (A, B, D, 2, 2, C) where the gradients go.
    """
    blocks = triton.cdiv(upstream[..., 0].numel(), POSITIONS)
    sums = None if blank is None else blank.new_empty(blocks, len(blank))
    given = upstream.contiguous(), choice, blank, windows, sums
    _launch(_route, windows, blank is not None, *given)
    return None if sums is None else sums.sum(0)


def _launch(kernel: triton.JITFunction, windows: Tensor, relu: bool, *given: Tensor | None) -> None:
    outer, down, across, channels = (windows.shape[axis] for axis in (0, 1, 2, 5))
    count = outer * down * across
    block = min(CHANNELS, triton.next_power_of_2(channels))
    grid = triton.cdiv(count, POSITIONS), triton.cdiv(channels, block)
    kernel[grid](
        *given, count, across, down, channels, *windows.stride()[:5],
        RELU=relu, P=POSITIONS, C=block,
    )  # fmt: skip
