"""A training step in parts that fit the memory, with the gradient of the whole."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from model.siamese import Encode


def backward(
    encode: Encode,
    images: Tensor,
    loss_of: Callable[[Tensor], Tensor],
    block: int,
    norms: Iterable[nn.Module] = (),
) -> Tensor:
    """Add the gradient of a loss to the weights, ``block`` images in memory at a time.

    Where the images are more than a block, they are embedded once without a graph; the loss gives
    the gradient of every embedding, also where it compares all with all; and each block
    is embedded again to hand its part on (gradient caching, Gao et al. 2021). With batch
    normalisation every block is normalised by itself, which is not what the whole batch gives.

    Args:
        encode: (N, K, S, S) images to (N, F) embeddings.
        images: (N, K, S, S).
        loss_of: all N embeddings to the loss, ().
        block: the most images that are embedded at once with their graph.
        norms: batch normalisations within ``encode``; the first pass leaves what they keep alone.

    Returns:
        () the loss, without its graph.
    """
    if len(images) <= block:
        loss = loss_of(encode(images))
        loss.backward()
        return loss.detach()
    with torch.no_grad(), _keeping_nothing(norms):
        embedded = torch.cat([encode(part) for part in images.split(block)])
    embedded.requires_grad_()
    loss = loss_of(embedded)
    loss.backward()
    assert embedded.grad is not None
    for part, gradient in zip(images.split(block), embedded.grad.split(block), strict=True):
        encode(part).backward(gradient)
    return loss.detach()


@contextmanager
def _keeping_nothing(norms: Iterable[nn.Module]) -> Iterator[None]:
    """Let batch normalisations use the statistics of a batch without adding them to their own."""
    tracking = [norm for norm in norms if isinstance(norm, nn.BatchNorm1d)]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
