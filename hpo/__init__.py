"""Bayesian hyper-parameter search for one-shot siamese networks."""

import os
from importlib.metadata import version

# Before PyTorch is loaded: threads that wait by spinning make every process of a machine that
# has other work several times slower, and those of a machine of their own hardly faster.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = version("hpo-siamese")
