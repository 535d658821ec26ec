"""Where things are: study files, their databases and results, the data, the kept baselines."""

import os
from dataclasses import dataclass
from pathlib import Path

from data.sets import default_folder, packed_folder
from hpo.study.settings import SettingsError
from model.configuration import DataChoice

STUDIES = Path("studies")
DATABASE = "study.db"
"""The file of a study's database in the folder of its results."""
LONGEST = 200
"""Characters of a folder's name that comes from a database."""


@dataclass(frozen=True)
class StudyPlace:
    """A study file, the folder of its results, and the URL of its database."""

    name: str
    file: Path
    folder: Path
    url: str

    @property
    def is_shipped(self) -> bool:
        """Whether the study file came with the program, so that a new version may change it."""
        folders = [folder.resolve() for folder in _shipped_folders()]
        return self.file.resolve().parent in folders


def find_study(study: str, storage: str | None = None) -> StudyPlace:
    """A study by its name or the path of its file.

    A name is looked up in ``studies/`` of the working folder, then among the shipped files. The
    results are in a folder beside the file; those of a shipped study in ``studies/`` of
    the working folder. The database is ``storage``, else ``HPO_STORAGE``, else ``study.db`` in the
    folder of the results.

    Raises:
        SettingsError: there is no such study.
    """
    name, file, folder = _found(study)
    named = storage_named(storage)
    return StudyPlace(name, file, folder, named or _database_in(folder))


def _found(study: str) -> tuple[str, Path, Path]:
    given = Path(study)
    if given.suffix == ".toml" or len(given.parts) > 1:
        if not given.is_file():
            raise SettingsError(f"there is no study file {given}: check the path")
        return given.stem, given, given.with_suffix("")
    known = study_files()
    if study not in known:
        raise SettingsError(
            f"there is no study {study}: name one of {', '.join(known)}, or give a study file's "
            "path"
        )
    return study, known[study], STUDIES / study


def study_files() -> dict[str, Path]:
    """The study files that are found by their names, in the order of these."""
    folders = (*reversed(_shipped_folders()), STUDIES)  # the later ones take the place of others
    found = {file.stem: file for folder in folders for file in folder.glob("*.toml")}
    return dict(sorted(found.items()))


def storage_named(given: str | None) -> str | None:
    """The storage that was asked for: ``--storage``, else ``HPO_STORAGE``, else none."""
    return given or os.environ.get("HPO_STORAGE")


def storages(given: str | None) -> list[str]:
    """The storage that was asked for; without one, those of the studies in ``studies/``."""
    named = storage_named(given)
    if named:
        return [named]
    return [_database_in(file.parent) for file in sorted(STUDIES.glob(f"*/{DATABASE}"))]


def _database_in(folder: Path) -> str:
    from sqlalchemy import URL  # which takes a moment to import, and names need it not

    return URL.create("sqlite", database=str(folder / DATABASE)).render_as_string()


def find_configuration(name: str) -> Path:
    """The configuration of a network that `hpo baselines` trains.

    It is looked up in ``studies/configurations/`` of the working folder, then among the shipped
    ones.
    """
    folders = [folder / "configurations" for folder in (STUDIES, *_shipped_folders())]
    files = [folder / f"{name}.toml" for folder in folders]
    return next((file for file in files if file.is_file()), files[-1])


def shipped_network() -> Path:
    """The trained network that comes with the program."""
    files = [folder / "networks" / "omniglot.safetensors" for folder in _shipped_folders()]
    return next((file for file in files if file.is_file()), files[-1])


def artifacts_folder(results: Path) -> Path:
    """Where the trials' pictures stand among the results of a study."""
    return results / "artifacts"


def snapshots_folder(results: Path, token: str) -> Path:
    """Where the unfinished trials of a study stand among its results.

    Args:
        results: folder of the study's results, which studies of several databases may share.
        token: what tells the study from those.

    Raises:
        SettingsError: it is no plain name.
    """
    return results / "snapshots" / _checked(token)


def confirmation_folder(results: Path, token: str) -> Path:
    """Where the unfinished retrainings of a study stand, likewise."""
    return results / "confirmation" / _checked(token)


def is_plain_name(name: str) -> bool:
    """Whether a name that comes from a database may become a file's or a folder's."""
    if name in ("", ".", "..") or len(name) > LONGEST:
        return False
    return not any(c in "/\\" or ord(c) < 32 for c in name)


def _checked(token: str) -> str:
    if not is_plain_name(token):
        raise SettingsError(
            f"the token of the study is {token!r}, which is no name of a folder: somebody changed "
            "the database; put the attribute right, or delete the study there"
        )
    return token


def networks_folder() -> Path:
    """Where the networks that `hpo baselines` trained are kept, beside the packed data."""
    return packed_folder() / "networks"


def scores_folder() -> Path:
    """Where the scores that `hpo baselines` took are kept, beside the packed data."""
    return packed_folder() / "baselines"


def _shipped_folders() -> tuple[Path, ...]:
    package = Path(__file__).parent.parent
    return package / "studies", package.parent / "studies"


def storage_of(given: str | None, study: str) -> str:
    """The storage of a study that is known by its name alone, whose file may be elsewhere.

    Raises:
        SettingsError: no storage was named, and there is no study file of this name.
    """
    return storage_named(given) or find_study(study).url


def data_folder(given: Path | None, choice: DataChoice | None = None) -> Path:
    """The folder of the data: ``--data``, a file's ``data.path``, ``HPO_DATA``, or the default.

    Raises:
        SettingsError: it does not exist, or nobody says where a person's own images are.
    """
    written = (choice and choice.path) or os.environ.get("HPO_DATA")
    named = given or (Path(written).expanduser() if written else None)
    if named is None and choice and choice.set == "folder":
        raise SettingsError("where the images are is not said: name their folder with --data")
    if named and not named.is_dir():
        raise SettingsError(
            f"the data folder {named} does not exist: make it, or name the one with the data"
        )
    return named or default_folder()
