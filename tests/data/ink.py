"""Drawings by character and drawer, to and from the one form that the program has."""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.drawings import Drawings


def ink_of(drawings: Drawings) -> Tensor:
    """(C, D, S, S) uint8 of drawings whose drawers are known."""
    side = drawings.side
    return drawings.images.view(-1, len(drawings.drawers), side, side)


def drawings_of(
    ink: Tensor, alphabets: Sequence[str], alphabet_of: Tensor, drawers: Sequence[int]
) -> Drawings:
    """A set made up of (C, D, S, S) ink."""
    count_of = torch.full((len(ink),), len(drawers))
    images = ink.flatten(0, 1).unsqueeze(1)
    return Drawings("made up", "m", tuple(alphabets), alphabet_of, tuple(drawers), count_of, images)
