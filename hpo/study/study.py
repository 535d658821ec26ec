"""A study in SQL: create it, resume it, and what it holds."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.trial import TrialState
from pydantic import ValidationError

from hpo import __version__
from hpo.search.pruners import make_pruner
from hpo.search.sampler import BuildableSampler, inner_sampler
from hpo.study.patient_storage import PatientStorage
from hpo.study.retry import has_ended, owner
from hpo.study.settings import StudySettings, differences
from hpo.study.space import SearchSpace
from hpo.study.storage import shown
from model.configuration import first_problem

FORMAT = 1
"""Of what a study keeps in its attributes; another number cannot be resumed."""
MAKING = 10.0
"""Seconds that the making of a study may take."""
WANTED = "trials_wanted"
"""The attribute of a study that tells how many finished trials it shall hold."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class StudyError(Exception):
    """A study that is absent, or cannot be resumed. One sentence with the way out."""


@dataclass(frozen=True)
class StoredStudy:
    """A study with the settings that it was made with."""

    study: optuna.Study
    storage: PatientStorage
    settings: StudySettings
    data_fingerprint: str

    @property
    def token(self) -> str:
        """What tells this study from others of its name, in other databases."""
        return str(self.study.user_attrs.get("token", self.study.study_name))

    @property
    def space(self) -> SearchSpace:
        """The space that it searches."""
        return SearchSpace(self.settings)


def create_or_resume(
    name: str,
    settings: StudySettings,
    data_fingerprint: str,
    storage: PatientStorage,
    prepare: Callable[[optuna.Study], None] | None = None,
) -> tuple[StoredStudy, bool]:
    """The study of this name, made if it is absent; and whether it was made.

    Args:
        name: of the study.
        settings: of the study.
        data_fingerprint: of its data.
        storage: where it stands.
        prepare: does what else is to be done to a study that is made, before any process can
            join it. Cut short, it is done again, to a study that is made anew.

    Raises:
        StudyError: it exists with other settings, other data, or in another format.
    """
    if _is_made(name, storage):
        stored = load(name, storage)
        changed = differences(
            {**stored.settings.model_dump(mode="json"), "data's content": stored.data_fingerprint},
            {**settings.model_dump(mode="json"), "data's content": data_fingerprint},
        )
        if changed:
            raise StudyError(
                f"the study {name} was made with other settings ({'; '.join(changed)}): run it "
                "with those, or copy the study file under another name"
            )
        return stored, False
    first = SearchSpace(settings).checked_first()
    try:
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            pruner=make_pruner(settings),
            direction="minimize",
        )
    except DuplicatedStudyError:  # another process was faster
        return create_or_resume(name, settings, data_fingerprint, storage, prepare)
    study.set_user_attr("maker", owner())
    study.set_metric_names(["one-shot validation error"])
    study.sampler = _sampler(settings, study)
    for params in first:
        study.enqueue_trial(params)
    if prepare is not None:
        prepare(study)
    study.set_user_attr("settings", settings.model_dump(mode="json"))
    study.set_user_attr("data_fingerprint", data_fingerprint)
    study.set_user_attr("hpo_version", __version__)
    study.set_user_attr("token", secrets.token_hex(8))
    study.set_user_attr("format", FORMAT)  # last: a study that has it has everything
    return StoredStudy(study, storage, settings, data_fingerprint), True


def _is_made(name: str, storage: PatientStorage) -> bool:
    """Whether there is a study of this name.

    One that another process makes is waited for, and one whose making was cut short is deleted.
    """
    deadline = time.monotonic() + MAKING
    while name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        if "format" in study.user_attrs:
            return True  # as nearly always; its trials, maybe thousands, need not be read
        if any(t.state != TrialState.WAITING for t in study.get_trials(deepcopy=False)):
            return True
        maker = study.user_attrs.get("maker")
        if (maker and has_ended(maker)) or time.monotonic() > deadline:
            optuna.delete_study(study_name=name, storage=storage)
            return False
        time.sleep(0.2)
    return False


def load(name: str, storage: PatientStorage) -> StoredStudy:
    """An existing study.

    Raises:
        StudyError: there is none of this name, or it is in another format.
    """
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError as error:
        raise StudyError(
            f"there is no study {name} in {shown(str(storage.url))}: start it with `hpo run {name}`"
        ) from error
    attributes = study.user_attrs
    if attributes.get("format") != FORMAT:
        raise StudyError(
            f"the study {name} has format {attributes.get('format')} where this program reads "
            f"{FORMAT}: use the version that made it, or start another study"
        )
    try:
        settings = StudySettings.model_validate(_without_nulls(attributes["settings"]))
    except ValidationError as error:
        raise StudyError(
            f"the study {name} was made by version {attributes.get('hpo_version')}, whose settings "
            f"this one does not know ({first_problem(error)}): use that version"
        ) from error
    study.sampler, study.pruner = _sampler(settings, study), make_pruner(settings)
    return StoredStudy(study, storage, settings, attributes["data_fingerprint"])


def _without_nulls(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are not set: one that an older version knew may be gone since."""
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in stored.items()
        if value is not None
    }


def _sampler(settings: StudySettings, study: optuna.Study) -> BuildableSampler:
    search, space = settings.search, SearchSpace(settings)
    make = partial(inner_sampler, search.sampler, search.startup_trials)
    return BuildableSampler(make, space, search.seed, study)


def wanted(study: optuna.Study) -> int | None:
    """How many finished trials the study shall hold; None where its budget alone ends it."""
    kept = study.user_attrs.get(WANTED, 0)
    return None if kept is None else int(kept)


def finished(study: optuna.Study) -> int:
    """How many trials are complete or pruned."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))
