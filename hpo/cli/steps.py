"""Steps that several commands share."""

import json
import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpo.search.stopping import TIMEOUT
from hpo.study.paths import StudyPlace, data_folder, find_study, shipped_network
from hpo.study.settings import read_settings
from hpo.study.storage import NoStudy, open_storage, shown, storage_errors
from hpo.study.study import StoredStudy, load

NAMED = 5
"""Files that are named of those that were passed over."""

logger = logging.getLogger(__name__)


def say(message: str) -> None:
    """Tell the person; results go to stdout, all else to the log, which is stderr."""
    logger.info("%s", message)


def print_json(value: Any) -> None:
    """Print a value on stdout as JSON."""
    print(json.dumps(value, indent=2))


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout, its first column to the left, all others to the right."""
    table = Table(title=Text(title), title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(Text, row))  # a name in brackets is no markup
    print_wide(table)


def print_wide(table: Table) -> None:
    """Print a table on stdout, on lines as long as it needs."""
    Console(width=200, highlight=False, color_system=None).print(table)


def passed_over(files: Sequence[Path]) -> str:
    """Which files of a folder of images are none, with the names of the first."""
    names = ", ".join(map(str, files[:NAMED]))
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return f"passed over, as no image by its name: {names}{more}"


def default_network() -> Path:
    """The file of the network that comes with the program, where none is named; tells which."""
    file = shipped_network()
    say(f"no checkpoint is named: this is the network that comes with hpo, {file.name}")
    return file


def typed(study: str, storage: str | None) -> str:
    """A study as a person types it again in a shell, with its storage where one was named."""
    return shlex.join([study, "--storage", shown(storage)] if storage else [study])


@contextmanager
def opened_study(
    study: str,
    storage: str | None,
    give_up: Callable[[], bool] = lambda: False,
    read_only: bool = False,
) -> Iterator[tuple[StudyPlace, StoredStudy]]:
    """A study that exists, and where; what its database raises in the block is one sentence.

    Args:
        study: as a person names it.
        storage: the URL that was asked for, if one was.
        give_up: says when a database that is away is waited for no longer.
        read_only: whether one that may not be written will do.
    """
    place = find_study(study, storage)
    with storage_errors(place.url):
        try:
            database = open_storage(place.url, create=False, give_up=give_up, read_only=read_only)
            stored = load(place.name, database)
        except NoStudy as error:
            error.advice = f"start one with `hpo run {typed(study, storage)} --trials 20`"
            raise
        yield place, stored


def folder_of(stored: StoredStudy, place: StudyPlace, given: Path | None) -> Path:
    """The folder of a study's data; where its images are, only the study file says."""
    choice = stored.settings.data
    if given is None and choice.set == "folder":
        choice = read_settings(place.file, stored.changes or ()).data
    return data_folder(given, choice)


def end(reason: str) -> None:
    """End the command that was stopped: only a timeout, which was asked for, is no failure."""
    if reason != TIMEOUT:
        raise typer.Exit(130)
