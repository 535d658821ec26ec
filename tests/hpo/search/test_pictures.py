from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import TrialState

from data.tasks import OneShotTasks
from hpo.search.pictures import (
    CELL,
    GAP,
    MISTAKES,
    delete_artifacts,
    filters,
    learning_curve,
    mistakes,
)
from hpo.study.paths import artifacts_folder
from model.history import Epoch
from tests.hpo.fixture_types import Open, Run


def epoch(error: float) -> Epoch:
    return Epoch(error, 1.0, 10, 1.0, 0.1)


def test_a_learning_curve_falls_where_the_error_does() -> None:
    picture = np.asarray(learning_curve([epoch(0.9), epoch(0.5), epoch(0.1)]))
    blue = (picture == (0, 114, 178)).all(axis=-1)
    heights = [blue[:, column].nonzero()[0].mean() for column in np.flatnonzero(blue.any(axis=0))]
    assert np.all(np.diff(heights) > -0.5)
    assert heights[-1] - heights[0] > 150
    assert np.asarray(learning_curve([epoch(0.5)])).any()


def test_filters_are_shown_each_on_its_own_scale() -> None:
    weights = np.zeros((18, 1, 2, 2), np.float32)
    weights[0, 0] = np.array([[1, -1], [0.5, 0]])
    weights[1, 0, 0, 0] = 1e-3
    picture = np.asarray(filters(weights))
    patch = picture[4:44, 4:44]
    assert [patch[0, 0], patch[0, -1], patch[-1, -1]] == [255, 1, 128]
    assert patch[-1, 0] == 191
    assert picture[4, 48] == 255
    assert (picture[4:44, 92:132] == 128).all()
    assert picture.shape == (3 * 44 + 4, 8 * 44 + 4)


@pytest.mark.parametrize("shots", [1, 3])
def test_mistakes_show_query_true_class_and_the_class_chosen(shots: int) -> None:
    first = torch.arange(0, 200, 10, dtype=torch.uint8).view(1, 20, 1, 1, 1)
    first = first.expand(1, 20, 1, 9, 9)
    support = torch.full((1, 20, shots, 1, 9, 9), 250, dtype=torch.uint8)
    support[:, :, 0] = first
    target = torch.arange(20).view(1, 20)
    tasks = OneShotTasks(support.flatten(1, 2), first + 5, target, "made here", shots)
    chosen = target.numpy().copy()
    chosen[0, 7] = 3
    picture = np.asarray(mistakes(tasks, chosen))
    left, top, pitch = 80, 3 * GAP + 14, CELL + GAP
    shown = [
        255 - int(picture[top + row * pitch + CELL // 2, left + CELL // 2]) for row in range(3)
    ]
    assert shown == [75, 70, 30]
    assert (picture[top:, left + pitch :] == 235).all()


def test_many_mistakes_and_none() -> None:
    empty = torch.zeros(2, 20, 1, 9, 9, dtype=torch.uint8)
    tasks = OneShotTasks(empty, empty, torch.zeros(2, 20, dtype=torch.int64), "made here")
    all_wrong = mistakes(tasks, np.ones((2, 20), np.int64))
    assert all_wrong.width == 80 + MISTAKES * (CELL + GAP)
    assert mistakes(tasks, np.zeros((2, 20), np.int64)).width < all_wrong.width


def test_finished_trials_have_pictures(tmp_path: Path, open_study: Open, run: Run) -> None:
    changes = ("search.pruner=median", "search.pruner_warmup=1", "search.startup_trials=1")
    stored = open_study(*changes, "training.epochs=5")
    run(stored, 6)
    assert {t.state for t in stored.study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    folder = artifacts_folder(tmp_path / "results")
    for trial in stored.study.trials:
        kept = get_all_artifact_meta(trial, storage=stored.storage)
        names = ["first-layer filters.png", "learning curve.png", "mistakes.png"]
        assert sorted(k.filename for k in kept) == names
        for picture in kept:
            file = folder / picture.artifact_id
            assert file.read_bytes().startswith(b"\x89PNG")
            assert file.stat().st_size < 30_000
            assert picture.mimetype == "image/png"
    other = folder / "another"
    other.write_text("of no study")
    assert delete_artifacts(stored.study, stored.storage, folder) == 18
    assert list(folder.iterdir()) == [other]
