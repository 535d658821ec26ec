"""Workers as Ray tasks: Ray places them on a cluster's machines and starts lost ones again."""

import logging
import os
from dataclasses import replace

from data.errors import first_line
from hpo.search.loop import DeviceFailure, MachineFailure
from hpo.search.observer import Observer
from hpo.search.stopping import Stop
from hpo.study.study import StoredStudy
from hpo.view.log import log_to_stderr, silence_optuna
from hpo.workers.local import LOOK, REPLACE, Seen
from hpo.workers.worker import Work, work
from model.fast.heap import keep_freed
from model.history import Interrupted

logger = logging.getLogger(__name__)


def run_on_ray(
    address: str,
    job: Work,
    workers: int,
    trials_per_gpu: int | None,
    stored: StoredStudy,
    timeout: float | None,
    observer: Observer,
) -> str | None:
    """Keep workers going on a Ray cluster until the study is full.

    Args:
        address: of the cluster, or ``local`` for one on this machine that ends with the search.
        job: of each worker.
        workers: how many.
        trials_per_gpu: how many share a GPU, where the cluster has any; None for one each.
        stored: the study.
        timeout: seconds until the trials that run are handed back, or None.
        observer: is told of every trial that ends.

    Returns:
        Why it ended before its time, or None.

    Raises:
        MachineFailure: Ray is not installed, the cluster is not there, or a worker gave up.
    """
    try:
        import ray
    except ImportError as error:
        raise MachineFailure(
            "--ray needs Ray: install the extra for it, pip install 'hpo-siamese[ray]'"
        ) from error
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # of a dozen kinds, none of them Ray's own
        reason = first_line(error)
        raise MachineFailure(
            f"there is no Ray cluster at {address} ({reason}): give its address, or local"
        ) from error
    stop, seen = Stop(timeout), Seen(stored, observer)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = resources.get("GPU", 0)
    share = 1 / (trials_per_gpu or 1) if gpus else 0.0
    job = replace(job, device="cuda" if gpus else "cpu")  # not what the driver's machine has
    task = ray.remote(num_cpus=job.threads.number, num_gpus=share, max_retries=-1)(_work)
    try:
        left = [task.remote(job) for _ in range(workers)]
        logger.info("ray      %d workers, %d threads each", workers, job.threads.number)
        with stop.on_signals():
            while left:
                stop.check()
                done, left = ray.wait(left, timeout=LOOK)
                seen.look()
                ray.get(done)
    except (Interrupted, KeyboardInterrupt):
        for reference in left:
            ray.cancel(reference)
        ray.wait(left, num_returns=len(left), timeout=10)
        return stop.reason or "Ctrl-C"
    except ray.exceptions.RayError as error:
        raise MachineFailure(
            f"a worker on Ray gave up ({str(error).strip().splitlines()[-1]}): see to it, then "
            "type the same line"
        ) from error
    finally:
        seen.look()
        ray.shutdown()
    return None


def _work(job: Work) -> str | None:
    log_to_stderr()
    silence_optuna()
    keep_freed()
    try:
        return work(job)
    except DeviceFailure as error:
        logger.warning("%s", error.sentence)
        os._exit(REPLACE)  # Ray takes this for a lost process, and starts the task in another
