"""How far apart two drawings lie as sets of ink points, whatever their place on the paper."""

from __future__ import annotations

import torch
from torch import Tensor

INKED = 128
"""A pixel is ink from here on, of 255."""


def modified_hausdorff(first: Tensor, second: Tensor) -> Tensor:
    """The modified Hausdorff distance of every pair of drawings (Dubuisson & Jain 1994).

    A drawing is the set of its ink pixels, moved so that their mean is at the origin. The
    distance is the larger of two means: of the way from each point of one set to the nearest of
    the other, and the same the other way round.

    Args:
        first: (N, S, S) uint8 ink.
        second: (M, S, S) uint8 ink.

    Returns:
        (N, M) float32, in pixels; infinite where one of the two has no ink.
    """
    sets = [_points(image) for image in second]
    return torch.stack(
        [
            torch.stack([_distance(points, others) for others in sets])
            for points in (_points(image) for image in first)
        ]
    )


def _points(image: Tensor) -> Tensor:
    """(P, 2) float32: the ink pixels, about their mean."""
    points = (image >= INKED).nonzero().float()
    return points - points.mean(dim=0) if len(points) else points


def _distance(points: Tensor, others: Tensor) -> Tensor:
    """() of two sets, (P, 2) and (P', 2). A pair at a time stays in a processor's cache."""
    if not len(points) or not len(others):
        return points.new_tensor(torch.inf)
    squares = (points[:, :1] - others[:, 0]).square_()
    squares += (points[:, 1:] - others[:, 1]).square_()
    there, back = squares.amin(dim=1), squares.amin(dim=0)
    return torch.maximum(there.sqrt_().mean(), back.sqrt_().mean())
