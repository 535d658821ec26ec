"""The figures that others published, to stand beside the measured ones.

Omniglot's are for 20-way within-alphabet tasks, the 400 of the official runs (Koch et al. 2015,
table 2), which are easier than random draws of the same alphabets.
"""

from collections.abc import Mapping

OMNIGLOT: Mapping[str, float] = {
    "humans": 0.955,
    "hierarchical Bayesian program learning": 0.952,
    "siamese-conv": 0.920,
    "affine model": 0.818,  # a program learner with less of a program, not a pixel alignment
    "hierarchical deep": 0.652,
    "deep Boltzmann machine": 0.620,
    "hausdorff": 0.612,  # the demonstration that comes with Omniglot's official runs
    "siamese-dense": 0.583,
    "simple stroke": 0.352,
    "nearest-neighbour": 0.217,
}
"""Accuracy in [0, 1] by the name of the system; `hpo.paper.baselines` has the same."""

MNIST: Mapping[str, float] = {"siamese-conv": 0.703, "nearest-neighbour": 0.265}
"""Likewise 10-way on MNIST (Koch et al. 2015, table 3)."""

VERIFICATION: Mapping[str, float] = {
    "30k": 0.9061,
    "30k+distortions": 0.9190,
    "90k": 0.9154,
    "90k+distortions": 0.9315,
    "150k": 0.9163,
    "150k+distortions": 0.9342,
}
"""Accuracy in [0, 1] by the name of the training set, as `hpo.paper.verification` has it
(Koch et al. 2015, table 1)."""
