"""How often a network is right: on one-shot tasks, on which, and how much may be chance."""

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, stdtrit
from torch import Tensor

from data.drawings import as_input
from data.tasks import OneShotTasks

BLOCK = 256
"""Images that are embedded at once."""
Z_95 = 1.959964
"""Standard deviations to either side that hold 95 % of a normal distribution."""


def correct_share(scores: Tensor, target: Tensor) -> Tensor:
    """How right each prediction is: 1 or 0, or 1/n where the true class ties with n at the top.

    A network that answers the same everywhere so scores what chance does. A score that is not
    a number is wrong.

    Args:
        scores: (…, W), the higher the likelier.
        target: (…) int64, the place of the true class.

    Returns:
        (…) float32 in [0, 1].
    """
    top = scores == scores.amax(dim=-1, keepdim=True)
    hit = top.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return hit / top.sum(dim=-1).clamp(min=1)


def one_shot_scores(
    tasks: OneShotTasks,
    encode: Callable[[Tensor], Tensor],
    score_all: Callable[[Tensor, Tensor], Tensor],
    block: int = BLOCK,
) -> Tensor:
    """How like each class of its support set every query is; every image is embedded once.

    The score of a class with several images is the mean of their scores.

    Args:
        tasks: on the device of the network.
        encode: (N, K, S, S) images to (N, F) embeddings.
        score_all: (R, Q, F) queries and (R, W·K, F) support to (R, Q, W·K) scores.
        block: the most images to embed at once, if that is fewer than 256.

    Returns:
        (R, Q, W), the higher the likelier, still on the device.
    """
    draws, shown = tasks.support.shape[:2]
    per_draw = tasks.queries.shape[1]
    images = torch.cat([tasks.support.flatten(0, 1), tasks.queries.flatten(0, 1)])
    embedded = torch.cat([encode(as_input(block)) for block in images.split(min(block, BLOCK))])
    support = embedded[: draws * shown].view(draws, shown, -1)
    queries = embedded[draws * shown :].view(draws, per_draw, -1)
    return _of_classes(score_all(queries, support), tasks)


def _of_classes(scores: Tensor, tasks: OneShotTasks) -> Tensor:
    """Scores of the W·K images of a support set, (…, W·K), as those of its classes, (…, W)."""
    return scores if tasks.shots == 1 else scores.unflatten(-1, (tasks.way, -1)).mean(dim=-1)


def error_of(shares: Tensor) -> Tensor:
    """The share of tasks that are answered wrongly.

    Args:
        shares: how right each answer is, in [0, 1].

    Returns:
        () float64 in [0, 1], on the same device.
    """
    return (1 - shares.double()).mean()


def right_by_pixels(tasks: OneShotTasks) -> Tensor:
    """(R, Q): how right one nearest neighbour by Euclidean distance of raw pixels is."""
    scores = one_shot_scores(
        tasks, lambda images: images.flatten(1), lambda q, s: -torch.cdist(q, s)
    )
    return correct_share(scores, tasks.target)


def right_by_distance(tasks: OneShotTasks, distances: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(R, Q): how right one nearest neighbour by a distance of pictures is; a tie counts its share.

    Args:
        tasks: of drawings, which have one channel.
        distances: (Q, S, S) queries and (M, S, S) support images, uint8 ink, to (Q, M).
    """
    pairs = zip(tasks.queries.squeeze(2), tasks.support.squeeze(2), strict=True)
    scores = -torch.stack([distances(queries, support) for queries, support in pairs])
    return correct_share(_of_classes(scores, tasks), tasks.target)


def wilson_interval(accuracy: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share seen in ``count`` tasks (Wilson 1927)."""
    spread = Z_95**2 / count
    centre = (accuracy + spread / 2) / (1 + spread)
    half = Z_95 * math.sqrt(accuracy * (1 - accuracy) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def interval_over_draws(right: NDArray[np.floating]) -> tuple[float, float]:
    """The 95 % interval of the accuracy on tasks like these, from how it varies between draws.

    The tasks of a draw share their alphabet, drawers and support set, so the accuracies of draws
    differ by more than those of independent tasks would. It is Student's interval over the draws,
    on the scale of log-odds, which keeps it in [0, 1]; and never narrower than Wilson's over the
    tasks, which stands alone where there is one draw, or all answers are right or all wrong.

    Args:
        right: (R, Q) in [0, 1], how right the answers of R draws are.
    """
    mean, draws = float(right.mean()), len(right)
    low, high = wilson_interval(mean, right.size)
    if draws < 2 or not 0 < mean < 1:
        return low, high
    error = float(right.mean(axis=1).std(ddof=1)) / math.sqrt(draws)
    half = float(stdtrit(draws - 1, 0.975)) * error / (mean * (1 - mean))
    odds = math.log(mean / (1 - mean))
    return min(low, float(expit(odds - half))), max(high, float(expit(odds + half)))


def pack(right: NDArray[np.bool_]) -> str:
    """The bits as base64: 54 characters for 320 tasks.

    Args:
        right: (N,) bool, by task.
    """
    return base64.b64encode(np.packbits(right).tobytes()).decode().rstrip("=")


def unpack(text: str, count: int) -> NDArray[np.bool_]:
    """What was packed.

    Args:
        text: from `pack`.
        count: how many tasks there were.

    Returns:
        (N,) bool, by task.
    """
    kept = base64.b64decode(text + "=" * (-len(text) % 4))
    return np.unpackbits(np.frombuffer(kept, np.uint8), count=count).astype(np.bool_)


@dataclass(frozen=True)
class Score:
    """An accuracy with all that is needed to compare it."""

    name: str
    accuracy: float
    """In [0, 1]."""
    tasks: int
    interval: tuple[float, float]
    """95 %, from `interval_over_draws`."""
    source: str
    """Which tasks; scores on two sources are not comparable."""
    shots: int = 1
    """Support images of each class."""


def score(name: str, right: Tensor, tasks: OneShotTasks) -> Score:
    """A score from how right each answer to these tasks is, (R, Q) in [0, 1]."""
    interval = interval_over_draws(right.double().cpu().numpy())
    accuracy = 1 - float(error_of(right))
    return Score(name, accuracy, len(tasks), interval, tasks.source, tasks.shots)
