"""The paper's affine distortions, batched, on any device (Koch et al. 2015, §4.2)."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

ROTATION = 10.0  # degrees, drawn from [-ROTATION, ROTATION]
SHEAR = 0.3  # ρx, ρy, likewise
SCALE = 0.2  # sx, sy from [1 - SCALE, 1 + SCALE]
SHIFT = 2.0  # tx, ty: pixels at 105×105, likewise
SHIFT_SIDE = 105
PRESENT = 0.5  # the probability that a component is there at all


def draw_transforms(count: int, generator: Generator, width: float = 1.0) -> Tensor:
    """Draw affine maps from output to input coordinates.

    Rotation, the two shears, the two scales and the two shifts are each present with
    probability one half, and else leave the image as it is.

    Args:
        count: how many, N.
        generator: the source of chance; the maps are made on its device.
        width: factor on all ranges.

    Returns:
        (N, 2, 3) float32, as `torch.nn.functional.affine_grid` takes them: coordinates run
        from -1 to 1 across the image, whatever its size.
    """
    device = generator.device
    uniform = torch.rand(count, 7, generator=generator, device=device) * 2 - 1
    present = torch.rand(count, 7, generator=generator, device=device) < PRESENT
    unit = uniform * present * width
    angle = unit[:, 0] * math.radians(ROTATION)
    shear_x, shear_y = unit[:, 1] * SHEAR, unit[:, 2] * SHEAR
    scale_x, scale_y = 1 + unit[:, 3] * SCALE, 1 + unit[:, 4] * SCALE
    shift = unit[:, 5:7] * (2 * SHIFT / SHIFT_SIDE)

    cosine, sine = angle.cos(), angle.sin()
    rotate = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    one = torch.ones_like(angle)
    shear = torch.stack([one, shear_x, shear_y, one], dim=1).view(-1, 2, 2)
    # The image grows by s where the sampling grid shrinks by s.
    scale = torch.diag_embed(torch.stack([1 / scale_x, 1 / scale_y], dim=1))
    return torch.cat([rotate @ shear @ scale, shift.unsqueeze(2)], dim=2)


def draw_symmetries(count: int, generator: Generator) -> Tensor:
    """Draw from the eight symmetries of the square: turns by 90° and their mirror images.

    Returns:
        (N, 2, 2) float32 in {-1, 0, 1}, maps from output to input coordinates.
    """
    device = generator.device
    sign = torch.randint(2, (count, 2), generator=generator, device=device).float() * 2 - 1
    swap = torch.randint(2, (count,), generator=generator, device=device)
    plain = torch.eye(2, device=device)
    axes = torch.stack([plain, plain.flip(0)])[swap]
    return sign.unsqueeze(2) * axes


def identity_transforms(count: int, device: torch.device) -> Tensor:
    """(N, 2, 3) float32: maps that leave every image as it is."""
    return torch.eye(2, 3, device=device).expand(count, 2, 3)


def distort(images: Tensor, transforms: Tensor) -> Tensor:
    """Apply one affine map to each image, bilinear.

    Outside a drawing, which has one channel, is paper; outside a colour image its border goes on.

    Args:
        images: (N, K, S, S) float in [0, 1].
        transforms: (N, 2, 3), from `draw_transforms`.

    Returns:
        (N, K, S, S) float in [0, 1].
    """
    grid = functional.affine_grid(transforms, list(images.shape), align_corners=False)
    return functional.grid_sample(
        images,
        grid.to(images.dtype),
        padding_mode="zeros" if images.shape[1] == 1 else "border",
        align_corners=False,
    )
