"""The eight turns and mirror images of a picture, all of which a network may compare."""

import torch
from torch import Tensor

from model.architecture import Architecture
from model.fast.encoder import Encode

TURNS = tuple((mirrored, quarters) for mirrored in (False, True) for quarters in range(4))


def in_all_views(encode: Encode, architecture: Architecture) -> Encode:
    """How the pictures to compare are embedded: in one view, or in eight.

    Returns:
        An encoder to (N, 8·F), the views of a picture next to each other, of which
        `SiameseNetwork.score` gives the mean score; or the same one, for any other network.
    """
    if not architecture.eight_views:
        return encode
    return lambda images: torch.cat([encode(_turned(images, *turn)) for turn in TURNS], dim=1)


def _turned(images: Tensor, mirrored: bool, quarters: int) -> Tensor:
    seen = images.flip(-1) if mirrored else images
    return seen.rot90(quarters, (-2, -1)).contiguous()
