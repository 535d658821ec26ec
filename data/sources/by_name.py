"""The data sets by name."""

from pathlib import Path

from data.drawings import Drawings
from data.errors import DataError
from data.sets import SetName, packed_folder
from data.sources import folder as images
from data.sources import omniglot
from data.sources.png import SIDE
from data.sources.strokes import load_strokes


def open_set(
    name: SetName, seed: int, folder: Path, side: int = SIDE, channels: int = 1
) -> Drawings:
    """Load or make a data set; Omniglot is downloaded where it is absent.

    Args:
        name: which.
        seed: of the strokes.
        folder: where Omniglot is, or is downloaded to; or that of the images.
        side: height and width that the images of a folder are read at, in pixels.
        channels: 1 or 3, of a folder's images; the others have one.

    Raises:
        DataError: the data is broken or has other channels, or is absent and cannot be fetched.
    """
    if name == "folder":
        return images.load(folder, side, channels, packed_folder())
    if channels != 1:
        raise DataError(f"{name} is drawn in ink alone: leave network.channels out")
    if name == "strokes":
        return load_strokes(seed, packed_folder())
    if omniglot.find(folder) is None:
        from data.sources.download import download  # torchvision takes seconds to import

        download(folder)
    return omniglot.load(folder)
