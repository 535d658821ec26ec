"""The commands of a study: run, status, dashboard, export."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import torch
import typer

from data.files import write_whole
from data.split import Split
from data.tasks import OneShotTasks
from hpo.cli.options import (
    AsJson,
    Data,
    Device,
    Storage,
    StudyArgument,
    find_device,
    open_split,
    say,
    validation_tasks,
)
from hpo.dashboard import HOST, make_dashboard
from hpo.estimate import estimate
from hpo.export import export_best
from hpo.places import StudyPlace, find_study, storage_url
from hpo.progress import duration, make_progress, percent
from hpo.search import search
from hpo.settings import PrunerName, SamplerName, read_settings
from hpo.space import SearchSpace
from hpo.status import mean_seconds, status
from hpo.storage import open_storage, shown, storage_errors
from hpo.study import (
    StoredStudy,
    best_trial,
    create_or_resume,
    finished,
    load,
)
from hpo.trial import Objective, device_name
from model.config import ConfigurationError
from model.memory import out_of_memory


def run(
    trials: Annotated[int, typer.Option(min=1, help="Finished trials that the study shall hold.")],
    study: StudyArgument = "paper",
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    sampler: Annotated[SamplerName | None, typer.Option(help="Instead of the study's.")] = None,
    pruner: Annotated[PrunerName | None, typer.Option(help="Instead of the study's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the study's.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds until it stops.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the study."),
    ] = None,
) -> None:
    """Search: run trials until the study holds so many; the same line resumes it.

    Example: hpo run small --trials 20
    """
    place, where = find_study(study), find_device(device)
    chosen = {"sampler": sampler, "pruner": pruner, "seed": seed}
    changes = [f"search.{key}={value}" for key, value in chosen.items() if value is not None]
    settings = read_settings(place.file, [*(set_ or []), *changes])
    SearchSpace(settings).checked_first()
    url = storage_url(storage, place)
    cut, fingerprint = open_split(settings.data, settings.network.image_size, data)
    cut = dataclasses.replace(cut, train=cut.train.to(where))
    tasks = validation_tasks(settings.data, cut, where)
    with storage_errors(url):
        database = open_storage(url, create=True)
        stored, created = create_or_resume(place.name, settings, fingerprint, database)
        _announce(stored, created, trials, url, cut, tasks, where)
        done, best = finished(stored.study), best_trial(stored.study)
        with make_progress(trials, done, best) as progress:
            reason = search(
                stored,
                lambda on_step: Objective(settings, cut, tasks, where, progress, on_step),
                trials,
                timeout,
                progress,
            )
        if reason:
            line = shlex.join(shown(a) if a == storage else a for a in sys.argv[1:])
            say(f"stopped by {reason}; the study is whole, and the same line goes on: hpo {line}")
        _print_best(stored, f"{study} --storage {shlex.quote(shown(url))}" if storage else study)
        if reason and reason != "the time is up":
            raise typer.Exit(130)


def _announce(
    stored: StoredStudy,
    created: bool,
    trials: int,
    url: str,
    cut: Split,
    tasks: OneShotTasks,
    device: torch.device,
) -> None:
    """Say what is about to happen, and what it will cost here."""
    done, settings = finished(stored.study), stored.settings
    left = max(trials - done, 0)
    say(f"study    {stored.study.study_name} {'(new)' if created else '(resumed)'} in {shown(url)}")
    say(f"device   {device_name(device)}")
    say(
        f"data     {settings.data.set} at {settings.network.image_size}×"
        f"{settings.network.image_size}: {len(cut.train.alphabet_of)} characters to train on, "
        f"{len(tasks)} validation tasks"
    )
    if not left:
        say(f"trials   {done} finished, none left")
        return
    seconds = mean_seconds(stored)
    if seconds:
        cost = (
            f"about {duration(seconds * left)}, as the trials so far took {duration(seconds)} each"
        )
    else:
        cost = _estimated(stored, left, cut, tasks, device)
    say(f"trials   {done} finished, {left} left: {cost}")


def _estimated(
    stored: StoredStudy, left: int, cut: Split, tasks: OneShotTasks, device: torch.device
) -> str:
    try:
        guess = estimate(stored.space, cut.train, tasks, device)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return "no telling how long, as the network of median size does not fit the memory"
    if device.type == "cpu" and guess.trial > 3600:
        say("         it is made for a GPU; for a CPU there is: hpo run small --trials 20")
    return (
        f"up to {duration(guess.trial * left)}, or {duration(guess.trial)} a trial that is not "
        f"pruned ({duration(guess.step)} a step)"
    )


def _print_best(stored: StoredStudy, study: str) -> None:
    best = best_trial(stored.study)
    if best is None or best.value is None:
        print("no trial has trained to its end yet")
        return
    network = stored.space.configuration(best.params, 0).network
    print(f"best trial {best.number}: one-shot validation error {percent(best.value)}")
    for layer, convolution in zip(network.layers, network.convolutions, strict=False):
        kernel = f"{convolution.kernel}×{convolution.kernel}"
        print(f"  {layer:6} {convolution.filters} filters of {kernel}")
    print(f"  fc     {network.fc_units} units")
    weights, cost = network.weights / 1e6, network.multiply_adds / 1e6
    print(f"  {weights:.2f} M weights, {cost:.1f} M multiply-adds an image")
    print(f"its configuration: hpo export {study}")
    print(f"all trials in a browser: hpo dashboard {study}")


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
