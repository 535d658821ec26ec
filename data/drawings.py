"""A set of drawn characters: the one form in which every data set reaches the program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from data.errors import DataError


@dataclass(frozen=True)
class Drawings:
    """Characters of several alphabets, each drawn once by every drawer.

    Attributes:
        name: the data set, such as ``omniglot``.
        fingerprint: a digest of the content; equal fingerprints mean equal images.
        alphabets: names, in the order that ``alphabet_of`` counts.
        alphabet_of: (C,) int64, the alphabet of each character.
        drawers: numbers (from 1) of the drawers, in the order of the second axis of ``ink``.
        ink: (C, D, S, S) uint8, 255 = full ink, 0 = paper.
    """

    name: str
    fingerprint: str
    alphabets: tuple[str, ...]
    alphabet_of: Tensor
    drawers: tuple[int, ...]
    ink: Tensor

    @property
    def side(self) -> int:
        """Height and width of an image, in pixels."""
        return int(self.ink.shape[-1])

    @property
    def images(self) -> Tensor:
        """(C·D, S, S) uint8; image ``c * D + d`` is character c by drawer d."""
        return self.ink.flatten(0, 1)

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
            ink=self.ink[kept][:, columns],
        )

    def resized(self, side: int) -> Drawings:
        """The same set at another image size; each new pixel is the mean ink of its area."""
        if side == self.side:
            return self
        small = [
            functional.interpolate(block.float(), size=(side, side), mode="area").round().byte()
            for block in self.ink.split(256)
        ]
        return replace(self, ink=torch.cat(small))

    def to(self, device: torch.device) -> Drawings:
        """The same set with its tensors on ``device``."""
        return replace(self, alphabet_of=self.alphabet_of.to(device), ink=self.ink.to(device))
