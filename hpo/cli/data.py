"""The commands of the data: show, check, download."""

from pathlib import Path
from typing import Annotated

import typer

from data.contact_sheet import contact_sheet
from data.files import writing
from data.sources import omniglot
from data.sources.by_name import SetName, open_set
from data.tasks import find_official_runs
from hpo.cli.options import Data
from hpo.cli.steps import say
from hpo.study.paths import data_folder


def show(
    name: Annotated[
        SetName, typer.Argument(metavar="[SET]", help="omniglot or strokes.")
    ] = "omniglot",
    output: Annotated[Path, typer.Option("--output", "-o", help="A PNG file.")] = Path("sheet.png"),
    data: Data = None,
    alphabets: Annotated[int, typer.Option(min=1)] = 4,
    characters: Annotated[int, typer.Option(min=1, help="Of each alphabet.")] = 5,
) -> None:
    """Draw a contact sheet: a row a character, a column a drawer.

    Example: hpo data show strokes -o strokes.png
    """
    drawings = open_set(name, 0, data_folder(data))
    picture = contact_sheet(drawings, alphabets, characters, len(drawings.drawers))
    with writing(output, "give another with -o"):
        picture.save(output, format="PNG")
    say(f"wrote {output}")


def check(data: Data = None) -> None:
    """Read Omniglot and say what is there.

    Example: hpo data check --data ~/omniglot
    """
    folder = data_folder(data)
    drawings = omniglot.load(folder)
    official = drawings.fingerprint == omniglot.OFFICIAL_FINGERPRINT
    runs = find_official_runs(folder)
    print(f"{folder}: {len(drawings.alphabets)} alphabets, {len(drawings.alphabet_of)} characters")
    kind = "the official ones" if official else "NOT the official ones"
    print(f"images: {drawings.fingerprint}, {kind}")
    print(f"official one-shot runs: {runs or 'not here; evaluation draws its tasks at random'}")


def download(data: Data = None) -> None:
    """Fetch Omniglot and its one-shot runs (MIT licence, Lake et al. 2015).

    Example: hpo data download --data ~/omniglot
    """
    folder = data or data_folder(None)
    from data.sources.download import download as fetch  # torchvision takes seconds to import

    fetch(folder)
    print(folder)
