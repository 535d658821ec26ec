"""A drawing is where its image is dark."""

import io

import numpy as np
import pytest
from PIL import Image

from data.errors import DataError
from data.sources.png import AGAIN, SIDE, read_drawing


def as_file(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind)
    return file.getvalue()


def test_ink_is_what_is_darker_than_half() -> None:
    grey = np.full((SIDE, SIDE), 255, np.uint8)
    grey[3, :4] = (0, 127, 128, 255)
    ink = read_drawing(as_file(Image.fromarray(grey)), "one")
    assert ink.shape == (SIDE, SIDE)
    assert ink.dtype == bool
    assert np.argwhere(ink).tolist() == [[3, 0], [3, 1]]
    assert np.array_equal(read_drawing(as_file(Image.fromarray(grey).convert("RGB")), "one"), ink)


@pytest.mark.parametrize(("width", "height"), [(20, 30), (105, 104), (106, 105)])
def test_another_size_is_named(width: int, height: int) -> None:
    told = f"^a/b is {width}×{height} pixels where Omniglot has 105×105: {AGAIN}"
    with pytest.raises(DataError, match=told):
        read_drawing(as_file(Image.new("L", (width, height))), "a/b")


def test_what_is_no_image_is_named() -> None:
    whole = as_file(Image.new("L", (SIDE, SIDE)))
    other = as_file(Image.new("L", (SIDE, SIDE)), "EPS")  # which Pillow would hand to Ghostscript
    for broken in (b"", b"no image", whole[:-30], other):
        with pytest.raises(DataError, match=r"^a/b is not a readable image \(.*\): replace it"):
            read_drawing(broken, "a/b")
