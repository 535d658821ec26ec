"""The batches of an epoch, as the sampling of a recipe asks for them."""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from data.all_pairs import all_pairs_batches, characters_of_batch
from data.drawings import Drawings
from data.pairs import PairBatch, draw_pairs, random_pair_batches
from model.recipe import AllPairs, RandomPairs, Training

PIXELS_AT_ONCE = 2**26
"""Of the batches that a GPU makes together: making them one by one, it waits for the host."""


def batches_of(
    training: Training, drawings: Drawings, generator: torch.Generator
) -> Callable[[int], Iterator[PairBatch]]:
    """What gives the batches of an epoch (from 0)."""
    sampling, at_once = training.sampling, 1
    if generator.device.type == "cuda":
        at_once = max(1, PIXELS_AT_ONCE // (sampling.images * drawings.side**2))
    match sampling:
        case RandomPairs():
            pairs = draw_pairs(drawings, sampling.pairs, sampling.copies, sampling.seed)
            return partial(
                random_pair_batches,
                drawings,
                pairs,
                sampling.batch,
                generator,
                sampling.steps,
                at_once=at_once,
            )
        case AllPairs():
            every = partial(
                all_pairs_batches,
                drawings,
                characters_of_batch(drawings, sampling.characters, sampling.per_alphabet),
                sampling.per_alphabet,
                sampling.steps,
                sampling.distortion_width if sampling.distorted else 0.0,
                sampling.turned,
                generator,
                at_once,
                sampling.alphabet_distortion,
            )
            return lambda epoch: every()
