"""What the fixtures of `conftest` give."""

from collections.abc import Callable

from hpo.study.study import StoredStudy

Open = Callable[..., StoredStudy]
"""Opens the study ``tiny``, with changes to its settings, anew as a new process would."""
Run = Callable[..., str | None]
"""Runs a study until it holds this many finished trials, and writes TensorBoard's runs if asked."""
Searched = Callable[[], StoredStudy]
"""Opens a study that was searched by a command line."""
