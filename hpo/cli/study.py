"""The commands that look at a study: status, dashboard, export."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from data.files import write_whole
from hpo.cli.options import (
    AsJson,
    Storage,
    StudyArgument,
    say,
)
from hpo.dashboard import HOST, make_dashboard
from hpo.export import export_best
from hpo.places import StudyPlace, find_study, storage_url
from hpo.progress import duration, percent
from hpo.status import status
from hpo.storage import open_storage, storage_errors
from hpo.study import (
    StoredStudy,
    load,
)
from model.config import ConfigurationError


def show_status(
    study: StudyArgument = "paper", storage: Storage = None, json_: AsJson = False
) -> None:
    """Show how far a study is: trials by state, the best so far, the rate, the time left.

    Example: hpo status small --json
    """
    place = find_study(study)
    url = storage_url(storage, place)
    with storage_errors(url):
        figures = status(_load(place, url))
    if json_:
        print(json.dumps(figures, indent=2))
        return
    states = ", ".join(f"{count} {state}" for state, count in figures["trials"].items() if count)
    done, wanted = figures["finished"], figures["wanted"]
    print(f"{figures['study']}: {done} of {wanted} trials finished ({states or 'none yet'})")
    if figures["best"]:
        print(f"best: {percent(figures['best']['error'])} error, trial {figures['best']['trial']}")
    if figures["trials_per_hour"]:
        each, left = duration(figures["seconds_per_trial"]), duration(figures["seconds_left"])
        print(f"rate: {figures['trials_per_hour']:.1f} trials an hour, {each} each, {left} left")


def dashboard(
    study: StudyArgument = "paper",
    storage: Storage = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8080,
    writable: Annotated[bool, typer.Option(help="Let the page change and delete.")] = False,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
) -> None:
    """Show a study in a browser, with optuna-dashboard, on this machine alone.

    Example: hpo dashboard small
    """
    place = find_study(study)
    url = storage_url(storage, place)
    with storage_errors(url):
        stored = _load(place, url)
        server = make_dashboard(stored.storage, port, writable)
        number = stored.storage.get_study_id_from_name(stored.study.study_name)
    address = f"http://{HOST}:{server.server_port}/dashboard/studies/{number}"
    print(address, flush=True)
    if writable:
        say("writable: there is no login, so any program of this machine can change the study")
    say("Ctrl-C ends it")
    if browser:
        webbrowser.open(address)
    with server:
        server.serve_forever()


def export(
    study: StudyArgument = "paper",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Instead of stdout.")
    ] = None,
    storage: Storage = None,
) -> None:
    """Write the best trial as a configuration: layers, rates, recipe, data, where it is from.

    Example: hpo export small -o best.toml
    """
    place = find_study(study)
    url = storage_url(storage, place)
    with storage_errors(url):
        text = export_best(_load(place, url)).to_toml()
    if output is None:
        print(text, end="")
        return
    try:
        write_whole(output, text.encode())
    except OSError as error:
        raise ConfigurationError(
            f"{output} cannot be written ({error.strerror}): give another place with -o"
        ) from error
    say(f"wrote {output}; train it with: hpo train {output}")


def _load(place: StudyPlace, url: str) -> StoredStudy:
    return load(place.name, open_storage(url, create=False))
