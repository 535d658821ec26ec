"""Batches of characters in two images each, all of whose pairs are meant to be scored."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from data.affine import distort, draw_symmetries, draw_transforms
from data.drawings import Drawings, as_input
from data.pairs import PairBatch

LARGE = 2**28
"""Whole numbers below it, taken modulo a small one, are uniform to within a part in a thousand."""


def characters_of_batch(drawings: Drawings, wanted: int, per_alphabet: int) -> int:
    """How many characters a batch can have: those that are wanted, or all that can be had.

    Args:
        drawings: where they are drawn from.
        wanted: how many are wanted in a batch.
        per_alphabet: the most of one alphabet.
    """
    sizes = torch.bincount(drawings.alphabet_of)
    return min(wanted, int(sizes.clamp(max=per_alphabet).sum()))


def all_pairs_batches(
    drawings: Drawings,
    characters: int,
    per_alphabet: int,
    steps: int,
    distortion: float,
    turned: bool,
    generator: Generator,
    at_once: int = 1,
    alphabet_distortion: float = 0.0,
) -> Iterator[PairBatch]:
    """Batches of characters in two images each, all of whose pairs are meant to be scored.

    A batch takes alphabet after alphabet in random order, up to ``per_alphabet`` random
    characters of each, until it is full: many of its different pairs are then of one alphabet,
    as in the one-shot tasks.

    Args:
        drawings: the training set.
        characters: how many a batch, N, from `characters_of_batch`.
        per_alphabet: the most characters of one alphabet in a batch.
        steps: batches in the epoch.
        distortion: factor on the ranges of the affine distortion that every image gets of its own;
            0: none.
        turned: turn and mirror each alphabet of a batch as chance will, all its characters alike:
            eight alphabets out of every one.
        generator: the source of chance, on the device of the drawings.
        at_once: how many batches are made together, from other chance than one by one.
        alphabet_distortion: factor on the same ranges for a map that each alphabet of a batch gets
            of its own, all its characters alike, before their own; 0: none.
    """
    device, images = drawings.images.device, drawings.images
    first_of, count_of = drawings.first_of, drawings.count_of
    span = len(drawings.drawers) or LARGE  # known drawers have drawn equally many
    alphabets = torch.arange(len(drawings.alphabets), device=device)
    member = drawings.alphabet_of == alphabets.unsqueeze(1)
    sizes = member.sum(dim=1)
    for start in range(0, steps, at_once):
        count = min(at_once, steps - start)
        # Each alphabet's characters in random order, its first `per_alphabet` kept; then the
        # kept ones of the alphabets in random order. All shapes are fixed: no wait for a GPU.
        chance = torch.rand(count, *member.shape, generator=generator, device=device)
        ranked = chance.masked_fill(~member, 2.0).argsort(dim=2)[..., :per_alphabet]
        orders = [
            torch.randperm(len(sizes), generator=generator, device=device) for _ in range(count)
        ]
        shuffled = torch.stack(orders)
        ranked = ranked.take_along_dim(shuffled.unsqueeze(2), dim=1)
        place = torch.arange(ranked.shape[2], device=device)
        absent = (place >= sizes[shuffled].unsqueeze(2)).flatten(1)
        kept = absent.int().argsort(dim=1, stable=True)[:, :characters]
        picked = ranked.flatten(1).take_along_dim(kept, dim=1)
        first, of_each = first_of[picked], count_of[picked]
        one = torch.randint(span, picked.shape, generator=generator, device=device) % of_each
        step = torch.randint(span - 1, picked.shape, generator=generator, device=device)
        other = (one + 1 + step % (of_each - 1)) % of_each
        twins = torch.cat([first + one, first + other], dim=1)
        drawn = as_input(images[twins.flatten()])
        if distortion or turned or alphabet_distortion:
            transforms = draw_transforms(twins.numel(), generator, distortion)
            whole = _maps_of_alphabets(count * len(sizes), turned, alphabet_distortion, generator)
            if whole is not None:
                of_alphabet = whole.view(count, len(sizes), 2, 2)
                chosen = drawings.alphabet_of[picked].view(count, -1, 1, 1)
                maps = of_alphabet.take_along_dim(chosen, dim=1).repeat(1, 2, 1, 1)
                transforms = maps.flatten(0, 1) @ transforms
            drawn = distort(drawn, transforms)
        for batch_images in drawn.split(twins.shape[1]):
            yield PairBatch(batch_images, None)


def _maps_of_alphabets(
    count: int, turned: bool, width: float, generator: Generator
) -> Tensor | None:
    """(N, 2, 2) float32 maps from output to input coordinates, if there are to be any."""
    turns = draw_symmetries(count, generator) if turned else None
    if not width:
        return turns
    maps = draw_transforms(count, generator, width)[..., :2]
    return maps if turns is None else turns @ maps
