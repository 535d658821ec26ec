"""The best trial of a study as a configuration."""

from __future__ import annotations

from datetime import UTC, datetime

from hpo import __version__
from hpo.study import StoredStudy, StudyError, best_trial
from model.config import Configuration, Provenance


def export_best(stored: StoredStudy) -> Configuration:
    """The configuration of the complete trial with the lowest error, to be trained in full.

    Raises:
        StudyError: no trial has been trained to its end.
    """
    best = best_trial(stored.study)
    name = stored.study.study_name
    if best is None or best.value is None:
        raise StudyError(f"the study {name} has no complete trial yet: go on with `hpo run {name}`")
    settings, seed = stored.settings, best.user_attrs["seed"]
    configuration = stored.space.configuration(best.params, seed, settings.trained_in_full())
    provenance = Provenance(
        study=name,
        trial=best.number,
        error=best.value,
        best_epoch=best.user_attrs["best_epoch"],
        seed=seed,
        training=settings.training,
        data_fingerprint=stored.data_fingerprint,
        device=best.user_attrs["device"],
        precision=best.user_attrs["precision"],
        hpo_version=__version__,
        exported=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return configuration.model_copy(update={"provenance": provenance})
