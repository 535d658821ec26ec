"""Fetching Omniglot with its official one-shot runs, and MNIST, over the network.

Omniglot is under the MIT licence, © 2015 Brenden Lake.
"""

import logging
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from zipfile import is_zipfile

from data.errors import DataError, first_line
from data.sources.mnist import IMAGES, LABELS, by_hand
from data.sources.omniglot import PARTS

try:
    from torchvision.datasets import MNIST, Omniglot
    from torchvision.datasets.utils import download_url
except (ImportError, RuntimeError, OSError) as error:  # one that was built for another PyTorch
    raise DataError(
        f"a download needs torchvision, which does not work here ({first_line(error)}): install "
        "the one that belongs to this PyTorch, or put the files there by hand"
    ) from error

RUNS_URL = (
    "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
    "one-shot-classification/all_runs.zip"
)
TIMEOUT = 30.0  # seconds without an answer

logger = logging.getLogger(__name__)


def download(folder: Path) -> None:
    """Fetch the two official parts and the 20 one-shot runs into ``folder``; keep what is there.

    Args:
        folder: made if it is absent.

    Raises:
        DataError: no network, or the folder cannot be written. The runs alone are not an error.
    """
    licence = "MIT licence, Lake et al. 2015"
    zips = (
        "images_background.zip and images_evaluation.zip of Omniglot there by hand, or name their "
        "folder with --data or HPO_DATA"
    )
    for part in PARTS:
        mirror, md5 = f"{Omniglot.download_url_prefix}/", Omniglot.zips_md5[part]
        _fetch(f"{part}.zip", [mirror], folder, md5, licence, zips)
    mirror, slash, name = RUNS_URL.rpartition("/")
    try:
        _fetch(name, [mirror + slash], folder, None, licence, zips)
    except DataError as error:
        logger.info("without the official one-shot runs (%s)", error)


def download_mnist(folder: Path) -> None:
    """Fetch MNIST's test digits into ``folder``; keep what is there.

    Args:
        folder: made if it is absent.

    Raises:
        DataError: no mirror answers, or the folder cannot be written.
    """
    digests = dict(MNIST.resources)
    for name in (f"{IMAGES}.gz", f"{LABELS}.gz"):
        licence = "MNIST, LeCun et al. 1998"
        _fetch(name, MNIST.mirrors, folder, digests[name], licence, by_hand())


def _fetch(
    name: str, mirrors: Iterable[str], folder: Path, md5: str | None, licence: str, hand: str
) -> None:
    """Fetch a file from the first mirror that has it, unless it is there, or extracted."""
    if (folder / name).exists() or (folder / name.removesuffix(".zip")).is_dir():
        return
    failures: list[Exception] = []
    for mirror in mirrors:
        logger.info("fetching %s%s (%s)", mirror, name, licence)
        try:
            _save(mirror, name, folder, md5)
            return
        except (OSError, RuntimeError) as error:
            failures.append(error)
    raise DataError(
        f"{name} could not be fetched into {folder} ({failures[0]}): with no network, put {hand}"
    ) from failures[0]


def _save(mirror: str, name: str, folder: Path, md5: str | None) -> None:
    """Fetch a file into a folder in one move.

    Raises:
        OSError: no network, or the folder cannot be written.
        RuntimeError: what came is not what was asked for.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    partial = f"{name}.{os.getpid()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        download_url(f"{mirror}{name}", str(folder), partial, md5)
        if name.endswith(".zip") and not is_zipfile(folder / partial):
            raise RuntimeError("what came is no zip")
        (folder / partial).replace(folder / name)
    finally:
        socket.setdefaulttimeout(before)
        if folder.is_dir():
            (folder / partial).unlink(missing_ok=True)
