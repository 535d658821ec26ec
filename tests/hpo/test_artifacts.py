from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from optuna.artifacts import get_all_artifact_meta
from optuna.trial import TrialState

from hpo.artifacts import artifact_folder, delete_artifacts
from hpo.settings import StudySettings
from hpo.study import StoredStudy
from tests.hpo.conftest import Run
from tests.hpo.tiny_study import tiny_settings

Open = Callable[[StudySettings], StoredStudy]


def test_finished_and_pruned_trials_have_their_pictures(
    tmp_path: Path, open_study: Open, run: Run
) -> None:
    changes = ("search.pruner=median", "search.pruner_warmup=1", "search.startup_trials=1")
    stored = open_study(tiny_settings(tmp_path, *changes, "training.epochs=5"))
    run(stored, 6)
    assert {t.state for t in stored.study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    folder = artifact_folder(tmp_path / "results")
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
