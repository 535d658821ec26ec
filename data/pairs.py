"""What a training step sees; and the paper's training set, random pairs of images."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from data.affine import distort, draw_transforms, identity_transforms
from data.chance import seeded
from data.drawings import Drawings, as_input
from data.errors import DataError


@dataclass(frozen=True)
class PairSet:
    """A fixed set of verification pairs, each in one or more fixed versions.

    Attributes:
        first, second: (N,) int64, indices into `Drawings.images`.
        same: (N,) float32, 1 = both images show the same character.
        transforms: (K, N, 2, 2, 3) float32, the affine maps of the K distorted copies of each
            pair, a map for each of the two images; K may be 0.
    """

    first: Tensor
    second: Tensor
    same: Tensor
    transforms: Tensor

    def __len__(self) -> int:
        """How many pairs an epoch has: every pair as drawn and in every distorted copy."""
        return len(self.same) * (1 + len(self.transforms))


def draw_pairs(drawings: Drawings, count: int, copies: int, seed: int) -> PairSet:
    """Draw the paper's training set (Koch et al. 2015, §4.2).

    Half of the pairs show the same character in two images, half two different characters of
    one alphabet; every alphabet is in the set equally often (to within one pair of
    each kind); each image of each distorted copy has a map of its own.

    Args:
        drawings: where to draw from, on the device where the pairs are wanted.
        count: how many pairs, an even number, before the distorted copies are added.
        copies: distorted copies of each pair; the paper has 8 (30 k become 270 k).
        seed: equal seeds give equal pairs, on any device.

    Raises:
        DataError: a character with fewer than two images, or an alphabet with fewer than two
            characters.
    """
    members = [
        (drawings.alphabet_of.cpu() == a).nonzero().flatten()
        for a in range(len(drawings.alphabets))
    ]
    count_of, first_of = drawings.count_of.cpu(), drawings.first_of.cpu()
    if int(count_of.min()) < 2 or min(len(m) for m in members) < 2:
        raise DataError(
            f"{drawings.name} has a character with one image, or an alphabet with one character, "
            "which make no pairs: check the data with `hpo data check`"
        )
    generator = seeded(seed)
    sizes = torch.tensor([len(m) for m in members])
    starts = torch.cat([torch.zeros(1, dtype=torch.long), sizes.cumsum(0)[:-1]])
    ordered = torch.cat(members)
    half = count // 2

    def below(limit: Tensor) -> Tensor:
        """(half,) integers, uniform below ``limit``."""
        return (torch.rand(half, generator=generator, dtype=torch.float64) * limit).long()

    def alphabets() -> Tensor:
        order = torch.randperm(len(members), generator=generator)
        return order[torch.arange(half) % len(members)]

    alphabet = alphabets()
    character = ordered[starts[alphabet] + below(sizes[alphabet])]
    images, start = count_of[character], first_of[character]
    one = below(images)
    other = (one + 1 + below(images - 1)) % images
    same_first, same_second = start + one, start + other

    alphabet = alphabets()
    rank = below(sizes[alphabet])
    other_rank = (rank + 1 + below(sizes[alphabet] - 1)) % sizes[alphabet]
    character, other = ordered[starts[alphabet] + rank], ordered[starts[alphabet] + other_rank]
    different_first = first_of[character] + below(count_of[character])
    different_second = first_of[other] + below(count_of[other])

    transforms = draw_transforms(copies * 2 * half * 2, generator)
    device = drawings.images.device
    return PairSet(
        first=torch.cat([same_first, different_first]).to(device),
        second=torch.cat([same_second, different_second]).to(device),
        same=torch.cat([torch.ones(half), torch.zeros(half)]).to(device),
        transforms=transforms.view(copies, 2 * half, 2, 2, 3).to(device),
    )


@dataclass(frozen=True)
class PairBatch:
    """Images of a training step and which of them are the same character.

    Attributes:
        images: (2N, K, S, S) float in [0, 1]; the first N are the first twins' images.
        same: (N,) float for N pairs, or None: then image i and image N + i are the only
            same ones among all N × N pairs of a first with a second image.
    """

    images: Tensor
    same: Tensor | None


def random_pair_batches(
    drawings: Drawings,
    pairs: PairSet,
    batch: int,
    generator: Generator,
    steps: int | None = None,
    epoch: int = 0,
    at_once: int = 1,
) -> Iterator[PairBatch]:
    """One epoch of a pair set in random order.

    Args:
        drawings: the training set.
        pairs: drawn from it.
        batch: pairs a step; where the whole set is an epoch, the last step may have fewer.
        generator: the source of chance, on the device of the drawings.
        steps: in the epoch, which goes on in the set where the last one left off; without
            it, an epoch is the whole set.
        epoch: which one it is, from 0.
        at_once: how many batches are made together.
    """
    images, count = drawings.images, len(pairs.same)
    if steps is None:
        order = torch.randperm(len(pairs), generator=generator, device=images.device)
    else:
        order = _part_of_order(len(pairs), steps * batch, epoch, generator)
    whole = len(order) // batch * batch
    blocks = [*order[:whole].split(batch * at_once), order[whole:]]
    for chosen in filter(len, blocks):
        rows = chosen.view(-1, min(batch, len(chosen)))  # a step each
        pair, copy = rows % count, rows // count
        twins = torch.stack([pairs.first[pair], pairs.second[pair]], dim=1)
        drawn = as_input(images[twins.flatten()])
        if len(pairs.transforms):
            maps = pairs.transforms[(copy - 1).clamp(min=0), pair]
            plain = identity_transforms(len(chosen), images.device).view(*copy.shape, 1, 2, 3)
            maps = torch.where((copy == 0).view(*copy.shape, 1, 1, 1), plain, maps)
            drawn = distort(drawn, maps.transpose(1, 2).flatten(0, 2))
        for step, same in zip(drawn.split(twins[0].numel()), pairs.same[pair], strict=True):
            yield PairBatch(step, same)


def _part_of_order(count: int, size: int, part: int, generator: Generator) -> Tensor:
    """(size,) int64, a part of pass after pass over ``count`` things, each in a random order.

    The generator is left as it was before it drew the order of the pass that is not over, so
    that for the next part it draws the same one again.
    """

    def order() -> Tensor:
        return torch.randperm(count, generator=generator, device=generator.device)

    state = generator.get_state()
    places = order()[part * size % count :]
    while len(places) <= size:
        state = generator.get_state()
        places = torch.cat([places, order()])
    generator.set_state(state)
    return places[:size]
