"""A picture of one thing, from any camera, scanner or program, as the networks see it.

Of a drawing they see what Omniglot has: thin ink on clean paper, the character with some margin,
one to an image. A picture is brought as near to that as can be done without guessing at its
content: it is neither cropped nor straightened, so leave a margin, and light the paper evenly.
"""

import struct
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from data.errors import DataError
from data.files import check_file

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is read at all: Pillow would hand some others to outside programs."""
SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
MOST_PIXELS = 64_000_000
"""More is refused before it is unpacked: a small file can claim to be a huge picture."""
WORKING = 1024  # pixels of the longer side, beyond which there is nothing but grain
BORDER = 0.04  # of the shorter side: a frame so wide is taken for paper
FAINTEST = 0.08  # of black to white: less contrast than this is the grain of blank paper
PAPER, INK = 0.25, 0.75
"""Shares of the contrast up to which all is paper, and from which all is ink."""
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises over files that are cut short or forged."""


def read_photo(
    picture: Path | Image.Image, side: int, channels: int = 1, name: str | None = None
) -> Tensor:
    """Read a picture of any size, shape and colour.

    It is turned upright as its camera noted, laid on white where it is transparent, and padded to a
    square; each pixel of the result is the mean of its area. With three channels its colours stay,
    and the padding is the median of its border.

    With one channel it is the drawing of a character: it is made grey, the paper is the median of
    its border, and the ink whatever differs from that the most, darker or lighter. The contrast is
    stretched so that paper is 0 and ink is full; the padding is paper. A drawing of Omniglot comes
    out as the training's own `Drawings.resized` makes it.

    Args:
        picture: the path of a file, of which the first picture counts if it is an animation or a
            stack; or a picture that is open already, which stays as it is.
        side: height and width that are wanted, in pixels.
        channels: 1 or 3.
        name: what an error calls it; left out, the path.

    Returns:
        (channels, side, side) uint8, as `Drawings` has it.

    Raises:
        DataError: no such file, no picture, one that is too large, or a drawing that is blank.
    """
    called = name or str(picture)
    if channels == 1:
        pixels, around = _ink(_brightness(picture, called), called)[None] * 255, np.zeros(1)
    else:
        upright = _upright(picture, called, _on_white)
        pixels = np.asarray(upright, dtype=np.float32).transpose(2, 0, 1)
        around = np.median(pixels[:, _border(pixels.shape[1:])], axis=1)
    _, height, width = pixels.shape
    longest = max(height, width)
    above, before = (longest - height) // 2, (longest - width) // 2
    square = np.empty((channels, longest, longest), np.float32)
    square[:] = around[:, None, None]
    square[:, above : above + height, before : before + width] = pixels
    whole = torch.from_numpy(square)[None]
    return functional.interpolate(whole, size=(side, side), mode="area")[0].round().byte()


def _brightness(picture: Path | Image.Image, name: str) -> NDArray[np.float32]:
    """(H, W) in [0, 1], white = 1, upright, its longer side at most `WORKING`."""
    grey = _upright(picture, name, lambda i: _deep(i) if _is_deep(i) else _on_white(i).convert("L"))
    return np.asarray(grey, dtype=np.float32) / np.float32(1 if _is_deep(grey) else 255)


def _upright(
    picture: Path | Image.Image, name: str, converted: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """The picture upright and converted, its longer side at most `WORKING`."""
    try:
        # Pillow warns of its own limits; this one is checked here.
        with warnings.catch_warnings(action="ignore"), _opened(picture) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise DataError(
                    f"{name} has {width}×{height} pixels: give it with fewer than "
                    f"{MOST_PIXELS // 1_000_000} million"
                )
            upright = converted(ImageOps.exif_transpose(image))
        factor = -(-max(width, height) // WORKING)
        return upright.reduce(factor) if factor > 1 else upright
    except FileNotFoundError as error:
        raise DataError(f"there is no image {name}: check the path") from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name} is not a readable image: give one of {', '.join(FORMATS)}"
        ) from error
    except BROKEN as error:
        raise DataError(
            f"{name} is not a readable image ({error}): give another, or save it again as PNG"
        ) from error


def _opened(picture: Path | Image.Image) -> AbstractContextManager[Image.Image]:
    """The picture, of which a file is closed again."""
    if isinstance(picture, Image.Image):
        return nullcontext(picture)
    if picture.is_dir():
        raise DataError(f"{picture} is a folder: name the images in it, as in {picture}/*.png")
    check_file(picture)
    return Image.open(picture, formats=FORMATS)


def _on_white(image: Image.Image) -> Image.Image:
    """Its colours, 8 bits each, on white where it is transparent."""
    if _is_deep(image):
        image = Image.fromarray((np.asarray(_deep(image)) * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    """Whether it is grey of more than 8 bits."""
    return image.mode.startswith(("I", "F"))


def _deep(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, in [0, 1]: which number is white is not known, so the largest is.

    Raises:
        ValueError: a pixel is no number.
    """
    pixels = np.asarray(image, dtype=np.float32).clip(min=0)
    if not np.isfinite(pixels).all():
        raise ValueError("a pixel is no number")
    return Image.fromarray(pixels / max(float(pixels.max()), 1e-12))


def _ink(brightness: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """(H, W) in [0, 1], ink = 1, from the brightness of paper and ink."""
    paper = float(np.median(brightness[_border(brightness.shape)]))
    darker = paper - float(brightness.min()) >= float(brightness.max()) - paper
    contrast = paper - brightness if darker else brightness - paper
    strongest = float(contrast.max())
    if strongest < FAINTEST:
        raise DataError(f"{name} is blank: give a picture with dark ink on light paper")
    # Not the strongest pixel itself, which may be a speck: the middle one of all that is ink.
    full = float(np.median(contrast[contrast > strongest / 2]))
    stretched: NDArray[np.float32] = ((contrast / full - PAPER) / (INK - PAPER)).clip(0, 1)
    return stretched


def _border(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W), where a picture of this shape has its border."""
    frame = max(1, round(BORDER * min(shape)))
    edge = np.ones(shape, np.bool_)
    edge[frame:-frame, frame:-frame] = False
    return edge
