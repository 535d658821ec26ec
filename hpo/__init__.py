"""Bayesian hyper-parameter search for one-shot siamese networks."""

from importlib.metadata import version

__version__ = version("hpo-siamese")
