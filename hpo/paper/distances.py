"""How far apart two drawings lie as sets of ink points, whatever their place on the paper."""

import math

import torch
from torch import Tensor
from torch.nn import functional

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


SIDE = 35
"""Pixels of the images that are aligned; smaller ones are aligned at their own size."""
BLURS = (2.0, 0.7)
"""Standard deviations of the blur, coarse to fine, in pixels at `SIDE`; the last is compared."""
STARTS = (0.0, -25.0, 25.0)  # degrees that the search sets out from
STEPS = (10, 10)  # of each blur
DAMPING = 1e-2  # of the first step, as a share of the diagonal
EASED, STIFFENED = 4.0, 8.0
"""By how much the damping falls after a step that helped, and rises after one that did not."""
TINY = 1e-6  # keeps the equations of blank images solvable
BLOCK = 512  # pairs that are aligned at once


def affine_distance(first: Tensor, second: Tensor) -> Tensor:
    """The Euclidean distance of every pair once the second drawing is mapped onto the first.

    Args:
        first: (N, S, S) uint8 ink.
        second: (M, S, S) uint8 ink.

    Returns:
        (N, M) float32: of blurred images of at most 35×35 pixels, each in [0, 1].
    """
    fixed, moving = first.float().unsqueeze(1) / 255, second.float().unsqueeze(1) / 255
    side = min(SIDE, first.shape[-1])
    if side < first.shape[-1]:
        size = (side, side)
        fixed = functional.interpolate(fixed, size=size, mode="area")
        moving = functional.interpolate(moving, size=size, mode="area")
    rows = torch.arange(len(first), device=first.device).repeat_interleave(len(second))
    columns = torch.arange(len(second), device=first.device).repeat(len(first))
    found = [
        align(fixed[row], moving[column])[0]
        for row, column in zip(rows.split(BLOCK), columns.split(BLOCK), strict=True)
    ]
    return torch.cat(found).view(len(first), len(second))


def align(fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """Find the affine map of each moving image that brings it nearest to its fixed one.

    The search starts where the ink's mean and its spread along both axes agree, and again from
    either side of that, turned. Each start is led down from blurred to sharp images by the method
    of Levenberg and Marquardt, which takes the squares of the pixels' differences to be those of
    a linear function; a step that makes them no smaller is taken back, and a shorter one tried.

    Args:
        fixed: (N, 1, S, S) float in [0, 1], ink = 1.
        moving: likewise.

    Returns:
        (N,) the smallest distance, of images with the finest blur, and its (N, 2, 3) map from the
        fixed image's coordinates to the moving one's, as `functional.affine_grid` takes it.
    """
    distances, maps = [], []
    pixel = SIDE / fixed.shape[-1]
    levels = [
        (_blurred(fixed, blur / pixel), _blurred(moving, blur / pixel), steps)
        for blur, steps in zip(BLURS, STEPS, strict=True)
    ]
    upright = _upright(fixed, moving)
    for degrees in STARTS:
        found = _turned(upright, fixed, degrees)
        for still, other, steps in levels:
            found, squares = _descend(still, other, found, steps)
        distances.append(squares.sqrt())
        maps.append(found)
    distance, best = torch.stack(distances).min(dim=0)
    return distance, torch.stack(maps)[best, torch.arange(len(best), device=best.device)]


def _blurred(images: Tensor, deviation: float) -> Tensor:
    reach = math.ceil(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-0.5 * (offsets / deviation) ** 2)
    weights /= weights.sum()
    images = functional.conv2d(images, weights.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(images, weights.view(1, 1, -1, 1), padding=(reach, 0))


def _positions(side: int, like: Tensor) -> Tensor:
    """(S·S, 2) x and y of the pixels' centres, from -1 to 1 across the image."""
    line = (torch.arange(side, device=like.device, dtype=like.dtype) * 2 + 1) / side - 1
    return torch.stack([line.repeat(side), line.repeat_interleave(side)], dim=1)


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 2) mean and (N, 2) standard deviation of the ink's x and y."""
    positions = _positions(images.shape[-1], images)
    ink = images.flatten(1) + 1e-6  # a blank image is evenly grey
    ink = ink / ink.sum(dim=1, keepdim=True)
    mean = ink @ positions
    variance = ink @ positions**2 - mean**2
    return mean, variance.clamp(min=1e-4).sqrt()


def _upright(fixed: Tensor, moving: Tensor) -> Tensor:
    """(N, 2, 3) the maps that match the ink's mean and its spread along either axis."""
    (mean, spread), (other_mean, other_spread) = _moments(fixed), _moments(moving)
    scale = (other_spread / spread).clamp(0.5, 2)
    shift = other_mean - scale * mean
    return torch.cat([torch.diag_embed(scale), shift.unsqueeze(2)], dim=2)


def _turned(maps: Tensor, fixed: Tensor, degrees: float) -> Tensor:
    """The maps with the fixed image turned about its ink's mean first."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = maps.new_tensor([[cosine, -sine], [sine, cosine]])
    mean = _moments(fixed)[0].unsqueeze(2)
    linear, shift = maps[:, :, :2], maps[:, :, 2:]
    return torch.cat([linear @ turn, shift + linear @ (mean - turn @ mean)], dim=2)


def _descend(fixed: Tensor, moving: Tensor, maps: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Better maps, (N, 2, 3), and the sums of the squared differences that they leave, (N,)."""
    side = fixed.shape[-1]
    positions = _positions(side, fixed)
    place = torch.cat([positions, torch.ones_like(positions[:, :1])], dim=1).T  # (3, S·S)
    down, across = torch.gradient(moving, spacing=2 / side, dim=(2, 3))
    layers, target = torch.cat([moving, across, down], dim=1), fixed.flatten(1)

    def look(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N,) what the maps leave, and the normal equations of a step: (N, 6, 6) and (N, 6)."""
        grid = functional.affine_grid(maps, list(moving.shape), align_corners=False)
        seen = functional.grid_sample(layers, grid, align_corners=False).flatten(2)
        left = target - seen[:, 0]
        slopes = (seen[:, 1:, None] * place).flatten(1, 2)  # (N, 6, S·S)
        pull = (slopes @ left.unsqueeze(2)).squeeze(2)
        return left.square().sum(dim=1), slopes @ slopes.mT, pull

    squares, curvature, pull = look(maps)
    damping = torch.full_like(squares, DAMPING)
    for _ in range(steps):
        ridge = curvature.diagonal(dim1=1, dim2=2) * damping.unsqueeze(1) + TINY
        step = torch.linalg.solve(curvature + torch.diag_embed(ridge), pull)
        tried = maps + step.view(-1, 2, 3)
        new_squares, new_curvature, new_pull = look(tried)
        better = new_squares < squares
        squares = torch.where(better, new_squares, squares)
        curvature = torch.where(better[:, None, None], new_curvature, curvature)
        pull = torch.where(better[:, None], new_pull, pull)
        maps = torch.where(better[:, None, None], tried, maps)
        damping *= torch.where(better, 1 / EASED, STIFFENED)
    return maps, squares
