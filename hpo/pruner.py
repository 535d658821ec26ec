"""Pruners by name."""

from __future__ import annotations

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from hpo.settings import StudySettings


def make_pruner(settings: StudySettings) -> BasePruner:
    """The pruner that a study names; epochs are its resource."""
    search = settings.search
    match search.pruner:
        case "hyperband":
            return HyperbandPruner(
                min_resource=search.pruner_warmup,
                max_resource=settings.training.epochs,
                reduction_factor=search.pruner_factor,
            )
        case "halving":
            return SuccessiveHalvingPruner(
                min_resource=search.pruner_warmup, reduction_factor=search.pruner_factor
            )
        case "median":
            return MedianPruner(n_startup_trials=5, n_warmup_steps=search.pruner_warmup)
        case "none":
            return NopPruner()
