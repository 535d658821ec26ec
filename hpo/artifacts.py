"""The pictures of a study's trials: kept in a folder, listed in the study, deleted with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from PIL import Image


def artifact_folder(results: Path) -> Path:
    """Where the artifacts of a study stand among its results."""
    return results / "artifacts"


def attach(trial: optuna.Trial, folder: Path, pictures: Mapping[str, Image.Image]) -> None:
    """Keep pictures with a running trial.

    Args:
        trial: the trial; one that has ended takes no more.
        folder: of the artifacts; made if it is absent.
        pictures: by the name that a person shall read.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(folder)
    with TemporaryDirectory() as made:
        for name, picture in pictures.items():
            file = Path(made) / f"{name}.png"
            picture.save(file, optimize=True)
            upload_artifact(artifact_store=store, file_path=str(file), study_or_trial=trial)


def delete_artifacts(study: optuna.Study, storage: BaseStorage, folder: Path) -> int:
    """Delete the pictures of a study's trials, and say how many there were."""
    store, deleted = FileSystemArtifactStore(folder), 0
    for trial in study.get_trials(deepcopy=False):
        for kept in get_all_artifact_meta(trial, storage=storage):
            with suppress(ArtifactNotFound):
                store.remove(kept.artifact_id)
                deleted += 1
    return deleted
