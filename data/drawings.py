"""A set of images of characters: the one form in which every data set reaches the program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from data.errors import DataError


@dataclass(frozen=True)
class Drawings:
    """Images of the characters of several alphabets.

    Attributes:
        name: the data set, such as ``omniglot``.
        fingerprint: a digest of the content; equal fingerprints mean equal images.
        alphabets: names, in the order that ``alphabet_of`` counts.
        alphabet_of: (C,) int64, the alphabet of each character.
        drawers: numbers (from 1) of the drawers, in the order of every character's images, where
            each of them drew each character once; empty where nobody knows who made an image.
        count_of: (C,) int64, how many images each character has.
        images: (N, K, S, S) uint8, those of a character next to each other. Of one channel,
            255 = full ink, 0 = paper; of three, red, green and blue.
    """

    name: str
    fingerprint: str
    alphabets: tuple[str, ...]
    alphabet_of: Tensor
    drawers: tuple[int, ...]
    count_of: Tensor
    images: Tensor

    @property
    def side(self) -> int:
        """Height and width of an image, in pixels."""
        return int(self.images.shape[-1])

    @property
    def first_of(self) -> Tensor:
        """(C,) int64, the place of each character's first image in ``images``."""
        return self.count_of.cumsum(0) - self.count_of

    def select(self, alphabets: Sequence[str], drawers: Sequence[int]) -> Drawings:
        """The same set with only these alphabets and drawers, characters in their old order.

        Raises:
            DataError: an alphabet or drawer is not in the set.
        """
        for absent in [a for a in alphabets if a not in self.alphabets]:
            raise DataError(
                f"the alphabet {absent} is not in {self.name}: check the data with `hpo data check`"
            )
        for missing in [d for d in drawers if d not in self.drawers]:
            raise DataError(
                f"drawer {missing} is not in {self.name}: check the data with `hpo data check`"
            )
        old = torch.tensor([self.alphabets.index(a) for a in alphabets])
        kept = torch.isin(self.alphabet_of, old).nonzero().flatten()
        columns = torch.tensor([self.drawers.index(d) for d in drawers])
        renumber = torch.full((len(self.alphabets),), -1)
        renumber[old] = torch.arange(len(alphabets))
        return replace(
            self,
            alphabets=tuple(alphabets),
            alphabet_of=renumber[self.alphabet_of[kept]],
            drawers=tuple(drawers),
            count_of=torch.full_like(kept, len(drawers)),
            images=self.images[(self.first_of[kept].unsqueeze(1) + columns).flatten()],
        )

    def characters(self, kept: Tensor) -> Drawings:
        """The same set with only these characters, (C',) int64, and the alphabets that they are of.

        ``kept`` is in rising order, as the characters stay in theirs.
        """
        left, alphabet_of = self.alphabet_of[kept].unique(return_inverse=True)
        belongs = torch.zeros(len(self.count_of), dtype=torch.bool)
        belongs[kept] = True
        return replace(
            self,
            alphabets=tuple(self.alphabets[a] for a in left.tolist()),
            alphabet_of=alphabet_of,
            count_of=self.count_of[kept],
            images=self.images[belongs.repeat_interleave(self.count_of)],
        )

    def resized(self, side: int) -> Drawings:
        """The same set at another image size."""
        return self if side == self.side else replace(self, images=resized(self.images, side))

    def to(self, device: torch.device) -> Drawings:
        """The same set with its tensors on ``device``."""
        return replace(
            self,
            alphabet_of=self.alphabet_of.to(device),
            count_of=self.count_of.to(device),
            images=self.images.to(device),
        )


def resized(images: Tensor, side: int) -> Tensor:
    """(…, K, S, S) uint8 → (…, K, side, side): each new pixel is the mean of its area."""
    blocks = images.flatten(0, -4).split(4096)
    small = [functional.interpolate(b.float(), size=(side, side), mode="area") for b in blocks]
    return torch.cat([b.round().byte() for b in small]).view(*images.shape[:-2], side, side)


def as_input(images: Tensor) -> Tensor:
    """(N, K, S, S) uint8 → float32 in [0, 1]."""
    return images.float().div_(255)
