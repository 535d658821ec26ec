"""What a data set looks like: many images in one picture."""

import numpy as np
from PIL import Image
from torch import Tensor

from data.drawings import Drawings

GAP = 4  # pixels between images
GREY = (200, 200, 200)  # of the gaps


def as_picture(image: Tensor) -> Image.Image:
    """A (K, S, S) uint8 image as a person sees it: one channel is ink on white paper."""
    pixels = image.cpu().numpy()
    return Image.fromarray(255 - pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))


def contact_sheet(drawings: Drawings, alphabets: int, characters: int, columns: int) -> Image.Image:
    """The first characters of the first alphabets, a row each, with their first images."""
    rows = [
        index
        for alphabet in range(min(alphabets, len(drawings.alphabets)))
        for index in (drawings.alphabet_of == alphabet).nonzero().flatten()[:characters].tolist()
    ]
    starts, counts = drawings.first_of[rows].tolist(), drawings.count_of[rows].tolist()
    pitch = drawings.side + GAP
    sheet = Image.new("RGB", (min(columns, max(counts)) * pitch, len(rows) * pitch), GREY)
    for row, (start, count) in enumerate(zip(starts, counts, strict=True)):
        for column in range(min(columns, count)):
            picture = as_picture(drawings.images[start + column])
            sheet.paste(picture, (column * pitch, row * pitch))
    return sheet
