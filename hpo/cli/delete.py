"""The command that deletes a study: delete."""

from shutil import rmtree
from typing import Annotated

import optuna
import typer

from hpo.cli.options import Results, Storage, StudyArgument
from hpo.cli.steps import opened_study
from hpo.search.pictures import delete_artifacts
from hpo.study.paths import artifacts_folder, confirmation_folder, snapshots_folder
from hpo.study.retry import reclaim
from hpo.study.storage import shown
from hpo.study.study import StudyError
from hpo.view.status import StatusReader


def delete(
    study: StudyArgument,
    storage: Storage = None,
    results: Results = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a study with its trials.

    Their pictures and the unfinished trainings go too. Checkpoints and configurations stay.

    Example: hpo delete demo
    """
    with opened_study(study, storage) as (place, stored):
        folder = results or place.folder
        unfinished = [of(folder, stored.token) for of in (snapshots_folder, confirmation_folder)]
        reclaim(stored.study, stored.storage)
        name, trials = stored.study.study_name, len(stored.study.get_trials(deepcopy=False))
        running = len(StatusReader(stored).read().running)
        if running:
            raise StudyError(
                f"{running} trials of the study {name} run on this machine or another: stop the "
                "search first"
            )
        if not yes:
            typer.confirm(
                f"delete {name} with its {trials} trials from {shown(place.url)}?", abort=True
            )
        pictures = delete_artifacts(stored.study, stored.storage, artifacts_folder(folder))
        for trainings in unfinished:
            rmtree(trainings, ignore_errors=True)
        optuna.delete_study(study_name=name, storage=stored.storage)
    print(f"deleted {name}: {trials} trials, {pictures} pictures")
