"""Drawings moved and scaled to lie alike: moment normalisation (Casey 1970)."""

import torch
from torch import Tensor

from data.affine import distort

RADIUS = 0.46
"""Root mean square distance of the ink from its centre of mass, in halves of the image's side, that
every drawing is given: the median of Omniglot's training drawings is 0.455."""
MOST = 2.0
"""Times that a drawing is enlarged or reduced, at the most."""


@torch.no_grad()
def framed(images: Tensor) -> Tensor:
    """Each drawing with its centre of mass in the middle and its ink as far spread as any other's.

    Where in its box a person draws a character, and how large, says little of which one it is.

    Args:
        images: (N, 1, S, S) float32 in [0, 1], ink = 1.

    Returns:
        The same shape, bilinear, without a gradient; blank paper stays blank.
    """
    side = images.shape[-1]
    place = (torch.arange(side, device=images.device, dtype=images.dtype) * 2 + 1) / side - 1
    columns, rows = images.sum(dim=(1, 2)), images.sum(dim=(1, 3))
    ink = columns.sum(dim=1, keepdim=True).clamp(min=1e-6)
    x, y = (columns @ place).unsqueeze(1) / ink, (rows @ place).unsqueeze(1) / ink
    squares = columns * (place - x) ** 2 + rows * (place - y) ** 2
    spread = (squares.sum(dim=1, keepdim=True) / ink).sqrt()
    scale = (spread / RADIUS).clamp(1 / MOST, MOST)
    nothing = torch.zeros_like(scale)
    maps = torch.cat([scale, nothing, x, nothing, scale, y], dim=1)
    return distort(images, maps.view(-1, 2, 3))
