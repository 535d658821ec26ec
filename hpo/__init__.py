"""Bayesian hyper-parameter search for one-shot siamese networks."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("hpo-siamese")
except PackageNotFoundError:  # a checkout that is not installed
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    __version__ = project["project"]["version"]
