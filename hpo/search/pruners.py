"""Pruners by name."""

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from hpo.study.settings import StudySettings


def make_pruner(settings: StudySettings) -> BasePruner:
    """The pruner that a study names; epochs are its resource."""
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
        case "median":
            return MedianPruner(n_startup_trials=5, n_warmup_steps=warmup)
        case "none":
            return NopPruner()
