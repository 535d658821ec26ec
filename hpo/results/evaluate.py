"""The final score: one-shot tasks of characters that no search and no training ever saw."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from data.sources import mnist
from data.sources.by_name import open_set
from data.sources.png import SIDE
from data.tasks import OneShotTasks, draw_tasks, find_official_runs, load_official_runs
from model.architecture import Channels
from model.checkpoint import Checkpoint
from model.configuration import DataChoice
from model.fast.device import resolve_precision
from model.fast.encoder import answering_encoder
from model.inputs import split_as
from model.scoring import Score, correct_share, one_shot_scores, score

COUNT = 400  # tasks, as in Koch et al. 2015, §4.3
SEED = 0  # of the random draws


def evaluation_tasks(
    choice: DataChoice,
    folder: Path,
    runs: Path | None,
    shots: Sequence[int] = (1,),
    side: int = SIDE,
    channels: Channels = 1,
    wanted: Sequence[int] | None = None,
) -> list[OneShotTasks]:
    """The tasks to score on: the given runs, else the official ones at hand, else random draws.

    Official runs have one image of each class. Where other shots are asked for, all are random
    draws, with the same queries. The drawers that the split keeps for the evaluation come first;
    from the fourth image of a class on, they are by the alphabet's other drawers, whom no network
    has seen either: it trains on other alphabets.

    Args:
        choice: the data set.
        folder: where it is, and where the official runs may be beside it.
        runs: official-format runs that were asked for, with one shot.
        shots: images of each class in a support set, for each of the results.
        side, channels: that a folder's images are read at.
        wanted: numbers of tasks to draw at random, each for every number of shots; rounded down
            to whole draws. Left out, the official runs at hand, or 400.

    Raises:
        DataError: runs or data that cannot be read, or more shots than there are images.
    """
    if tuple(shots) == (1,) and not wanted:
        path = runs or (find_official_runs(folder) if choice.set == "omniglot" else None)
        if path:
            return [load_official_runs(path)]
    drawings = open_set(choice.set, choice.seed, folder, side, channels)
    kept = split_as(choice, drawings).evaluation
    askers = len(kept.drawers)
    counts = [choice.whole_draws(count) for count in wanted or (COUNT,)]
    if askers:
        others = [drawer for drawer in drawings.drawers if drawer not in kept.drawers]
        kept = drawings.select(kept.alphabets, [*kept.drawers, *others])
    return [draw_tasks(kept, n, SEED, choice.way, k, askers) for n in counts for k in shots]


def mnist_tasks(
    folder: Path, side: int, shots: Sequence[int] = (1,), wanted: Sequence[int] | None = None
) -> list[OneShotTasks]:
    """10-way tasks of MNIST's test digits, fetched where they are absent (Koch et al. 2015, §4.4).

    Args:
        folder: the data folder.
        side: height and width of the images, in pixels.
        shots: images of each digit in a support set, for each of the results.
        wanted: numbers of tasks, each for every number of shots; left out, 400.

    Raises:
        DataError: more shots than there are images of a digit, or the digits are broken, or absent
            and cannot be fetched.
    """
    if mnist.find(folder) is None:
        from data.sources.download import download_mnist  # torchvision takes seconds to import

        download_mnist(folder)
    digits = mnist.load_digits(folder)
    counts = wanted or (COUNT,)
    return [mnist.draw_digit_tasks(digits, n, SEED, side, k) for n in counts for k in shots]


def class_scores(checkpoint: Checkpoint, tasks: OneShotTasks, device: torch.device) -> Tensor:
    """(R, Q, W) float32 on the CPU: how like each class of its support set every query is.

    The tasks may be of any image size, of images as the network takes them.
    """
    configuration = checkpoint.configuration
    precision = resolve_precision(configuration.training.precision, device)
    sized = tasks.resized(configuration.network.image_size).to(device)
    with torch.inference_mode():
        encode = answering_encoder(checkpoint.network, precision)
        return one_shot_scores(sized, encode, checkpoint.network.score_all).float().cpu()


def together(scores: Sequence[Tensor]) -> Tensor:
    """The scores of several networks as one: their logarithms of probabilities, added.

    A network's probabilities are the softmax of its scores over the classes of the support set.

    Args:
        scores: (R, Q, W) of each network, from `class_scores`.

    Returns:
        (R, Q, W).
    """
    return torch.stack([one.log_softmax(dim=-1) for one in scores]).sum(dim=0)


def evaluate_scores(name: str, scores: Tensor, tasks: OneShotTasks) -> Score:
    """What answers by such scores, (R, Q, W), come to."""
    return score(name, correct_share(scores, tasks.target), tasks)
