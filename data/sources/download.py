"""Fetching Omniglot with its official one-shot runs, and MNIST, over the network.

Omniglot is under the MIT licence, © 2015 Brenden Lake.
"""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from zipfile import is_zipfile

from torchvision.datasets import MNIST, Omniglot
from torchvision.datasets.utils import download_url

from data.errors import DataError
from data.sources.mnist import IMAGES, LABELS, by_hand
from data.sources.omniglot import PARTS

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
    for part in PARTS:
        _fetch(f"{Omniglot.download_url_prefix}/{part}.zip", folder, Omniglot.zips_md5[part])
    try:
        _fetch(RUNS_URL, folder)
    except DataError as error:
        logger.info("without the official one-shot runs (%s)", error)


def _fetch(url: str, folder: Path, md5: str | None = None) -> None:
    name = url.rpartition("/")[2]
    if (folder / name).exists() or (folder / name.removesuffix(".zip")).is_dir():
        return
    logger.info("fetching %s (MIT licence, Lake et al. 2015)", url)
    try:
        _save(url, folder, md5, is_zipfile)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} could not be fetched into {folder} ({error}): with no network, put "
            "images_background.zip and images_evaluation.zip of Omniglot there by hand, or name "
            "their folder with --data or HPO_DATA"
        ) from error


def download_mnist(folder: Path) -> None:
    """Fetch MNIST's test digits into ``folder``; keep what is there.

    Args:
        folder: made if it is absent.

    Raises:
        DataError: no mirror answers, or the folder cannot be written.
    """
    digests = dict(MNIST.resources)
    for name in (f"{IMAGES}.gz", f"{LABELS}.gz"):
        failures: list[str] = []
        for mirror in () if (folder / name).exists() else MNIST.mirrors:
            logger.info("fetching %s%s (MNIST, LeCun et al. 1998)", mirror, name)
            try:
                _save(f"{mirror}{name}", folder, digests[name])
                break
            except (OSError, RuntimeError) as error:
                failures.append(str(error))
        else:
            if failures:
                raise DataError(
                    f"MNIST's test digits could not be fetched into {folder} ({failures[0]}): "
                    f"with no network, put {by_hand()}"
                )


def _save(
    url: str, folder: Path, md5: str | None, is_whole: Callable[[Path], bool] | None = None
) -> None:
    """Fetch a file into a folder in one move.

    Raises:
        OSError: no network, or the folder cannot be written.
        RuntimeError: what came is not what was asked for.
    """
    name = url.rpartition("/")[2]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    partial = f"{name}.{os.getpid()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        download_url(url, str(folder), partial, md5)
        if is_whole and not is_whole(folder / partial):
            raise RuntimeError("what came is no zip")
        (folder / partial).replace(folder / name)
    finally:
        socket.setdefaulttimeout(before)
        if folder.is_dir():
            (folder / partial).unlink(missing_ok=True)
