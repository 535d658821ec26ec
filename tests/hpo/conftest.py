from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from data.drawings import Drawings
from data.split import Split
from data.tasks import OneShotTasks
from hpo.progress import Progress
from hpo.search import search
from hpo.settings import StudySettings
from hpo.storage import open_storage
from hpo.study import WANTED, StoredStudy, create_or_resume
from hpo.trial import Objective

Run = Callable[[StoredStudy, int], str | None]


@pytest.fixture(autouse=True)
def _strokes_are_drawn_once(strokes: Drawings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.sets.load_strokes", lambda seed, cache: strokes)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def open_study(database: str) -> Callable[[StudySettings], StoredStudy]:
    """Opens the study ``tiny``, anew each time, as a new process would."""

    def open_study(settings: StudySettings) -> StoredStudy:
        storage = open_storage(database, create=True)
        return create_or_resume("tiny", settings, "strokes-1-0", storage)[0]

    return open_study


@pytest.fixture
def run(small_split: Split, small_tasks: OneShotTasks, tmp_path: Path) -> Run:
    """Runs a study on the CPU until it holds so many finished trials."""

    def run(stored: StoredStudy, trials: int) -> str | None:
        cpu, progress = torch.device("cpu"), Progress(trials, 0, None)
        stored.study.set_user_attr(WANTED, trials)
        return search(
            stored,
            lambda on_step: Objective(
                stored, small_split, small_tasks, cpu, tmp_path / "snapshots", progress, on_step
            ),
            None,
            progress,
        )

    return run
