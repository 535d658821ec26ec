"""The command that joins a search: worker."""

from __future__ import annotations

import typer

from hpo.cli.options import (
    Data,
    Device,
    Results,
    Storage,
    StudyArgument,
    Timeout,
    find_device,
    say,
)
from hpo.cli.run import _job
from hpo.study.limits import spending
from hpo.study.paths import find_study, storage_url
from hpo.study.storage import open_storage, shown, storage_errors
from hpo.study.study import finished, load, wanted
from hpo.view.format import how_far
from hpo.view.terminal import make_progress
from hpo.workers.worker import work
from model.fast.device import device_name


def worker(
    study: StudyArgument = "paper",
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    timeout: Timeout = None,
    results: Results = None,
) -> None:
    """Join a study that exists, from any machine, and search until it is full or its budget spent.

    Its settings come from the study itself. Example: hpo worker small --storage postgresql://me@host/hpo
    """
    place, where = find_study(study), find_device(device)
    url = storage_url(storage, place)
    with storage_errors(url):
        stored = load(place.name, open_storage(url, create=False, say=say))
        standing = how_far(finished(stored.study), wanted(stored.study), spending(stored))
        say(f"study    {place.name} in {shown(url)}: {standing}")
        say(f"device   {device_name(where)}")
        stored.storage.engine.dispose()
        job = _job(place, url, data, where, results, timeout)
        with make_progress(stored) as progress:
            reason = work(job, say, progress)
        if reason:
            say(f"stopped by {reason}; its trial is handed back")
            if reason != "the time is up":
                raise typer.Exit(130)
