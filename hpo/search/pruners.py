"""Pruners by name."""

from __future__ import annotations

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from hpo.search.compute_pruner import ComputePruner
from hpo.search.paired_pruner import PairedPruner
from hpo.study.settings import StudySettings


def make_pruner(settings: StudySettings) -> BasePruner:
    """The pruner that a study names; epochs are its resource, or compute where it says so."""
    search, epochs = settings.search, settings.training.epochs
    warmup = min(search.pruner_warmup, epochs)
    match search.pruner:
        case "hyperband":
            return HyperbandPruner(
                min_resource=warmup,
                max_resource=epochs,
                reduction_factor=search.pruner_factor,
            )
        case "halving":
            return SuccessiveHalvingPruner(
                min_resource=warmup, reduction_factor=search.pruner_factor
            )
        case "compute":
            return ComputePruner(warmup + 1, search.pruner_factor)
        case "median":
            return MedianPruner(n_startup_trials=5, n_warmup_steps=warmup)
        case "wilcoxon":
            return PairedPruner(warmup)
        case "none":
            return NopPruner()
