"""What a data set looks like: many drawings in one picture."""

import numpy as np
from PIL import Image

from data.drawings import Drawings

GAP = 4  # pixels between drawings


def contact_sheet(drawings: Drawings, alphabets: int, characters: int, drawers: int) -> Image.Image:
    """The first characters of the first alphabets, a row each; the first drawers, a column each."""
    rows = [
        index
        for alphabet in range(min(alphabets, len(drawings.alphabets)))
        for index in (drawings.alphabet_of == alphabet).nonzero().flatten()[:characters].tolist()
    ]
    shown = 255 - drawings.ink[rows][:, :drawers].numpy()
    cells = np.pad(shown, ((0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=200)
    height, width = cells.shape[0] * cells.shape[2], cells.shape[1] * cells.shape[3]
    return Image.fromarray(cells.transpose(0, 2, 1, 3).reshape(height, width))
