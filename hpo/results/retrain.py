"""One of the best trials trained again, from a new seed, and scored on fresh tasks."""

from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from data.errors import first_line
from data.tasks import OneShotTasks, draw_tasks
from hpo.search.objective import WORST
from hpo.study.confirmations import fresh_task_seed, keep_result, new_seed
from hpo.study.paths import confirmation_folder
from hpo.study.study import StoredStudy
from model.configuration import DataChoice
from model.fast.memory import DoesNotFit, out_of_memory, release_memory
from model.history import Diverged
from model.inputs import Inputs
from model.scoring import pack
from model.snapshot import Snapshot, train_resumably
from model.training import OnStep, Trainer


def fresh_tasks(choice: DataChoice, inputs: Inputs, count: int) -> OneShotTasks:
    """Tasks of the validation alphabets and drawers that no trial was scored on, on the device.

    They share their alphabets and drawers with the study's own tasks, and so their images: they
    undo the luck of the draw, and say nothing of other alphabets.

    Args:
        choice: the study's data.
        inputs: the same, loaded; its evaluation alphabets are never touched.
        count: how many, a multiple of the study's way.

    Raises:
        DataError: that many cannot be drawn.
    """
    seed = fresh_task_seed(choice.task_seed)
    tasks = draw_tasks(inputs.split.validation, count, seed, choice.way, choice.shots)
    return tasks.to(inputs.device)


def retrain(
    stored: StoredStudy,
    trial: FrozenTrial,
    k: int,
    inputs: Inputs,
    fresh: OneShotTasks,
    results: Path,
    on_step: OnStep,
    full: bool = False,
) -> dict[str, Any]:
    """Train a trial's network from its ``k``-th new seed (from 0), or go on with that.

    Args:
        stored: the study.
        trial: a complete one of it.
        k: which seed.
        inputs: the study's data; its validation tasks choose the epoch.
        fresh: the tasks to score on, on the same device.
        results: folder of the study's results, for the training while it is not finished.
        on_step: called after every training step; may raise `Interrupted`.
        full: whether with the recipe of the full training, instead of the trials'.

    Returns:
        What the study now keeps of it: the error on the fresh tasks, which of them were
        answered rightly, and the like. A training that diverges has none right, and a reason.

    Raises:
        Interrupted: the training was stopped; it goes on from there the next time.
        DoesNotFit: the memory of this device cannot hold it.
        OSError: the unfinished training cannot be written.
    """
    seed = new_seed(stored.settings.search.seed, trial.number, k)
    folder = confirmation_folder(results, stored.token)
    recipe = stored.settings.trained_in_full() if full else None
    name = f"trial-{trial.number}-seed-{k}{'-full' if full else ''}"
    snapshot = Snapshot(folder / f"{name}.safetensors")
    try:
        configuration = stored.space.configuration(trial.params, seed, recipe)
        # No name of this function holds the trainer, so that its memory can be released.
        result = _trained(inputs.trainer(configuration), snapshot, fresh, on_step)
    except RuntimeError as error:
        if not out_of_memory(error) or isinstance(error, DoesNotFit):
            raise
        raise DoesNotFit(first_line(error).rstrip(".")) from error
    finally:
        release_memory(inputs.device)
    result |= {"tasks": len(fresh), "seed": seed}
    keep_result(stored.study, trial.number, k, result, full)
    snapshot.remove()  # not before: what is kept nowhere is trained again
    return result


def _trained(
    trainer: Trainer, snapshot: Snapshot, fresh: OneShotTasks, on_step: OnStep
) -> dict[str, Any]:
    history, found = trainer.history, dict[str, Any]()
    try:
        train_resumably(trainer, snapshot, on_step)
        found |= {"search_like_error": history.best_error, "best_epoch": history.best_epoch}
        trainer.tasks = fresh  # only now: they have no say in the choice of the epoch
        found |= {"error": trainer.validate(), "outcomes": trainer.right}
    except Diverged as error:
        found = {"search_like_error": WORST, "best_epoch": None, "error": WORST}
        found |= {"outcomes": pack(np.zeros(len(fresh), np.bool_))}
        found |= {"fail_reason": f"diverged: {error}"}
    seconds = round(history.seconds + trainer.partial.seconds, 2)
    return {**found, "seconds": seconds, "device": trainer.device_name}
