"""The command that joins a search: worker."""

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
from hpo.cli.steps import end, folder_of, opened_study, say
from hpo.search.loop import DeviceFailure
from hpo.search.stopping import Stop
from hpo.study.limits import spending_of, wanted_trials
from hpo.study.settings import read_settings
from hpo.study.storage import shown
from hpo.study.study import check_settings
from hpo.study.trials import finished
from hpo.view.format import how_far
from hpo.view.terminal import show_progress
from hpo.workers.local import go_on_in_a_process_of_its_own
from hpo.workers.worker import Work, work
from model.fast.device import device_name, find_device
from model.fast.threads import use_threads


def worker(
    study: StudyArgument = "paper",
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    timeout: Timeout = None,
    threads: ThreadsOfCpu = None,
    results: Results = None,
    tensorboard: TensorBoard = None,
) -> None:
    """Join a study from any machine, until it is full.

    The study exists already; its settings are its own, which this machine's study file has to
    agree with.

    Example: hpo worker small --storage postgresql://me@host/hpo
    """
    where, asked = find_device(device), use_threads(threads)
    with opened_study(study, storage) as (place, stored):
        if stored.changes is not None:
            here = read_settings(place.file, stored.changes)
            check_settings(stored, here, stored.changes, place.is_shipped)
        standing = how_far(finished(stored.study), wanted_trials(stored.study), spending_of(stored))
        say(f"study    {place.name} in {shown(place.url)}: {standing}")
        say(f"device   {device_name(where)}")
        stored.storage.engine.dispose()
        folder = (results or place.folder).absolute()
        images = folder_of(stored, place, data).absolute()
        runs = (tensorboard / place.name).absolute() if tensorboard else None
        job = Work(place.name, place.url, images, str(where), folder, asked, runs)
        with show_progress(stored) as observer:
            stop = Stop(timeout)
            try:
                reason = work(job, observer, stop)
            except DeviceFailure as error:
                reason = go_on_in_a_process_of_its_own(error, job, stored, stop, observer)
        if reason:
            say(f"stopped by {reason}; its trial is handed back")
            end(reason)
