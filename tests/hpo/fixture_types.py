"""What the fixtures of `conftest` give."""

from collections.abc import Callable

from hpo.study.settings import StudySettings
from hpo.study.study import StoredStudy

Open = Callable[[StudySettings], StoredStudy]
"""Opens the study ``tiny``, anew each time, as a new process would."""
Run = Callable[[StoredStudy, int], str | None]
"""Runs a study until it holds this many finished trials."""
Searched = Callable[[], StoredStudy]
"""Opens a study that was searched by a command line."""
