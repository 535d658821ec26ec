"""One of the best trials trained again, from a new seed, and scored on fresh tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.trial import FrozenTrial

from data.drawings import Drawings
from data.split import Split
from data.tasks import OneShotTasks, draw_tasks
from hpo.search.objective import WORST
from hpo.search.stopping import Interrupted
from hpo.study.confirmations import fresh_task_seed, new_seed
from hpo.study.study import StoredStudy
from model.configuration import DataChoice
from model.fast.device import device_name
from model.fast.memory import DoesNotFit, give_back, out_of_memory
from model.scoring import pack
from model.snapshot import Snapshot
from model.training import Diverged, Trainer, train


def fresh_tasks(choice: DataChoice, cut: Split, count: int, device: torch.device) -> OneShotTasks:
    """Tasks of the validation alphabets and drawers that no trial was scored on, on ``device``.

    They share their alphabets and drawers with the study's own tasks, and so their images: they
    undo the luck of the draw, and say nothing of other alphabets.

    Args:
        choice: the study's data.
        cut: the data; its evaluation alphabets are never touched.
        count: how many, a multiple of 20.
        device: where they are wanted.

    Raises:
        DataError: so many cannot be drawn.
    """
    return draw_tasks(cut.validation, count, fresh_task_seed(choice.task_seed)).to(device)


def retraining_folder(results: Path, token: str) -> Path:
    """Where the unfinished retrainings of a study stand among its results.

    Args:
        results: folder of the study's results.
        token: what tells the study from others of its name.
    """
    return results / "confirmation" / token


class Retraining:
    """Trains networks of finished trials again, as the search did, and scores them anew."""

    def __init__(
        self,
        stored: StoredStudy,
        drawings: Drawings,
        tasks: OneShotTasks,
        fresh: OneShotTasks,
        device: torch.device,
        results: Path,
        on_step: Callable[[], None],
    ) -> None:
        """Prepare for the trials of one study.

        Args:
            stored: the study.
            drawings: the training set, on ``device``.
            tasks: the study's validation tasks, on ``device``; they choose the epoch.
            fresh: the tasks to score on, on ``device``.
            device: where to train.
            results: folder of the study's results, for the trainings that are not finished.
            on_step: called after every training step; may raise `Interrupted`.
        """
        self._stored, self._device, self._on_step = stored, device, on_step
        self._drawings, self._tasks, self._fresh = drawings, tasks, fresh
        self._folder = retraining_folder(results, stored.token)

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
            give_back(self._device)
        snapshot.remove()
        return {
            **result,
            "tasks": len(self._fresh),
            "seed": seed,
            "device": device_name(self._device),
        }

    def _trained(self, trial: FrozenTrial, seed: int, snapshot: Snapshot) -> dict[str, Any]:
        configuration = self._stored.space.configuration(trial.params, seed)
        trainer = Trainer(configuration, self._drawings, self._tasks, self._device)
        history, spent, start = trainer.history, 0.0, time.perf_counter()
        if snapshot.resume(trainer):
            spent = history.seconds + trainer.partial.seconds

        def figures() -> dict[str, Any]:
            return {"seconds": round(spent + time.perf_counter() - start, 2)}

        try:
            train(trainer, lambda epoch, error: snapshot.save_if_cheap(trainer), self._on_step)
        except Interrupted:
            snapshot.save(trainer)
            raise
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
