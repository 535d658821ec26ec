"""The commands of the data: show, check, download."""

from pathlib import Path
from typing import Annotated

import typer

from data.contact_sheet import contact_sheet
from data.errors import DataError
from data.files import writing
from data.sets import SetName
from data.sources import folder as images
from data.sources import omniglot
from data.sources.by_name import open_set
from data.sources.png import SIDE
from data.tasks import find_official_runs
from hpo.cli.options import Data
from hpo.cli.steps import passed_over, say
from hpo.study.paths import data_folder

app = typer.Typer(
    help="Look at, check or fetch the data.", add_completion=False, rich_markup_mode=None
)
Set = Annotated[
    SetName,
    typer.Argument(
        metavar="[SET]", help="omniglot, strokes, or folder: images of your own, with --data."
    ),
]
Colour = Annotated[bool, typer.Option(help="A folder's images in colour, not as ink on paper.")]
COLUMNS = 20  # of a contact sheet, at the most


@app.command()
def show(
    name: Set = "omniglot",
    output: Annotated[Path, typer.Option("--output", "-o", help="A PNG file.")] = Path("sheet.png"),
    data: Data = None,
    alphabets: Annotated[int, typer.Option(min=1)] = 4,
    characters: Annotated[int, typer.Option(min=1, help="Of each alphabet.")] = 5,
    colour: Colour = False,
) -> None:
    """Draw a contact sheet of a data set.

    It has a row for each character, and a column for each drawer, or image of a folder.

    Example: hpo data show strokes -o strokes.png

    Example: hpo data show folder --data photos --colour
    """
    drawings = open_set(name, 0, data_folder(data), SIDE, _channels(name, colour))
    picture = contact_sheet(drawings, alphabets, characters, COLUMNS)
    with writing(output, "give another with -o"):
        picture.save(output, format="PNG")
    say(f"wrote {output}")


@app.command()
def check(
    name: Set = "omniglot",
    data: Data = None,
    colour: Colour = False,
) -> None:
    """Read a data set and say what is there.

    Example: hpo data check --data ~/omniglot

    Example: hpo data check folder --data photos
    """
    folder, channels = data_folder(data), _channels(name, colour)
    if name == "folder":
        _check_images(folder, channels)
        return
    if name == "strokes":
        print("strokes are drawn by the program: there is nothing to check")
        return
    drawings = omniglot.load(folder)
    official = drawings.fingerprint == omniglot.OFFICIAL_FINGERPRINT
    runs = find_official_runs(folder)
    print(f"{folder}: {len(drawings.alphabets)} alphabets, {len(drawings.alphabet_of)} characters")
    kind = "the official ones" if official else "NOT the official ones"
    print(f"images: {drawings.fingerprint}, {kind}")
    print(f"official one-shot runs: {runs or 'not here; evaluation draws its tasks at random'}")


def _channels(name: SetName, colour: bool) -> int:
    if colour and name != "folder":
        raise DataError(f"{name} is drawn in ink alone: leave --colour out")
    return 3 if colour else 1


def _check_images(folder: Path, channels: int) -> None:
    found, drawings = images.find(folder), open_set("folder", 0, folder, channels=channels)
    counts = drawings.count_of.tolist()
    groups = "" if drawings.alphabets == ("",) else f"{len(drawings.alphabets)} groups, "
    print(f"{folder}: {groups}{len(counts)} classes, {sum(counts)} images")
    print(f"images of a class: {min(counts)} to {max(counts)}")
    print(f"images: {drawings.fingerprint}")
    if found.passed_over:
        print(passed_over(found.passed_over))


@app.command()
def download(data: Data = None) -> None:
    """Fetch Omniglot and its one-shot runs.

    They are by Lake et al. 2015, under the MIT licence.

    Example: hpo data download --data ~/omniglot
    """
    folder = data or data_folder(None)
    from data.sources.download import download as fetch  # torchvision takes seconds to import

    fetch(folder)
    print(folder)
