"""Options and steps that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from hpo.study.paths import StudyPlace
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, load
from model.fast.device import current

StudyArgument = Annotated[
    str, typer.Argument(metavar="[STUDY]", help="A name under studies/, or a study file's path.")
]
Storage = Annotated[
    str | None,
    typer.Option(help="Database URL.  [default: HPO_STORAGE, or study.db in the study's folder]"),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder with the Omniglot zips.  [default: HPO_DATA, or ~/.cache/hpo]"),
]
Results = Annotated[
    Path | None,
    typer.Option(
        help="Folder for unfinished trainings and the trials' pictures; machines of one study "
        "share it.  [default: the study's folder]"
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1; auto takes a GPU if any.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class DeviceError(Exception):
    """A device that is not there. One sentence that says what to do."""


def say(message: str) -> None:
    """Tell the person; results go to stdout, all else here."""
    print(message, file=sys.stderr, flush=True)


def print_wide(table: Table) -> None:
    """Print a table on stdout, on lines as long as it needs."""
    Console(width=200, highlight=False, color_system=None).print(table)


def find_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is a GPU where there is one.

    Raises:
        DeviceError: it is not there, or of a kind that is not supported.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name} is no device: name cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name} is not supported: name cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices that "
            "PyTorch can use: leave --device out, or name cpu"
        )
    return current(device)


def _load(place: StudyPlace, url: str) -> StoredStudy:
    return load(place.name, open_storage(url, create=False))


Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds until it stops.")]
