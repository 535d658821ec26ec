"""The command that deletes a study: delete."""

from __future__ import annotations

from shutil import rmtree
from typing import Annotated

import optuna
import typer

from hpo.cli.options import Results, Storage, StudyArgument, _load
from hpo.results.retrain import retraining_folder
from hpo.search.objective import snapshot_folder
from hpo.search.pictures import artifact_folder, delete_artifacts
from hpo.study.paths import find_study, storage_url
from hpo.study.retry import reclaim
from hpo.study.storage import shown, storage_errors
from hpo.study.study import StudyError
from hpo.view.status import StatusReader


def delete(
    study: StudyArgument,
    storage: Storage = None,
    results: Results = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a study: its trials, their pictures, its unfinished trainings.

    Checkpoints and configurations stay. Example: hpo delete demo
    """
    place = find_study(study)
    url, folder = storage_url(storage, place), results or place.folder
    with storage_errors(url):
        stored = _load(place, url)
        reclaim(stored.study, stored.storage)
        name, trials = stored.study.study_name, len(stored.study.get_trials(deepcopy=False))
        running = len(StatusReader(stored).read().running)
        if running:
            raise StudyError(
                f"{running} trials of the study {name} run on this machine or another: stop the "
                "search first"
            )
        if not yes:
            typer.confirm(f"delete {name} with its {trials} trials from {shown(url)}?", abort=True)
        pictures = delete_artifacts(stored.study, stored.storage, artifact_folder(folder))
        for unfinished in (snapshot_folder, retraining_folder):
            rmtree(unfinished(folder, stored.token), ignore_errors=True)
        optuna.delete_study(study_name=name, storage=stored.storage)
    print(f"deleted {name}: {trials} trials, {pictures} pictures")
