"""Reading one drawing from a PNG file."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import DataError

SIDE = 105
"""Height and width of an Omniglot image, in pixels."""
AGAIN = "replace it, or fetch the data again with `hpo data download`"


def read_drawing(content: bytes, where: str) -> NDArray[np.bool_]:
    """Decode a 105×105 image, black ink on white paper.

    Args:
        content: the bytes of the file.
        where: the file's name, for the message.

    Returns:
        (105, 105) bool, True = ink.

    Raises:
        DataError: not an image, or of another size.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.size != (SIDE, SIDE):
                width, height = image.size
                wrong = f"is {width}×{height} pixels where Omniglot has {SIDE}×{SIDE}"
                raise DataError(f"{where} {wrong}: {AGAIN}")
            grey = np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where} is not a readable image ({error}): {AGAIN}") from error
    return grey < 128
