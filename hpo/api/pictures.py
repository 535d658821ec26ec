"""Pictures as a script has them, to images as a network takes them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.errors import DataError
from data.sources.photo import read_photo
from model.architecture import Architecture

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
"""The path of an image, a Pillow image, or an array: (H, W) grey or (H, W, 3) RGB, uint8."""


def read_pictures(pictures: Iterable[Picture], network: Architecture, of: str = "") -> Tensor:
    """The pictures at a network's size, as `read_photo` reads a file.

    Args:
        pictures: of any sizes; an (N, H, W) or (N, H, W, 3) uint8 array is N of them.
        network: what takes them.
        of: whose they are, for an error.

    Returns:
        (N, K, S, S) uint8, as `data.drawings.Drawings` has them.

    Raises:
        DataError: there is none, or one of them is something else, unreadable or blank.
    """
    if isinstance(pictures, str | os.PathLike | Image.Image):
        raise DataError(f"one image stands where several are expected{of}: put it in a list")
    images = [
        _read(picture, f"image {number}{of}", network) for number, picture in enumerate(pictures)
    ]
    if not images:
        raise DataError(f"there is no image{of}: give one or more")
    return torch.stack(images)


def _read(picture: Picture, name: str, network: Architecture) -> Tensor:
    if isinstance(picture, str | os.PathLike):
        return read_photo(Path(picture), network.image_size, network.channels)
    if not isinstance(picture, Image.Image):
        picture = _from_array(np.asarray(picture), name)
    return read_photo(picture, network.image_size, network.channels, name)


def _from_array(pixels: NDArray[np.uint8], name: str) -> Image.Image:
    grey, colour = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[-1] == 3
    if pixels.dtype != np.uint8 or not (grey or colour) or pixels.size == 0:
        raise DataError(
            f"{name} is an array of {pixels.dtype}, {pixels.shape}: give uint8, (H, W) or (H, W, 3)"
        )
    return Image.fromarray(pixels)
