"""The commands that search: run, worker."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from data.split import Split
from data.tasks import OneShotTasks
from hpo.cli.options import (
    Data,
    Device,
    DeviceError,
    Results,
    Storage,
    StudyArgument,
    find_device,
    print_wide,
    say,
)
from hpo.cluster import run_on_ray
from hpo.estimate import estimate
from hpo.inputs import open_split, validation_tasks
from hpo.note import note, write_note
from hpo.places import StudyPlace, data_folder, find_study, storage_url
from hpo.progress import make_progress
from hpo.search import search
from hpo.settings import PrunerName, SamplerName, read_settings
from hpo.space import SearchSpace
from hpo.status import LEADERS, StatusReader
from hpo.storage import StorageError, open_storage, shown, storage_errors
from hpo.study import (
    WANTED,
    StoredStudy,
    create_or_resume,
    finished,
    load,
    trained_trials,
    wanted,
)
from hpo.trial import Objective, device_name
from hpo.view import best_table
from hpo.wording import duration, percent
from hpo.worker import Work, work
from hpo.workers import Workers, devices, threads
from model.memory import out_of_memory

Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds until it stops.")]


def run(
    trials: Annotated[int, typer.Option(min=1, help="Finished trials that the study shall hold.")],
    study: StudyArgument = "paper",
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    sampler: Annotated[SamplerName | None, typer.Option(help="Instead of the study's.")] = None,
    pruner: Annotated[PrunerName | None, typer.Option(help="Instead of the study's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the study's.")] = None,
    timeout: Timeout = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that search at once; 0 only makes the study."),
    ] = None,
    trials_per_gpu: Annotated[
        int | None, typer.Option(min=1, help="Workers for each GPU of this machine.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Place the workers on a Ray cluster, or local."),
    ] = None,
    results: Results = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the study."),
    ] = None,
) -> None:
    """Search: run trials until the study holds so many; the same line resumes it.

    Example: hpo run small --trials 20
    """
    place, where = find_study(study), find_device(device)
    if trials_per_gpu is not None and ray is None:
        workers = _for_gpus(trials_per_gpu, workers, where)
    chosen = {"sampler": sampler, "pruner": pruner, "seed": seed}
    changes = [f"search.{key}={value}" for key, value in chosen.items() if value is not None]
    settings = read_settings(place.file, [*(set_ or []), *changes])
    SearchSpace(settings).checked_first()
    url = storage_url(storage, place)
    if ray not in (None, "local") and url.startswith("sqlite"):
        raise StorageError(
            f"the machines of a cluster cannot share {shown(url)}: name a PostgreSQL or MySQL "
            "database with --storage"
        )
    cut, fingerprint = open_split(
        settings.data, settings.network.image_size, data_folder(data), say
    )
    with storage_errors(url):
        database = open_storage(url, create=True, say=say)
        stored, created = create_or_resume(place.name, settings, fingerprint, database)
        stored.study.set_user_attr(WANTED, trials)
        write_note(stored.study, note(place.name, settings, fingerprint, device_name(where)))
        job = _job(place, url, data, where, results, timeout)
        if workers == 0:
            say(f"study    {place.name} {'made' if created else 'is there'} in {shown(url)}")
            print(f"join it with: hpo worker {study} --storage {shlex.quote(shown(url))}")
            return
        if workers is None and ray is None:
            reason = _alone(stored, created, job, cut, where)
        else:
            reason = _together(stored, created, job, cut, where, workers or 1, ray, trials_per_gpu)
        if reason:
            line = shlex.join(_without_password(sys.argv[1:], storage))
            say(f"stopped by {reason}; the study is whole, and the same line goes on: hpo {line}")
        _print_best(stored, f"{study} --storage {shlex.quote(shown(url))}" if storage else study)
        if reason and reason != "the time is up":
            raise typer.Exit(130)


def worker(
    study: StudyArgument = "paper",
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    timeout: Timeout = None,
    results: Results = None,
) -> None:
    """Join a study that exists, from any machine, and search until it is full.

    Its settings come from the study itself. Example: hpo worker small --storage postgresql://me@host/hpo
    """
    place, where = find_study(study), find_device(device)
    url = storage_url(storage, place)
    with storage_errors(url):
        stored = load(place.name, open_storage(url, create=False, say=say))
        done = finished(stored.study)
        say(f"study    {place.name} in {shown(url)}: {done} of {wanted(stored.study)} trials")
        say(f"device   {device_name(where)}")
        stored.storage.engine.dispose()
        job = _job(place, url, data, where, results, timeout)
        with make_progress(stored) as progress:
            reason = work(job, say, progress)
        if reason:
            say(f"stopped by {reason}; its trial is handed back")
            if reason != "the time is up":
                raise typer.Exit(130)


def _without_password(arguments: list[str], storage: str | None) -> list[str]:
    return [a.replace(storage, shown(storage)) if storage else a for a in arguments]


def _job(
    place: StudyPlace,
    url: str,
    data: Path | None,
    device: torch.device,
    results: Path | None,
    timeout: float | None,
) -> Work:
    folder = (results or place.folder).absolute()
    return Work(place.name, url, data_folder(data).absolute(), str(device), None, folder, timeout)


def _for_gpus(trials_per_gpu: int, workers: int | None, device: torch.device) -> int:
    if device.type != "cuda":
        raise DeviceError("--trials-per-gpu needs a GPU, and PyTorch sees none: use --workers")
    if workers is not None:
        raise DeviceError("--workers and --trials-per-gpu say the same twice: give one of them")
    return trials_per_gpu * (1 if device.index is not None else torch.cuda.device_count())


def _alone(
    stored: StoredStudy, created: bool, job: Work, cut: Split, device: torch.device
) -> str | None:
    """Search in this process."""
    cut = dataclasses.replace(cut, train=cut.train.to(device))
    tasks = validation_tasks(stored.settings.data, cut, device)
    _announce(stored, created, job.url, cut, tasks, device)
    with make_progress(stored) as progress:
        return search(
            stored,
            lambda on_step: Objective(stored, cut, tasks, device, job.results, progress, on_step),
            job.timeout,
            progress,
        )


def _together(
    stored: StoredStudy,
    created: bool,
    job: Work,
    cut: Split,
    device: torch.device,
    workers: int,
    ray: str | None,
    trials_per_gpu: int | None,
) -> str | None:
    """Search in several processes, on this machine or on a Ray cluster."""
    tasks = validation_tasks(stored.settings.data, cut, torch.device("cpu"))
    _announce(stored, created, job.url, cut, tasks, None)
    with make_progress(stored) as progress:
        if ray is not None:
            job = dataclasses.replace(job, threads=threads(workers) if ray == "local" else None)
            return run_on_ray(ray, job, workers, trials_per_gpu, stored, progress, say)
        jobs = [
            dataclasses.replace(job, device=name, threads=threads(workers), timeout=None)
            for name in devices(device, workers)
        ]
        say(f"workers  {workers}, {threads(workers)} threads each")
        return Workers(jobs, say).run(stored, job.timeout, progress)


def _announce(
    stored: StoredStudy,
    created: bool,
    url: str,
    cut: Split,
    tasks: OneShotTasks,
    device: torch.device | None,
) -> None:
    """Say what is about to happen, and what it will cost on ``device`` if it is done there."""
    done, settings = finished(stored.study), stored.settings
    left = max(wanted(stored.study) - done, 0)
    say(f"study    {stored.study.study_name} {'(new)' if created else '(resumed)'} in {shown(url)}")
    if device:
        say(f"device   {device_name(device)}")
    say(
        f"data     {settings.data.set} at {settings.network.image_size}×"
        f"{settings.network.image_size}: {len(cut.train.alphabet_of)} characters to train on, "
        f"{len(tasks)} validation tasks"
    )
    if not left:
        say(f"trials   {done} finished, none left")
        return
    seconds = StatusReader(stored).read().seconds
    if seconds:
        cost = (
            f"about {duration(seconds * left)} of work, as the trials so far took "
            f"{duration(seconds)} each"
        )
    elif device is None:
        cost = "each worker takes one at a time"
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
    leaders = trained_trials(stored.study)[:LEADERS]
    if not leaders:
        print("no trial has trained to its end yet")
        return
    best = leaders[0]
    network = stored.space.configuration(best.params, 0).network
    print(f"best trial {best.number}: one-shot validation error {percent(best.value or 0)}")
    for layer, convolution in zip(network.layers, network.convolutions, strict=False):
        kernel = f"{convolution.kernel}×{convolution.kernel}"
        print(f"  {layer:6} {convolution.filters} filters of {kernel}")
    print(f"  fc     {network.fc_units} units")
    weights, cost = network.weights / 1e6, network.multiply_adds / 1e6
    print(f"  {weights:.2f} M weights, {cost:.1f} M multiply-adds an image")
    print()
    print_wide(best_table(stored.space, leaders))
    print()
    print(f"its configuration: hpo export {study}")
    print(f"all trials in a browser: hpo dashboard {study}")
