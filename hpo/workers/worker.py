"""One process of a search: it joins a study that exists and runs trials until the study is full."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from hpo.search.loop import search
from hpo.search.objective import Objective
from hpo.search.observer import Observer
from hpo.search.stopping import Stop
from hpo.search.tensorboard import check_tensorboard
from hpo.study.patient_storage import ABSENCE, PAUSES, is_away
from hpo.study.storage import StorageError, open_storage, storage_errors
from hpo.study.study import StoredStudy, load
from model.fast.device import current
from model.fast.threads import Threads


@dataclass(frozen=True)
class Work:
    """What a worker needs to know; goes from process to process.

    Attributes:
        study: its name in the storage.
        url: of the storage, the password included.
        data: folder of the data set.
        device: as PyTorch names it.
        results: folder for trainings that are not finished, and for the pictures of trials.
        threads: of the CPU.
        runs: folder of TensorBoard's runs of the study, if there are to be any.
    """

    study: str
    url: str
    data: Path
    device: str
    results: Path
    threads: Threads = field(default_factory=Threads)
    runs: Path | None = None


def work(job: Work, observer: Observer | None = None, stop: Stop | None = None) -> str | None:
    """Run trials until the study is full or its budget spent.

    Args:
        job: where and on what.
        observer: of the trials of this worker.
        stop: ends the search; without one, the signals alone do.

    Returns:
        Why it ended before its time, or None.

    Raises:
        StudyError: the study is absent, in another format, or about other data.
        UserError: TensorBoard's runs are wanted, and this machine cannot write them.
    """
    if job.runs:
        check_tensorboard(job.runs)
    torch.set_num_threads(job.threads.number)
    device, stop = current(torch.device(job.device)), stop or Stop(None)
    observer = observer or Observer()
    with storage_errors(job.url):
        # A database that is away just now is waited for.
        tries = Retrying(
            retry=retry_if_exception(_is_away_now),
            stop=stop_after_delay(ABSENCE),
            wait=wait_fixed(PAUSES[-1]),
            reraise=True,
        )
        stored = tries(_join, job, stop)
        inputs = stored.open_inputs(job.data, device, job.threads)
        objective = Objective(stored, inputs, job.results, observer, stop.check, job.runs)
        return search(stored, objective, stop, observer)


def _join(job: Work, stop: Stop) -> StoredStudy:
    return load(job.study, open_storage(job.url, create=False, give_up=stop.requested))


def _is_away_now(error: BaseException) -> bool:
    cause = error.__cause__
    return isinstance(error, StorageError) and cause is not None and is_away(cause)
