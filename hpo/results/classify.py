"""Which class a picture belongs to, from one or a few pictures of each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.drawings import as_input
from data.errors import DataError
from data.sources.folder import is_image, visible
from data.sources.photo import read_photo
from model.checkpoint import Checkpoint
from model.fast.device import resolve_precision
from model.fast.encoder import answering_encoder
from model.scoring import BLOCK

FEWEST = 2
"""Classes that a choice is between."""


@dataclass(frozen=True)
class Guess:
    """A class, and how well a query goes with it."""

    name: str
    score: float
    """Mean logit of "same character" over the images of the class."""
    probability: float
    """Softmax of the scores over the classes; see `classify`."""


@dataclass(frozen=True)
class SupportSet:
    """Classes by name, one image or several of each.

    Attributes:
        images: of each class, in the order of the names.
        passed_over: files of the folder that are no images by their names.
    """

    images: Mapping[str, tuple[Path, ...]]
    passed_over: tuple[Path, ...]


def find_support(folder: Path) -> SupportSet:
    """The support set of a folder.

    It holds either one subfolder for each class, or the images themselves, each a class named by
    its file without the suffix (two that differ in the suffix alone are of one class). Hidden
    files and folders are left out, and so are, but told of, files whose suffix is no image's.

    Raises:
        DataError: no folder, fewer than two classes, a class without images, or both forms at once.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}: name one with a subfolder of images for each class"
        )
    entries = visible(folder)
    inside = {path: visible(path) for path in entries if path.is_dir()}
    loose = [path for path in entries if path not in inside]
    images: dict[str, tuple[Path, ...]] = {}
    for path in filter(is_image, loose):
        images[path.stem] = (*images.get(path.stem, ()), path)
    if images and inside:
        raise DataError(
            f"{folder} holds both images and subfolders: give it one form, a subfolder or an "
            "image for each class"
        )
    for place, files in inside.items():
        images[place.name] = tuple(filter(is_image, files))
        if not images[place.name]:
            raise DataError(f"the class {place} has no image: add one, or remove the folder")
    if len(images) < FEWEST:
        raise DataError(
            f"{folder} has {len(images)} {'class' if len(images) == 1 else 'classes'} where a "
            f"choice needs {FEWEST}: add a subfolder or an image for each"
        )
    every = [*loose, *(file for files in inside.values() for file in files)]
    return SupportSet(images, tuple(path for path in every if not is_image(path)))


def check_queries(queries: Sequence[Path]) -> None:
    """Find out, before any work, whether the queries are there.

    Raises:
        DataError: none is named, or one is not there.
    """
    if not queries:
        raise DataError("there is no image to classify: name one or more with --query")
    for path in queries:
        if not path.exists():
            raise DataError(f"there is no image {path}: check the path")


def classify(
    checkpoint: Checkpoint, support: SupportSet, queries: Sequence[Path], device: torch.device
) -> list[list[Guess] | DataError]:
    """All classes for each query, the likeliest first; or why a query cannot be read.

    A class's score is the mean, over its images, of the network's logit that query and image
    show the same character. The probabilities are the softmax of these scores over the classes
    at hand: they add up to 1 even for a query of none of them. They rank, and are not
    calibrated: no 90 % here promises nine right out of ten.

    Args:
        checkpoint: its network on ``device``.
        support: the classes.
        queries: the images.
        device: where to compute.

    Raises:
        DataError: an image of the support set cannot be read, or is blank.
    """
    side = checkpoint.configuration.network.image_size
    channels = checkpoint.configuration.network.channels

    def read(path: Path) -> Tensor | DataError:
        try:
            return read_photo(path, side, channels)
        except DataError as error:
            return error

    photos = [read(path) for path in queries]
    readable = [photo for photo in photos if isinstance(photo, Tensor)]
    images = {
        name: torch.stack([read_photo(path, side, channels) for path in paths])
        for name, paths in support.images.items()
    }
    if not readable:
        return [photo for photo in photos if isinstance(photo, DataError)]
    guesses = iter(rank(checkpoint, images, torch.stack(readable), device))
    return [photo if isinstance(photo, DataError) else next(guesses) for photo in photos]


def rank(
    checkpoint: Checkpoint, support: Mapping[str, Tensor], queries: Tensor, device: torch.device
) -> list[list[Guess]]:
    """All classes for each query, the likeliest first, as `classify` has them.

    Args:
        checkpoint: its network on ``device``.
        support: of each class (M, K, S, S) uint8 images as `Drawings` has them, at the network's
            size; one class at least.
        queries: (N, K, S, S) uint8, likewise.
        device: where to compute.
    """
    shown = embed(checkpoint, torch.cat(list(support.values())), device)
    asked = embed(checkpoint, queries, device)
    with torch.inference_mode():
        logits = checkpoint.network.score_all(asked, shown).double().cpu()
    shots = [len(images) for images in support.values()]
    scores = torch.stack([part.mean(dim=1) for part in logits.split(shots, dim=1)], dim=1)
    probabilities = scores.softmax(dim=1)
    return [
        sorted(map(Guess, support, *rows), key=lambda guess: -guess.probability)
        for rows in zip(scores.tolist(), probabilities.tolist(), strict=True)
    ]


def embed(checkpoint: Checkpoint, images: Tensor, device: torch.device) -> Tensor:
    """Embed images, in the precision that the configuration names.

    Args:
        checkpoint: its network on ``device``.
        images: (N, K, S, S) uint8 as `Drawings` has them, at the network's size; one at least.
        device: where to compute.

    Returns:
        (N, F) float32 in [0, 1], on ``device``; (N, 8·F) of a network that answers in eight views.
    """
    precision = resolve_precision(checkpoint.configuration.training.precision, device)
    encode = answering_encoder(checkpoint.network, precision)
    with torch.inference_mode():
        blocks = images.to(device).split(BLOCK)
        return torch.cat([encode(as_input(block)) for block in blocks]).float()
