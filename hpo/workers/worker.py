"""One process of a search: it joins a study that exists and runs trials until the study is full."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hpo.search.loop import search
from hpo.search.objective import Objective
from hpo.search.observer import TrialsWatcher, Unwatched
from hpo.study.patient_storage import PATIENCE, PAUSES, is_away
from hpo.study.storage import StorageError, open_storage, storage_errors
from hpo.study.study import StoredStudy, StudyError, load
from model.fast.device import current
from model.inputs import open_split, validation_tasks


@dataclass(frozen=True)
class Work:
    """What a worker needs to know; goes from process to process.

    Attributes:
        study: its name in the storage.
        url: of the storage, the password included.
        data: folder of the data set.
        device: as PyTorch names it.
        threads: of the CPU, or None for PyTorch's own choice.
        results: folder for trainings that are not finished, and for the pictures of trials.
        timeout: seconds until the running trial is given back, or None.
    """

    study: str
    url: str
    data: Path
    device: str
    threads: int | None
    results: Path
    timeout: float | None = None


def work(job: Work, say: Callable[[str], None], watcher: TrialsWatcher | None = None) -> str | None:
    """Run trials until the study is where it shall go.

    Args:
        job: where and on what.
        say: is told of what goes wrong and is mended.
        watcher: of the trials of this worker.

    Returns:
        Why it ended before its time, or None.

    Raises:
        StudyError: the study is absent, in another format, or about other data.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    device = current(torch.device(job.device))
    watching: TrialsWatcher = watcher or Unwatched()
    with storage_errors(job.url):
        stored = _joined(job, say)
        settings = stored.settings
        cut, fingerprint = open_split(settings.data, settings.network.image_size, job.data, say)
        if fingerprint != stored.data_fingerprint:
            raise StudyError(
                f"the study {job.study} is about other data ({stored.data_fingerprint}) than is "
                f"here ({fingerprint}): name the folder of the same data with --data"
            )
        cut = replace(cut, train=cut.train.to(device))
        tasks = validation_tasks(settings.data, cut, device)
        return search(
            stored,
            lambda on_step: Objective(stored, cut, tasks, device, job.results, watching, on_step),
            job.timeout,
            watching,
        )


def _joined(job: Work, say: Callable[[str], None]) -> StoredStudy:
    """The study; a database that is away just now is waited for."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return load(job.study, open_storage(job.url, create=False, say=say))
        except StorageError as error:
            away = error.__cause__ is not None and is_away(error.__cause__)
            if not away or time.monotonic() > deadline:
                raise
            time.sleep(PAUSES[-1])
