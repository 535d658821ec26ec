"""The command that lists the studies that there are: list."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import optuna

from data.errors import UserError
from hpo.cli.options import AsJson, Storage
from hpo.cli.steps import print_json, print_table, say
from hpo.study.checked import BrokenStudy
from hpo.study.paths import storage_named, storages, study_files
from hpo.study.storage import open_storage, shown, storage_errors
from hpo.study.study import StudyError, load
from hpo.view.format import percent
from hpo.view.status import StatusReader


@dataclass(frozen=True)
class _Listed:
    """A study: one of a database, or a study file that nobody has begun.

    Attributes:
        study: its name.
        begun: whether a database has it.
        finished, running: trials.
        best_error: of the trials that trained to their end, in [0, 1], if there are any.
        where: the URL of its database, without a password; else its study file.
    """

    study: str
    begun: bool
    finished: int
    running: int
    best_error: float | None
    where: str


def list(storage: Storage = None, json_: AsJson = False) -> None:
    """List the studies that there are, and those that can be begun.

    They are those of the database, where --storage or HPO_STORAGE names one, else those of every
    studies/*/study.db here; then the study files that are found by name and are not begun.

    Example: hpo list
    """
    found: Sequence[_Listed] = []
    for url in storages(storage):
        try:
            found = [*found, *_in_database(url)]
        except UserError as error:
            if storage_named(storage):
                raise
            say(error.sentence)  # the others are listed
    begun = {one.study for one in found}
    found = [
        *found,
        *(
            _Listed(name, False, 0, 0, None, str(file))
            for name, file in study_files().items()
            if name not in begun
        ),
    ]
    if json_:
        print_json([asdict(one) for one in found])
        return
    header = ("study", "finished", "running", "best error", "where")
    print_table("Studies", header, map(_row, found))


def _in_database(url: str) -> Iterator[_Listed]:
    """The studies of a database, by name."""
    with storage_errors(url):
        database = open_storage(url, create=False, read_only=True)
        for name in sorted(optuna.get_all_study_names(database)):
            try:
                now = StatusReader(load(name, database)).read()
            except (StudyError, BrokenStudy) as unread:
                say(unread.sentence)  # it is plain Optuna's, say
                continue
            error = now.best.value if now.best else None
            yield _Listed(name, True, now.finished, len(now.running), error, shown(url))


def _row(one: _Listed) -> tuple[str, ...]:
    figures = (str(one.finished), str(one.running)) if one.begun else ("not begun", "")
    best = "–" if one.best_error is None else percent(one.best_error)
    return one.study, *figures, best, one.where
