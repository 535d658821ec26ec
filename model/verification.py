"""Verification: whether two images show the same character, and how often a network is right."""

from collections.abc import Callable

import torch
from torch import Tensor

from data.drawings import Drawings, as_input
from data.pairs import PairSet
from model.scoring import BLOCK


def pair_logits(
    drawings: Drawings,
    pairs: PairSet,
    encode: Callable[[Tensor], Tensor],
    score: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """How like the two images of each pair are; every image is embedded once.

    Args:
        drawings: that the pairs were drawn from, on the device of the network.
        pairs: taken as they were drawn; N of them.
        encode: (M, K, S, S) images to (M, F) embeddings.
        score: (M, F) first and (M, F) second embeddings to (M,) logits.

    Returns:
        (N,) float32 logits of "same character", on the device.
    """
    shown, place = torch.cat([pairs.first, pairs.second]).unique(return_inverse=True)
    parts = drawings.images[shown].split(BLOCK)
    embedded = torch.cat([encode(as_input(part)) for part in parts]).float()
    first, second = place.chunk(2)
    # In blocks, for the embeddings of all pairs would be many times those of all images.
    blocks = zip(first.split(BLOCK), second.split(BLOCK), strict=True)
    return torch.cat([score(embedded[one], embedded[other]) for one, other in blocks])


def best_threshold(logits: Tensor, same: Tensor) -> float:
    """The threshold above which a logit says "same" with the fewest errors on these pairs.

    It lies midway between two neighbouring logits, or one beyond the lowest or highest. Where
    several do equally well it is the one nearest to 0, where the network itself says as likely
    as not: the choice then departs least from what was trained. A logit that is not finite has
    no say.

    Args:
        logits: (N,), from `pair_logits`.
        same: (N,), 1 = both images show the same character.
    """
    finite = logits.isfinite()
    if not finite.any():
        return 0.0
    # In double precision the middle of two different float32 numbers is neither of them.
    ordered, order = logits[finite].double().sort()
    alike = same[finite].bool()[order]
    # Place k is a threshold with k logits below it: right are the different pairs among those,
    # and the same ones among the rest.
    nothing = torch.zeros(1, dtype=torch.long, device=logits.device)
    right = torch.cat([nothing, (~alike).cumsum(0)]) + alike.sum()
    right -= torch.cat([nothing, alike.cumsum(0)])
    between = (ordered[:-1] + ordered[1:]) / 2
    places = torch.cat([ordered[:1] - 1, between, ordered[-1:] + 1])
    # No threshold parts equal logits.
    possible = torch.ones_like(places, dtype=torch.bool)
    possible[1:-1] = ordered[:-1] < ordered[1:]
    best = places[possible & (right == right[possible].max())]
    return float(best[best.abs().argmin()])


def verification_accuracy(logits: Tensor, same: Tensor, threshold: float) -> float:
    """The share of pairs that a threshold judges rightly; a logit that is not a number is wrong.

    Args:
        logits: (N,), from `pair_logits`.
        same: (N,), 1 = both images show the same character.
        threshold: above it a pair is taken for the same.

    Returns:
        In [0, 1].
    """
    right = ((logits.double() > threshold) == same.bool()) & ~logits.isnan()
    return float(right.double().mean())
