"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer


def _studies() -> list[str]:
    """The names that a shell completes; looked for when it asks."""
    from hpo.study.paths import study_files

    return list(study_files())


StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="[STUDY]",
        help="A name under studies/, or a study file's path.",
        autocompletion=_studies,
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(help="Database URL.  [default: HPO_STORAGE, or study.db in the study's folder]"),
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the data: the Omniglot zips, or your own images.  [default: HPO_DATA, or "
        "~/.cache/hpo]"
    ),
]
Results = Annotated[
    Path | None,
    typer.Option(
        help="Folder for unfinished trainings and the trials' pictures; machines of one study "
        "share it.  [default: the study's folder]"
    ),
]
TensorBoard = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write each trial as a run for TensorBoard, DIR/STUDY/trial-0007: its curve, "
        "hyper-parameters and pictures. Needs the extra tensorboard.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1; auto takes a GPU if any.")]
ThreadsOfCpu = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=999,
        help="Of the CPU, always this many for each training, so that it can be repeated exactly.  "
        "[default: as many as there are cores, fewer while other processes keep these busy]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds until it stops.")]
