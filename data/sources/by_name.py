"""The data sets by name."""

from pathlib import Path
from typing import Literal

from data.drawings import Drawings
from data.sources import omniglot
from data.sources.strokes import load_strokes

SetName = Literal["omniglot", "strokes"]


def open_set(name: SetName, seed: int, folder: Path) -> Drawings:
    """Load or make a data set; Omniglot is downloaded where it is absent.

    Args:
        name: which.
        seed: of the strokes.
        folder: where Omniglot is, or is downloaded to.

    Raises:
        DataError: Omniglot is broken, or absent and cannot be fetched.
    """
    if name == "strokes":
        return load_strokes(seed, omniglot.packed_folder())
    if omniglot.find(folder) is None:
        from data.sources.download import download  # torchvision takes seconds to import

        download(folder)
    return omniglot.load(folder)
