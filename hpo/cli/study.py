"""The commands that look at a study: status, dashboard, export."""

from __future__ import annotations

import json
import sys
import time
import webbrowser
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any

import optuna
import typer
from optuna.trial import TrialState

from data.files import write_whole
from hpo.artifacts import artifact_folder, delete_artifacts
from hpo.budget import Spending
from hpo.cli.options import (
    AsJson,
    Results,
    Storage,
    StudyArgument,
    print_wide,
    say,
)
from hpo.dashboard import HOST, make_dashboard
from hpo.export import Choice, choose, export_best
from hpo.places import StudyPlace, find_study, storage_url
from hpo.retraining import retraining_folder
from hpo.retry import reclaim
from hpo.status import StatusReader, status
from hpo.storage import open_storage, shown, storage_errors
from hpo.study import StoredStudy, StudyError, load
from hpo.trial import snapshot_folder
from hpo.view import best_table, live_view
from hpo.wording import duration, how_far, percent
from model.config import ConfigurationError

LOOK = 1.0
"""Seconds between two looks at a study that is watched."""


def show_status(
    study: StudyArgument = "paper",
    storage: Storage = None,
    json_: AsJson = False,
    watch: Annotated[bool, typer.Option(help="Show it until it is full, or Ctrl-C.")] = False,
) -> None:
    """Show how far a study is: trials by state, the best so far, the rate, the time left.

    Example: hpo status small --watch
    """
    if watch and json_:
        raise StudyError("--watch and --json do not go together: leave one of them out")
    place = find_study(study)
    url = storage_url(storage, place)
    with storage_errors(url):
        stored = load(place.name, open_storage(url, create=False, say=say))
        if watch:
            _watch(stored)
        now = StatusReader(stored).read()
        figures = status(stored, now)
        if json_:
            print(json.dumps(figures, indent=2))
            return
        _print_status(figures, now.spending)
        if now.leaders:
            print()
            print_wide(best_table(stored.space, now.leaders))


def _watch(stored: StoredStudy) -> None:
    """The live view on a terminal; elsewhere a line whenever a trial has ended."""
    reader, on_terminal, said = StatusReader(stored), sys.stdout.isatty(), -1
    with live_view(stored, sys.stdout) if on_terminal else nullcontext():
        while True:
            now = reader.read()
            if now.full and not now.running:
                return
            ended = sum(now.states[state] for state in TrialState if state.is_finished())
            if not on_terminal and ended != said:
                said = ended
                _print_status(status(stored, now), now.spending)
            time.sleep(LOOK)


def _print_status(figures: Mapping[str, Any], spending: Spending | None) -> None:
    states = ", ".join(f"{count} {state}" for state, count in figures["trials"].items() if count)
    trials = how_far(figures["finished"], figures["wanted"], None)
    print(f"{figures['study']}: {trials} finished ({states or 'none yet'})")
    if spending:
        print(f"budget: {spending} spent")
    if figures["best"]:
        print(f"best: {percent(figures['best']['error'])} error, trial {figures['best']['trial']}")
    if figures["trials_per_hour"]:
        each, left = duration(figures["seconds_per_trial"]), figures["seconds_left"]
        ahead = "" if left is None else f", {duration(left)} left"
        hourly = f"{figures['trials_per_hour']:.1f} trials an hour"
        print(f"rate: {hourly}, {each} each{ahead}", flush=True)


def dashboard(
    study: StudyArgument = "paper",
    storage: Storage = None,
    results: Results = None,
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
        server = make_dashboard(
            stored.storage, artifact_folder(results or place.folder), port, writable
        )
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


def delete(
    study: StudyArgument,
    storage: Storage = None,
    results: Results = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a study: its trials, their pictures, its unfinished trainings.

    Checkpoints and configurations stay. Example: hpo delete demo
    """
    place = find_study(study)
    url, folder = storage_url(storage, place), results or place.folder
    with storage_errors(url):
        stored = _load(place, url)
        reclaim(stored.study, stored.storage)
        name, trials = stored.study.study_name, len(stored.study.get_trials(deepcopy=False))
        running = len(StatusReader(stored).read().running)
        if running:
            raise StudyError(
                f"{running} trials of the study {name} run on this machine or another: stop the "
                "search first"
            )
        if not yes:
            typer.confirm(f"delete {name} with its {trials} trials from {shown(url)}?", abort=True)
        pictures = delete_artifacts(stored.study, stored.storage, artifact_folder(folder))
        for unfinished in (snapshot_folder, retraining_folder):
            rmtree(unfinished(folder, stored.token), ignore_errors=True)
        optuna.delete_study(study_name=name, storage=stored.storage)
    print(f"deleted {name}: {trials} trials, {pictures} pictures")


def export(
    study: StudyArgument = "paper",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Instead of stdout.")
    ] = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="This one.  [default: the confirmed winner, or best]")
    ] = None,
    storage: Storage = None,
) -> None:
    """Write the best trial as a configuration: layers, rates, recipe, data, where it is from.

    The best is the winner of `hpo confirm` where it was run, else the trial of the lowest error.

    Example: hpo export small -o best.toml
    """
    place = find_study(study)
    url = storage_url(storage, place)
    with storage_errors(url):
        stored = _load(place, url)
        choice = choose(stored, trial)
        text = export_best(stored, choice).to_toml()
    _tell(choice, study)
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


def _tell(choice: Choice, study: str) -> None:
    """Say which trial was taken, and how far its error can be trusted."""
    taken, found = f"trial {choice.trial.number}", choice.confirmed
    if found is None:
        say(f"took {taken}; it is not confirmed: `hpo confirm {study}` tells how far to trust it")
        return
    points = f"{100 * abs(found.flattered):.1f} points too "
    points += "good" if found.flattered > 0 else "bad"
    kind = "the confirmed winner" if choice.winner else "confirmed, but not the winner"
    say(
        f"took {taken}, {kind}: error {percent(found.mean)} over {len(found.errors)} new seeds; "
        f"the search's own {percent(found.search_error)} was {points}"
    )
    if choice.rival is not None:
        say(
            f"trial {choice.rival} may be better and is not confirmed as far: run "
            f"`hpo confirm {study}` again"
        )


def _load(place: StudyPlace, url: str) -> StoredStudy:
    return load(place.name, open_storage(url, create=False))
