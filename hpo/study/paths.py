"""Where things stand: study files, their databases, the data, what is kept of the baselines."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from data.sources.omniglot import default_folder, packed_folder
from hpo.study.settings import SettingsError

STUDIES = Path("studies")


@dataclass(frozen=True)
class StudyPlace:
    """A study file and the folder of its database and results."""

    name: str
    file: Path
    folder: Path

    @property
    def default_storage(self) -> str:
        """The URL of the SQLite database beside the study's results."""
        return f"sqlite:///{self.folder / 'study.db'}"


def find_study(study: str) -> StudyPlace:
    """A study by its name or the path of its file.

    A name is looked up in ``studies/`` of the working folder, then among the shipped files. The
    results stand in a folder beside the file; those of a shipped study in ``studies/`` of
    the working folder.

    Raises:
        SettingsError: there is no such study.
    """
    given = Path(study)
    if given.suffix == ".toml" or len(given.parts) > 1:
        if not given.is_file():
            raise SettingsError(f"there is no study file {given}: check the path")
        return StudyPlace(given.stem, given, given.with_suffix(""))
    local = STUDIES / f"{study}.toml"
    if local.is_file():
        return StudyPlace(study, local, local.with_suffix(""))
    for folder in _shipped_folders():
        if (folder / local.name).is_file():
            return StudyPlace(study, folder / local.name, STUDIES / study)
    known = sorted({f.stem for d in (STUDIES, *_shipped_folders()) for f in d.glob("*.toml")})
    raise SettingsError(
        f"there is no study {study}: name one of {', '.join(known)}, or give a study file's path"
    )


def find_configuration(name: str) -> Path:
    """The configuration of a network that `hpo baselines` trains.

    It is looked up in ``studies/configurations/`` of the working folder, then among the shipped
    ones.
    """
    folders = [folder / "configurations" for folder in (STUDIES, *_shipped_folders())]
    files = [folder / f"{name}.toml" for folder in folders]
    return next((file for file in files if file.is_file()), files[-1])


def networks_folder() -> Path:
    """Where the networks that `hpo baselines` trained are kept, beside the packed data."""
    return packed_folder() / "networks"


def scores_folder() -> Path:
    """Where the scores that `hpo baselines` took are kept, beside the packed data."""
    return packed_folder() / "baselines"


def _shipped_folders() -> tuple[Path, ...]:
    package = Path(__file__).parent.parent
    return package / "studies", package.parent / "studies"


def storage_url(given: str | None, place: StudyPlace) -> str:
    """The storage that was asked for: ``--storage``, ``HPO_STORAGE``, or the study's own file."""
    return given or os.environ.get("HPO_STORAGE") or place.default_storage


def storage_of(given: str | None, study: str) -> str:
    """The storage of a study that is known by its name alone, whose file may be elsewhere.

    Raises:
        SettingsError: no storage was named, and there is no study file of this name.
    """
    return given or os.environ.get("HPO_STORAGE") or find_study(study).default_storage


def data_folder(given: Path | None) -> Path:
    """The data folder that was asked for: ``--data``, ``HPO_DATA``, or the default."""
    named = given or (Path(os.environ["HPO_DATA"]) if os.environ.get("HPO_DATA") else None)
    if named and not named.is_dir():
        raise SettingsError(
            f"the data folder {named} does not exist: make it, or name the one with the data"
        )
    return named or default_folder()
