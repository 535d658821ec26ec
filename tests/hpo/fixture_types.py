"""What the fixtures of `conftest` give."""

from collections.abc import Callable

from hpo.study.study import StoredStudy

Open = Callable[..., StoredStudy]
"""Opens the study ``tiny``, with changes to its settings, anew as a new process would."""
Run = Callable[[StoredStudy, int], str | None]
"""Runs a study until it holds this many finished trials."""
Searched = Callable[[], StoredStudy]
"""Opens a study that was searched by a command line."""
