"""The command that searches: run."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from data.split import Split
from hpo.cli.announce import announce, print_best
from hpo.cli.options import (
    Data,
    Device,
    DeviceError,
    Results,
    Storage,
    StudyArgument,
    Timeout,
    find_device,
    say,
)
from hpo.search.loop import search
from hpo.search.objective import Objective
from hpo.search.warm_start import WarmStart, plan, seeded
from hpo.study.limits import read_budget, set_goal, spending
from hpo.study.paths import StudyPlace, data_folder, find_study, storage_url
from hpo.study.settings import PrunerName, SamplerName, SettingsError, StudySettings, read_settings
from hpo.study.space import SearchSpace
from hpo.study.storage import StorageError, open_storage, shown, storage_errors
from hpo.study.study import StoredStudy, StudyError, create_or_resume
from hpo.view.dashboard import note, write_note
from hpo.view.terminal import make_progress
from hpo.workers.local import Workers, devices, threads
from hpo.workers.ray import run_on_ray
from hpo.workers.worker import Work
from model.fast.device import device_name
from model.inputs import open_split, validation_tasks


def run(
    trials: Annotated[
        int | None, typer.Option(min=1, help="Finished trials that the study shall hold.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Training time that all its trials may take together, those of two workers "
            "added: 2h, 90m, 45s; or their multiply-adds, forward: 3e15. Once it is used up no "
            "new trial is begun, and those that run are finished.",
        ),
    ] = None,
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
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STUDY",
            help="Begin a new study with this one's best configurations and a few telling ones; "
            "they are trained anew.",
        ),
    ] = None,
    from_storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database that holds the study of --from.  [default: the one of this search if it "
            "does, else that study's own]",
        ),
    ] = None,
) -> None:
    """Search: run trials until the study holds so many, or has spent so much, whichever is first.

    The same line resumes it.

    Example: hpo run small --trials 20
    """
    if trials is None and budget is None:
        raise SettingsError("a search needs an end: give --trials 20, --budget 2h, or both")
    limit = read_budget(budget) if budget is not None else None
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
    warm_start = _warm_start(from_, from_storage, place.name, settings, url)
    cut, fingerprint = open_split(
        settings.data, settings.network.image_size, data_folder(data), say
    )
    with storage_errors(url):
        database = open_storage(url, create=True, say=say)
        sow = warm_start.sow if warm_start else None
        stored, created = create_or_resume(place.name, settings, fingerprint, database, sow)
        _tell_seeds(stored, warm_start)
        set_goal(stored.study, trials, limit)
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
            line = shlex.join(_without_password(sys.argv[1:], storage, from_storage))
            say(f"stopped by {reason}; the study is whole, and the same line goes on: hpo {line}")
        spent = spending(stored)
        if spent:
            say(f"budget   {spent} spent")
        print_best(stored, f"{study} --storage {shlex.quote(shown(url))}" if storage else study)
        if reason and reason != "the time is up":
            raise typer.Exit(130)


def _warm_start(
    old: str | None, old_url: str | None, name: str, settings: StudySettings, url: str
) -> WarmStart | None:
    if old is None and old_url is not None:
        raise StudyError("--from-storage says where a study is: say which with --from")
    return plan(old, old_url, name, settings, url) if old is not None else None


def _tell_seeds(stored: StoredStudy, warm_start: WarmStart | None) -> None:
    """See that the study has its seeds, and say what it began with."""
    if warm_start:
        warm_start.join(stored.study)
    line = seeded(stored.study)
    if line:
        say(f"seeded   {line}")
    for misfit in warm_start.misfits if warm_start else ():
        say(f"         {misfit}")


def _without_password(arguments: list[str], *urls: str | None) -> list[str]:
    for url in filter(None, urls):
        arguments = [argument.replace(url, shown(url)) for argument in arguments]
    return arguments


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
    announce(stored, created, job.url, cut, tasks, device)
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
    announce(stored, created, job.url, cut, tasks, None)
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
