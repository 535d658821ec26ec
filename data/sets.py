"""The data sets: their names, where they are, and how many classes their tasks have."""

import os
from pathlib import Path
from typing import Literal

SetName = Literal["omniglot", "strokes", "folder"]
WAY = 20
"""Characters of a support set, and tasks of a draw (Koch et al. 2015, §4.3)."""


def default_folder() -> Path:
    """Where data is looked for and downloaded to when nothing else is said: ``~/.cache/hpo``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpo"


def packed_folder() -> Path:
    """Where packed data sets are kept: ``HPO_CACHE``, or the default folder."""
    return Path(os.environ.get("HPO_CACHE") or default_folder())
