"""The command that searches: run."""

import dataclasses
import shlex
import sys
from typing import Annotated

import torch
import typer

from hpo.cli.announce import announce, print_best
from hpo.cli.changes import given_changes, kept_changes, print_keys
from hpo.cli.options import (
    Data,
    Device,
    Results,
    Storage,
    StudyArgument,
    TensorBoard,
    ThreadsOfCpu,
    Timeout,
)
from hpo.cli.steps import end, say, typed
from hpo.search.loop import DeviceFailure, search
from hpo.search.objective import Objective
from hpo.search.observer import Observer
from hpo.search.stopping import Stop
from hpo.search.tensorboard import check_tensorboard
from hpo.search.warm_start import WarmStart, begun_with, plan
from hpo.study.limits import read_budget, set_limits, spending_of, waiting_to_go_on
from hpo.study.paths import data_folder, find_study
from hpo.study.settings import (
    PrunerName,
    SamplerName,
    SettingsError,
    merged_changes,
    read_settings,
)
from hpo.study.space import SearchSpace
from hpo.study.storage import StorageError, open_storage, shown, storage_errors
from hpo.study.study import StoredStudy, StudyError, create_or_resume
from hpo.study.widen import widen
from hpo.view.dashboard import note, write_note
from hpo.view.format import amount
from hpo.view.terminal import show_progress
from hpo.workers.local import Workers, cores_for, devices, go_on_in_a_process_of_its_own
from hpo.workers.ray import run_on_ray
from hpo.workers.worker import Work
from model.fast.device import device_name, find_device
from model.fast.threads import Threads, use_threads
from model.inputs import open_inputs


def run(
    trials: Annotated[
        int | None, typer.Option(min=1, help="Finished trials that the study will hold.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Training time that all its trials may take together, those of two workers "
            "added: 2h, 90m, 45s; or their multiply-adds, forward: 3e15. Once it is used up no "
            "new trial is begun; those that run may use as much again, and go on with a larger "
            "budget if that is not enough.",
        ),
    ] = None,
    study: StudyArgument = "paper",
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    sampler: Annotated[SamplerName | None, typer.Option(help="Instead of the study's.")] = None,
    pruner: Annotated[PrunerName | None, typer.Option(help="Instead of the study's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the study's.")] = None,
    timeout: Timeout = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that search at once; 0 only makes the study."),
    ] = None,
    trials_per_gpu: Annotated[
        int | None, typer.Option(min=1, help="Workers that share a GPU, on each one.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Place the workers on a Ray cluster: its address, auto or local.",
        ),
    ] = None,
    threads: ThreadsOfCpu = None,
    results: Results = None,
    tensorboard: TensorBoard = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the study, which keeps it; --keys lists all.",
        ),
    ] = None,
    keys: Annotated[
        bool,
        typer.Option("--keys", help="Print the settings of the study file, as --set takes them."),
    ] = False,
    widen_: Annotated[
        list[str] | None,
        typer.Option(
            "--widen",
            metavar="KEY=VALUE",
            help="Go on in a wider range, with the trials that the study has: filters.high=128, "
            "fc_units.high=1024.",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STUDY",
            help="Begin a new study with this one's best configurations and three informative "
            "ones; they are trained again.",
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
    """Search until the study is full or its budget spent.

    It is full once it holds as many finished trials as are wanted. The same line resumes it.

    Example: hpo run small --trials 20
    """
    place = find_study(study, storage)
    chosen = {"sampler": sampler, "pruner": pruner, "seed": seed}
    changes = given_changes(set_ or [], widen_ or [], chosen)
    if keys:
        print_keys(read_settings(place.file, changes))
        return
    if trials is None and budget is None:
        raise SettingsError("a search needs an end: give --trials 20, --budget 2h, or both")
    limit = read_budget(budget) if budget is not None else None
    if ray is not None and device != "auto":
        raise SettingsError("--ray takes the cluster's GPUs, or its CPUs: leave --device out")
    if ray is not None and trials_per_gpu is not None and workers is None:
        raise SettingsError("with --ray, --trials-per-gpu needs --workers: say how many in all")
    where = find_device(device)
    if trials_per_gpu is not None and ray is None:
        workers = _for_gpus(trials_per_gpu, workers, where)
    changes = merged_changes(kept_changes(study, storage), changes)
    settings = read_settings(place.file, changes)
    SearchSpace(settings).checked_first()
    if ray not in (None, "local") and place.url.startswith("sqlite"):
        raise StorageError(
            f"the machines of a cluster cannot share {shown(place.url)}: name a PostgreSQL or "
            "MySQL database with --storage"
        )
    if from_storage is not None and from_ is None:
        raise StudyError("--from-storage says where a study is: say which with --from")
    warm_start = None
    if from_ is not None:
        warm_start = plan(from_, from_storage, place.name, settings, place.url)
    runs = (tensorboard / place.name).absolute() if tensorboard else None
    if runs:
        check_tensorboard(runs)
    alone, stop = workers is None and ray is None, Stop(timeout)
    folder = data_folder(data, settings.data).absolute()
    # Workers in processes of their own load the data again, each onto its device.
    here = where if alone else torch.device("cpu")
    size, asked = (settings.network.image_size, settings.network.channels), use_threads(threads)
    inputs = open_inputs(settings.data, *size, folder, here, asked)
    with storage_errors(place.url):
        database = open_storage(place.url, create=True, give_up=stop.requested)
        if widen_:
            widen(place.name, database, settings, changes, place.is_shipped)
        prepare = warm_start.enqueue if warm_start else None
        stored, created = create_or_resume(
            place.name,
            settings,
            inputs.fingerprint,
            database,
            prepare,
            changes,
            place.is_shipped,
        )
        # Those of an older version may need other images.
        if stored.settings.model_dump() != settings.model_dump():
            settings, inputs = stored.settings, stored.open_inputs(folder, here, asked)
        _tell_of_warm_start(stored, warm_start)
        set_limits(stored.study, trials, limit)
        write_note(stored.study, note(place.name, settings, inputs.fingerprint, device_name(where)))
        if workers == 0:
            made = "made" if created else "is there"
            say(f"study    {place.name} {made} in {shown(place.url)}")
            print(f"join it with: hpo worker {typed(study, place.url)}")
            return
        kept, count = (results or place.folder).absolute(), workers or 1
        job = Work(place.name, place.url, folder, str(where), kept, asked, runs)
        if alone:
            announce(stored, created, place.url, inputs, workers=None, timed=True)
        else:
            as_there = dataclasses.replace(inputs, threads=_threads_of_each(job, count))
            timed = where.type == "cpu" and ray in (None, "local")
            announce(stored, created, place.url, as_there, workers=count, timed=timed)
        with show_progress(stored) as observer:
            if alone:
                objective = Objective(stored, inputs, job.results, observer, stop.check, runs)
                try:
                    reason = search(stored, objective, stop, observer)
                except DeviceFailure as error:
                    reason = go_on_in_a_process_of_its_own(error, job, stored, stop, observer)
            else:
                reason = (
                    _on_this_machine(stored, job, where, count, timeout, observer)
                    if ray is None
                    else _on_ray(stored, job, ray, count, trials_per_gpu, timeout, observer)
                )
        if reason:
            line = shlex.join(_without_password(sys.argv[1:], storage, from_storage))
            say(f"stopped by {reason}; the study is whole, and the same line goes on: hpo {line}")
        spent = spending_of(stored)
        if spent:
            say(f"budget   {amount(spent)} spent{_left_behind(stored) if spent.used_up else ''}")
        print_best(stored, typed(study, storage))
        if reason:
            end(reason)


def _left_behind(stored: StoredStudy) -> str:
    """What was not finished in spite of a budget that is used up."""
    trials = len(waiting_to_go_on(stored.study))
    return f"; {trials} unfinished: a larger --budget goes on with that" if trials else ""


def _tell_of_warm_start(stored: StoredStudy, warm_start: WarmStart | None) -> None:
    """See that the study has its first configurations, and say where they are from."""
    if warm_start:
        warm_start.join(stored.study)
    line = begun_with(stored.study)
    if line:
        say(f"from     {line}")
    for misfit in warm_start.misfits if warm_start else ():
        say(f"         {misfit}")


def _without_password(arguments: list[str], *urls: str | None) -> list[str]:
    for url in filter(None, urls):
        arguments = [argument.replace(url, shown(url)) for argument in arguments]
    return arguments


def _for_gpus(trials_per_gpu: int, workers: int | None, device: torch.device) -> int:
    if device.type != "cuda":
        raise SettingsError("--trials-per-gpu needs a GPU, and PyTorch sees none: use --workers")
    if workers is not None:
        raise SettingsError("--workers and --trials-per-gpu say the same twice: give one of them")
    return trials_per_gpu * (1 if device.index is not None else torch.cuda.device_count())


def _on_this_machine(
    stored: StoredStudy,
    job: Work,
    device: torch.device,
    workers: int,
    timeout: float | None,
    observer: Observer,
) -> str | None:
    threads = _threads_of_each(job, workers)
    jobs = [
        dataclasses.replace(job, device=name, threads=threads) for name in devices(device, workers)
    ]
    say(f"workers  {workers}, {threads.number} threads each")
    return Workers(jobs).run(stored, timeout, observer)


def _threads_of_each(job: Work, workers: int) -> Threads:
    """As many as were asked for, else each worker's share of the cores."""
    return dataclasses.replace(job.threads, most=cores_for(workers))


def _on_ray(
    stored: StoredStudy,
    job: Work,
    address: str,
    workers: int,
    trials_per_gpu: int | None,
    timeout: float | None,
    observer: Observer,
) -> str | None:
    threads = _threads_of_each(job, workers)
    if address != "local":  # of other machines' cores a worker takes one
        threads = dataclasses.replace(threads, most=1)
    job = dataclasses.replace(job, threads=threads)
    return run_on_ray(address, job, workers, trials_per_gpu, stored, timeout, observer)
