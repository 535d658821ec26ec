"""MNIST's test digits as one-shot tasks: drawings of another kind than a network was trained on."""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from data.chance import seeded
from data.errors import DataError
from data.tasks import OneShotTasks

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
"""The two files of the test digits, each as it is or with ``.gz``."""
PLACES = (".", "MNIST/raw")
"""Where they may be in the data folder; the second is torchvision's layout."""
SIDE = 28
"""Height and width of a digit, in pixels."""
WAY = 10
BYTES = 0x08  # how the format says that its numbers are bytes


@dataclass(frozen=True)
class Digits:
    """Drawn digits.

    Attributes:
        ink: (N, 28, 28) uint8, 255 = full ink, 0 = paper.
        labels: (N,) int64, 0 to 9.
    """

    ink: Tensor
    labels: Tensor


def find(folder: Path) -> tuple[Path, Path] | None:
    """The files of images and labels in ``folder`` or where torchvision puts them, if there."""
    for place in PLACES:
        here = folder / place
        found = [
            next((p for p in (here / name, here / f"{name}.gz") if p.is_file()), None)
            for name in (IMAGES, LABELS)
        ]
        if found[0] and found[1]:
            return found[0], found[1]
    return None


def load_digits(folder: Path) -> Digits:
    """Read the test digits.

    Raises:
        DataError: not there, or a file that is broken or does not fit the other.
    """
    files = find(folder)
    if files is None:
        raise DataError(f"MNIST's test digits are not in {folder}: put {by_hand()}")
    images, labels = _read(files[0], 3), _read(files[1], 1)
    fit = images.shape == (len(labels), SIDE, SIDE) and set(labels.tolist()) == set(range(WAY))
    if not fit:
        raise DataError(
            f"{files[0]} and {files[1].name} are not MNIST's test digits: restore both, or delete "
            "them to have them fetched"
        )
    return Digits(torch.from_numpy(images), torch.from_numpy(labels).long())


def by_hand() -> str:
    """How a message says which files to put where."""
    return f"{IMAGES}.gz and {LABELS}.gz there, or name their folder with --data or HPO_DATA"


def _read(path: Path, axes: int) -> NDArray[np.uint8]:
    """An array of bytes in the IDX format (LeCun et al. 1998): its kind, its shape, its numbers."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        kind, *shape = struct.unpack_from(f">{axes + 1}I", content)
        numbers = np.frombuffer(content, np.uint8, offset=4 * (axes + 1))
        if kind != BYTES << 8 | axes:
            raise ValueError("it is another kind of file")
        return numbers.reshape(shape).copy()
    except (OSError, EOFError, ValueError, zlib.error, struct.error) as error:
        raise DataError(
            f"{path} cannot be read as MNIST's ({error}): restore it, or delete it to have it "
            "fetched"
        ) from error


def draw_digit_tasks(
    digits: Digits, count: int, seed: int, side: int = SIDE, shots: int = 1
) -> OneShotTasks:
    """Draw 10-way tasks: any image of each digit is the support set, another of one the query.

    Every task has a draw of its own. The queries are the same for every number of shots, and the
    support set of fewer shots is part of that of more.

    Args:
        digits: the digits to draw from.
        count: how many tasks.
        seed: equal seeds give equal tasks.
        side: height and width of the tasks' images, in pixels; the paper's is 35.
        shots: images of each digit in a support set.

    Raises:
        DataError: a digit has too few images.
    """
    members = [(digits.labels == digit).nonzero().flatten() for digit in range(WAY)]
    fewest = min(len(m) for m in members)
    if not 1 <= shots < fewest:
        raise DataError(
            f"{shots}-shot tasks cannot be drawn where a digit has {fewest} images: take 1 to "
            f"{fewest - 1} shots"
        )
    generator = seeded(seed)
    support, queries = [], []
    target = torch.randint(WAY, (count, 1), generator=generator)
    for asked in target.flatten().tolist():
        shuffled = [m[torch.randperm(len(m), generator=generator)] for m in members]
        queries.append(shuffled[asked][:1])
        support.append(torch.cat([m[1 : 1 + shots] for m in shuffled]))
    ink = functional.interpolate(
        digits.ink.unsqueeze(1).float(), size=(side, side), mode="bilinear", antialias=True
    )
    ink = ink.round().clamp(0, 255).byte()
    kind = f"{WAY}-way" if shots == 1 else f"{WAY}-way {shots}-shot"
    return OneShotTasks(
        support=ink[torch.stack(support)],
        queries=ink[torch.stack(queries)],
        target=target,
        source=f"{count} tasks of MNIST's test digits, {kind}, seed {seed}",
        shots=shots,
    )
