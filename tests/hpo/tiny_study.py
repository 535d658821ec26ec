"""A study file whose trials take a second or so."""

from pathlib import Path

from hpo.study.settings import StudySettings, read_settings
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, load

TINY = """
description = "tiny"
[data]
set = "strokes"
validation_tasks = 40
[network]
image_size = 20
convolutions = 2
initial_weights = "he"
[space]
kernel = { low = 3, high = 9 }
filters = { low = 16, high = 32 }
fc_units = { low = 128, high = 256 }
lr = { low = 0.01, high = 0.1, log = true }
momentum = { low = 0.5, high = 0.9 }
l2 = { low = 1e-7, high = 1e-4, log = true }
[training]
epochs = 3
momentum_ramp = 2
[training.sampling]
kind = "all-pairs"
loss = "softmax"
characters = 20
per_alphabet = 10
steps = 4
[full_training]
epochs = 4
[search]
sampler = "random"
pruner = "none"
seed = 7
"""

UNTRAINABLE = (
    "space.lr={ low = 9.9, high = 10 }",
    "space.momentum={ low = 1, high = 1 }",
    "space.l2={ low = 1, high = 1 }",
    "training.sampling.steps=200",
)
"""Changes with which every trial diverges."""


def write_tiny(folder: Path, name: str = "tiny", **changes: str) -> Path:
    """The study file, each old text in ``changes`` replaced by its new one."""
    text = TINY
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(text)
    return file


def tiny_settings(tmp_path: Path, *changes: str) -> StudySettings:
    """The study's settings, with ``--set`` changes."""
    return read_settings(write_tiny(tmp_path), changes)


def open_tiny(folder: Path) -> StoredStudy:
    """The study that a command line made in this folder."""
    return load("tiny", open_storage(f"sqlite:///{folder}/studies/tiny/study.db", create=False))
