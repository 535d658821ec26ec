"""One of the best trials trained again, from a new seed, and scored on fresh tasks."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from data.tasks import OneShotTasks, draw_tasks
from hpo.search.objective import WORST
from hpo.study.confirmations import fresh_task_seed, new_seed
from hpo.study.paths import confirmation_folder
from hpo.study.study import StoredStudy
from model.configuration import DataChoice
from model.fast.device import device_name
from model.fast.memory import DoesNotFit, out_of_memory, release_memory
from model.inputs import Inputs
from model.scoring import pack
from model.snapshot import Snapshot, train_resumably
from model.training import Diverged


def fresh_tasks(choice: DataChoice, inputs: Inputs, count: int) -> OneShotTasks:
    """Tasks of the validation alphabets and drawers that no trial was scored on, on the device.

    They share their alphabets and drawers with the study's own tasks, and so their images: they
    undo the luck of the draw, and say nothing of other alphabets.

    Args:
        choice: the study's data.
        inputs: the same, loaded; its evaluation alphabets are never touched.
        count: how many, a multiple of 20.

    Raises:
        DataError: that many cannot be drawn.
    """
    seed = fresh_task_seed(choice.task_seed)
    return draw_tasks(inputs.split.validation, count, seed).to(inputs.device)


class Retraining:
    """Trains networks of finished trials again, as the search did, and scores them anew."""

    def __init__(
        self,
        stored: StoredStudy,
        inputs: Inputs,
        fresh: OneShotTasks,
        results: Path,
        on_step: Callable[[], None],
    ) -> None:
        """Prepare for the trials of one study.

        Args:
            stored: the study.
            inputs: its data; its validation tasks choose the epoch.
            fresh: the tasks to score on, on the same device.
            results: folder of the study's results, for the trainings that are not finished.
            on_step: called after every training step; may raise `Interrupted`.
        """
        self._stored, self._inputs, self._fresh, self._on_step = stored, inputs, fresh, on_step
        self._folder = confirmation_folder(results, stored.token)

    def __call__(self, trial: FrozenTrial, k: int) -> dict[str, Any]:
        """Train the trial's network from its ``k``-th new seed (from 0), or go on with that.

        Returns:
            What the study keeps of it: the error on the fresh tasks, which of them were
            answered rightly, and the like. A training that diverges has none right, and a reason.

        Raises:
            Interrupted: the training was stopped; it goes on from there the next time.
            DoesNotFit: the memory of this device cannot hold it.
            OSError: the unfinished training cannot be written.
        """
        seed = new_seed(self._stored.settings.search.seed, trial.number, k)
        snapshot = Snapshot(self._folder / f"trial-{trial.number}-seed-{k}.safetensors")
        try:
            result = self._trained(trial, seed, snapshot)
        except RuntimeError as error:
            if not out_of_memory(error) or isinstance(error, DoesNotFit):
                raise
            raise DoesNotFit(str(error).splitlines()[0].rstrip(".")) from error
        finally:
            release_memory(self._inputs.device)
        snapshot.remove()
        return {
            **result,
            "tasks": len(self._fresh),
            "seed": seed,
            "device": device_name(self._inputs.device),
        }

    def _trained(self, trial: FrozenTrial, seed: int, snapshot: Snapshot) -> dict[str, Any]:
        trainer = self._inputs.trainer(self._stored.space.configuration(trial.params, seed))
        history, earlier, start = trainer.history, 0.0, time.perf_counter()

        def on_resume() -> None:
            nonlocal earlier
            earlier = history.seconds + trainer.partial.seconds

        def figures() -> dict[str, Any]:
            return {"seconds": round(earlier + time.perf_counter() - start, 2)}

        try:
            train_resumably(trainer, snapshot, self._on_step, on_resume=on_resume)
        except Diverged as error:
            reason = {"fail_reason": f"diverged: {error}", "best_epoch": None}
            none = pack(np.zeros(len(self._fresh), np.bool_))
            worst = {"error": WORST, "outcomes": none, "search_like_error": WORST}
            return {**worst, **reason, **figures()}
        trainer.tasks = self._fresh  # only now: they have no say in the choice of the epoch
        fresh_error = trainer.validate()
        return {
            "error": fresh_error,
            "outcomes": trainer.right,
            "search_like_error": history.best_error,
            "best_epoch": history.best_epoch,
            **figures(),
        }
