"""What a training step lowers: the cost of the scores of a batch's pairs."""

import torch
from torch import Tensor
from torch.nn import functional

from model.siamese import SiameseNetwork

SMOOTHING = 0.05
"""Of the labels, in the softmax loss."""


def batch_loss(
    network: SiameseNetwork, embedded: Tensor, same: Tensor | None, softmax: bool
) -> Tensor:
    """The loss of a batch of embeddings, those of the first twins before those of the second.

    Args:
        network: whose score it is.
        embedded: (2N, F).
        same: (N,) 1 = same character, for N pairs; None for all N × N, as in `all_pairs_loss`.
        softmax: as in `all_pairs_loss`.

    Returns:
        () float32.
    """
    first, second = embedded.float().chunk(2)
    if same is None:
        return all_pairs_loss(network.score_all(first, second), softmax)
    return functional.binary_cross_entropy_with_logits(network.score(first, second), same)


def all_pairs_loss(logits: Tensor, softmax: bool) -> Tensor:
    """The loss of N × N logits of which the diagonal alone belongs to same characters.

    Args:
        logits: (N, N).
        softmax: the mean of the cross-entropies over the rows and over the columns, with labels
            smoothed by 0.05; else the binary cross-entropy, with half of the weight on the
            N same pairs and half on the others.

    Returns:
        () the loss.
    """
    count = len(logits)
    if softmax:
        right = torch.arange(count, device=logits.device)
        ways = (logits, logits.T)
        return torch.stack(
            [functional.cross_entropy(z, right, label_smoothing=SMOOTHING) for z in ways]
        ).mean()
    same = torch.eye(count, device=logits.device)
    weight = same * (0.5 / count) + (1 - same) * (0.5 / (count * (count - 1)))
    return functional.binary_cross_entropy_with_logits(logits, same, weight, reduction="sum")
