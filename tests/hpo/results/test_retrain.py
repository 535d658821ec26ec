from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from data.drawings import Drawings
from data.split import Split
from data.tasks import OneShotTasks
from hpo.results.retrain import fresh_tasks, retrain
from hpo.study.confirmations import fresh_task_seed, is_done
from hpo.study.paths import confirmation_folder
from hpo.study.storage import StorageError
from hpo.study.study import StoredStudy
from model.configuration import DataChoice
from model.history import Interrupted
from model.inputs import Inputs, inputs_from
from model.snapshot import Snapshot
from tests.hpo.fixture_types import Run


def as_set(tasks: OneShotTasks) -> set[tuple[bytes, bytes]]:
    """Each draw by what it shows."""
    pairs = zip(tasks.support, tasks.queries, strict=True)
    return {(s.numpy().tobytes(), q.numpy().tobytes()) for s, q in pairs}


def test_fresh_tasks_are_new_validation_tasks(
    strokes: Drawings, small_split: Split, small_inputs: Inputs
) -> None:
    choice = DataChoice(set="strokes", validation_tasks=320)
    own = inputs_from(strokes, choice, 20, torch.device("cpu")).tasks
    assert len(as_set(own)) == 320 / 20
    fresh = fresh_tasks(choice, small_inputs, 4000)
    assert len(fresh) == 4000
    for some in (fresh, fresh_tasks(choice, small_inputs, 320)):  # as many as the study's own, too
        assert not as_set(own) & as_set(some)
    assert as_set(fresh_tasks(choice, small_inputs, 4000)) == as_set(fresh)
    validation = {image.numpy().tobytes() for image in small_split.validation.images}
    for images in (own.support, own.queries, fresh.support, fresh.queries):
        assert {image.numpy().tobytes() for image in images.flatten(0, 1)} <= validation
    held_out = {image.numpy().tobytes() for image in small_split.evaluation.images}
    assert not held_out & validation
    for seed in range(200):
        assert fresh_task_seed(seed) != seed


def test_fresh_tasks_are_of_the_studys_kind(small_inputs: Inputs) -> None:
    choice = DataChoice(set="strokes", way=5, shots=2, validation_tasks=40)
    fresh = fresh_tasks(choice, small_inputs, 60)
    assert (len(fresh), fresh.way, fresh.shots) == (60, 5, 2)


def test_a_short_and_a_full_retraining_that_are_stopped_go_on_each_by_itself(
    stored: StoredStudy, run: Run, small_inputs: Inputs, tmp_path: Path
) -> None:
    run(stored, 1)
    (trial,) = stored.study.trials
    fresh = fresh_tasks(stored.settings.data, small_inputs, 40)
    stop = Mock(side_effect=[None] * 5 + [Interrupted("Ctrl-C")] * 2)
    for full in (False, True):
        with pytest.raises(Interrupted):
            retrain(stored, trial, 0, small_inputs, fresh, tmp_path, stop, full)
    left = sorted(file.name for file in confirmation_folder(tmp_path, stored.token).iterdir())
    assert left == ["trial-0-seed-0-full.safetensors", "trial-0-seed-0.safetensors"]


def test_a_retraining_is_kept_before_its_file_is_deleted(
    stored: StoredStudy,
    run: Run,
    small_inputs: Inputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database that is away once the training is done costs no training."""
    run(stored, 1)
    (trial,) = stored.study.trials
    fresh = fresh_tasks(stored.settings.data, small_inputs, 40)
    monkeypatch.setattr(Snapshot, "save_if_cheap", Snapshot.save)
    with monkeypatch.context() as patch:
        patch.setattr("hpo.results.retrain.keep_result", Mock(side_effect=StorageError("away")))
        with pytest.raises(StorageError):
            retrain(stored, trial, 0, small_inputs, fresh, tmp_path, Mock())
    assert not is_done(stored.study, 0, 0, 40, False)
    step = Mock()
    retrain(stored, trial, 0, small_inputs, fresh, tmp_path, step)
    step.assert_not_called()
    assert is_done(stored.study, 0, 0, 40, False)
    assert list(confirmation_folder(tmp_path, stored.token).iterdir()) == []
