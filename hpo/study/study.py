"""A study in SQL: create it, resume it, and what it holds."""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.trial import TrialState
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from data.errors import UserError
from hpo import __version__
from hpo.study.checked import Text, checked
from hpo.study.owner import Owner, has_ended, owner
from hpo.study.patient_storage import PatientStorage
from hpo.study.settings import StudySettings, differences, parsed_changes
from hpo.study.space import SearchSpace
from hpo.study.storage import NoStudy, shown
from model.configuration import first_problem

if TYPE_CHECKING:
    import torch

    from model.fast.threads import Threads
    from model.inputs import Inputs

logger = logging.getLogger(__name__)

FORMAT = 1
"""Of what a study keeps in its attributes; another number cannot be resumed."""
MAKING = 10.0
"""Seconds that the making of a study may take."""


class _Kept(TypedDict):
    """The attributes of a study that every command reads."""

    settings: dict[str, Any]
    data_fingerprint: Text
    hpo_version: NotRequired[Text]
    token: NotRequired[Text]
    changes: NotRequired[list[Text]]


_KEPT, _MAKER = TypeAdapter(_Kept), TypeAdapter(Owner | None)


class StudyError(UserError):
    """A study that is absent, or cannot be resumed. One sentence with the way out."""


@dataclass(frozen=True)
class StoredStudy:
    """A study with the settings that it was made with."""

    study: optuna.Study
    storage: PatientStorage
    settings: StudySettings
    data_fingerprint: str
    token: str
    """What tells this study from others of its name, in other databases."""
    changes: Sequence[str] | None
    """What ``--set`` and the like changed of the study file, as `read_settings` takes it.

    None where an older version made the study, which did not keep that.
    """
    version: str
    """Of the program that made it."""

    @property
    def space(self) -> SearchSpace:
        """The space that it searches."""
        return SearchSpace(self.settings)

    def open_inputs(
        self, folder: Path, device: "torch.device", threads: "Threads | None" = None
    ) -> "Inputs":
        """The data that its networks train on and are scored on.

        Args:
            folder: of the data.
            device: where to train.
            threads: of the CPU; left out, PyTorch's number, and fewer beside busy processes.

        Raises:
            StudyError: the folder holds other data than the study was made with.
            DataError: as `model.inputs.open_inputs` does.
        """
        from model.inputs import open_inputs  # PyTorch takes seconds to import

        data, network = self.settings.data, self.settings.network
        size = network.image_size, network.channels
        inputs = open_inputs(data, *size, folder, device, threads)
        self.check_data(inputs.fingerprint)
        return inputs

    def check_data(self, fingerprint: str) -> None:
        """See that this is the study's data.

        Raises:
            StudyError: it is other data.
        """
        if fingerprint != self.data_fingerprint:
            raise StudyError(
                f"the study {self.study.study_name} is about other data ({self.data_fingerprint}) "
                f"than is here ({fingerprint}): name the folder of the same data with --data"
            )


def create_or_resume(
    name: str,
    settings: StudySettings,
    data_fingerprint: str,
    storage: PatientStorage,
    prepare: Callable[[optuna.Study], None] | None = None,
    changes: Sequence[str] = (),
    shipped: bool = False,
) -> tuple[StoredStudy, bool]:
    """The study of this name, made if it is absent; and whether it was made.

    Args:
        name: of the study.
        settings: of the study.
        data_fingerprint: of its data.
        storage: where it stands.
        prepare: does what else is to be done to a study that is made, before any process can
            join it. Cut short, it is done again, to a study that is made again.
        changes: of the study file, which ``settings`` have already.
        shipped: whether the study file came with the program.

    Raises:
        StudyError: it exists with other settings, other data, or in another format.
    """
    if is_made(name, storage):
        stored = load(name, storage)
        check_settings(stored, settings, changes, shipped)
        if stored.settings.data.model_dump() == settings.data.model_dump():
            stored.check_data(data_fingerprint)
        return stored, False
    first = SearchSpace(settings).checked_first()
    try:
        study = optuna.create_study(study_name=name, storage=storage, direction="minimize")
    except DuplicatedStudyError:  # another process was faster
        return create_or_resume(
            name, settings, data_fingerprint, storage, prepare, changes, shipped
        )
    study.set_user_attr("maker", owner())
    study.set_metric_names(["one-shot validation error"])
    for params in first:
        study.enqueue_trial(params)
    if prepare is not None:
        prepare(study)
    study.set_user_attr("settings", settings.model_dump(mode="json"))
    study.set_user_attr("changes", list(changes))
    study.set_user_attr("data_fingerprint", data_fingerprint)
    study.set_user_attr("hpo_version", __version__)
    study.set_user_attr("token", secrets.token_hex(8))
    study.set_user_attr("format", FORMAT)  # last: a study that has it has everything
    return load(name, storage), True


def check_settings(
    stored: StoredStudy, settings: StudySettings, changes: Sequence[str], shipped: bool
) -> None:
    """See that a study has these settings.

    A file that came with the program may be another than the version had that made the study: the
    study then goes on with its own settings, and that is said.

    Args:
        stored: the study.
        settings: of the study file, changes included.
        changes: of the study file.
        shipped: whether the study file came with the program.

    Raises:
        StudyError: it has others.
    """
    changed = differences(stored.settings.model_dump(mode="json"), settings.model_dump(mode="json"))
    if not changed:
        return
    name, version = stored.study.study_name, stored.version
    upgraded = shipped and version != __version__
    if upgraded and parsed_changes(changes) == parsed_changes(stored.changes or ()):
        logger.info(
            "the study file of %s is another than version %s had (%s); the study goes on with its "
            "own settings",
            name,
            version,
            "; ".join(changed),
        )
        return
    raise StudyError(
        f"the study {name} was made with other settings ({'; '.join(changed)}): run it "
        "with those, or copy the study file under another name"
    )


def is_made(name: str, storage: PatientStorage) -> bool:
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
        maker = checked(_MAKER, study.user_attrs.get("maker"), f"the maker of {name}")
        if (maker and has_ended(maker)) or time.monotonic() > deadline:
            optuna.delete_study(study_name=name, storage=storage)
            return False
        time.sleep(0.2)
    return False


def load(name: str, storage: PatientStorage) -> StoredStudy:
    """An existing study.

    Raises:
        NoStudy: there is none of this name.
        StudyError: it is in another format.
    """
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError as error:
        raise NoStudy(f"there is no study {name} in {shown(str(storage.url))}") from error
    found = study.user_attrs.get("format")
    if found != FORMAT:
        raise StudyError(
            f"the study {name} has format {found} where this program reads "
            f"{FORMAT}: use the version that made it, or start another study"
        )
    kept = checked(_KEPT, study.user_attrs, f"the study {name}")
    version = kept.get("hpo_version", "unknown")
    try:
        settings = StudySettings.model_validate(_without_nulls(kept["settings"]))
    except ValidationError as error:
        raise StudyError(
            f"the study {name} was made by version {version}, whose settings "
            f"this one does not know ({first_problem(error)}): use that version"
        ) from error
    return StoredStudy(
        study,
        storage,
        settings,
        kept["data_fingerprint"],
        token=kept.get("token", name),
        changes=kept.get("changes"),
        version=version,
    )


def _without_nulls(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are not set: one that an older version knew may be gone since."""
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in stored.items()
        if value is not None
    }
