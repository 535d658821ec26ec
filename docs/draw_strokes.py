"""Draw the pictures that README classifies: ``python docs/draw_strokes.py``.

Six characters of an alphabet that the program invents, by two drawers that it invents too: those of
the first are the support set in ``drawings/classes``, those of the second the queries in
``drawings/new``.
"""

from pathlib import Path

from PIL import Image

from data.sources.strokes import draw_strokes

SEED = 3
ALPHABET = "evaluation-01"
NAMES = {0: "cross", 2: "slope", 4: "zigzag", 6: "arch", 7: "pair", 8: "tent"}
"""What some of its characters look like."""
FOLDERS = {0: "classes", 3: "new"}
"""By the drawer."""


def main(here: Path = Path(__file__).parent / "drawings") -> None:
    """Write a PNG for each."""
    drawings = draw_strokes(SEED)
    start = drawings.alphabet_of.tolist().index(drawings.alphabets.index(ALPHABET))
    for drawer, folder in FOLDERS.items():
        (here / folder).mkdir(parents=True, exist_ok=True)
        for place, name in NAMES.items():
            ink = drawings.images[int(drawings.first_of[start + place]) + drawer, 0]
            Image.fromarray(255 - ink.numpy()).save(here / folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
