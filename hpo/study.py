"""A study in SQL: open, create, resume; what it holds; trials whose process is gone."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from hpo import __version__
from hpo.pruner import make_pruner
from hpo.sampler import BuildableSampler
from hpo.settings import StudySettings, differences
from hpo.space import SearchSpace

FORMAT = 1
"""Of what a study keeps in its attributes; another number cannot be resumed."""
WANTED = "trials_wanted"
"""The attribute of a study that tells how many finished trials it shall hold."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
HEARTBEAT = 60  # seconds between two signs of life of a running trial
GRACE = 300  # seconds without one after which a trial on another machine counts as dead
SQLITE_PATIENCE = 60  # seconds to wait for another process's write
RETRIES = 3
"""How often a trial whose process died is started anew. One that was interrupted, always."""


class StudyError(Exception):
    """A study that is absent, of another kind, or out of reach. One sentence with the way out."""


def shown(url: str) -> str:
    """A storage URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the storage"


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what a database can raise into a `StudyError`."""
    try:
        yield
    except (ArgumentError, NoSuchModuleError) as error:
        raise StudyError(
            "the storage is not a database URL that is supported: write it as "
            "sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
        ) from error
    except ImportError as error:
        raise StudyError(
            f"{shown(url)} needs its driver: install the extra for it, as in "
            "pip install 'hpo-siamese[postgres]' or 'hpo-siamese[mysql]'"
        ) from error
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StudyError(
            f"{shown(url)} cannot be used as a study database ({cause}): check that it is one, "
            "and that it can be reached and written"
        ) from error
    except RuntimeError as error:
        if "schema" not in str(error) and "compatible" not in str(error):
            raise
        raise StudyError(
            f"{shown(url)} was made by another version of Optuna ({error}): use that version, or "
            "another storage"
        ) from error


def open_storage(url: str, create: bool) -> RDBStorage:
    """Connect to a database.

    Args:
        url: as SQLAlchemy takes it.
        create: whether a SQLite file that is absent is made, with its folder.

    Raises:
        StudyError: it cannot be reached, read or written.
    """
    with storage_errors(url):
        parsed = make_url(url)
        arguments: dict[str, Any] = {}
        if parsed.get_backend_name() == "sqlite":
            _prepare_file(parsed.database, create)
            arguments = {"connect_args": {"timeout": SQLITE_PATIENCE}}
        storage = RDBStorage(
            url,
            engine_kwargs=arguments,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=_retry_stale,
        )
        if parsed.get_backend_name() == "sqlite":
            event.listen(storage.engine, "connect", _write_ahead)
            storage.engine.dispose()
        return storage


def _prepare_file(database: str | None, create: bool) -> None:
    if not database or database == ":memory:":
        return
    file = Path(database)
    if not file.exists() and not create:
        raise StudyError(f"there is no study in {file}: start one with `hpo run`")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"{file.parent} cannot be made ({error.strerror}): name another place with --storage"
        ) from error
    place = file if file.exists() else file.parent
    if create and not (_writable(place) and _writable(file.parent)):
        raise StudyError(
            f"{place} is read-only: make it writable, or name another place with --storage"
        )


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _write_ahead(connection: Any, _record: Any) -> None:
    """Let readers and a writer work at once, and make a commit cost one flush."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


@dataclass(frozen=True)
class StoredStudy:
    """A study with the settings that it was made with."""

    study: optuna.Study
    storage: RDBStorage
    settings: StudySettings
    data_fingerprint: str

    @property
    def space(self) -> SearchSpace:
        """The space that it searches."""
        return SearchSpace(self.settings)


def create_or_resume(
    name: str, settings: StudySettings, data_fingerprint: str, storage: RDBStorage
) -> tuple[StoredStudy, bool]:
    """The study of this name, made if it is absent; and whether it was made.

    Raises:
        StudyError: it exists with other settings, other data, or in another format.
    """
    if name in optuna.get_all_study_names(storage):
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
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=_sampler(settings),
        pruner=make_pruner(settings),
        direction="minimize",
    )
    for params in first:
        study.enqueue_trial(params)
    study.set_user_attr("settings", settings.model_dump(mode="json"))
    study.set_user_attr("data_fingerprint", data_fingerprint)
    study.set_user_attr("hpo_version", __version__)
    study.set_user_attr("format", FORMAT)  # last: a study that has it has everything
    return StoredStudy(study, storage, settings, data_fingerprint), True


def load(name: str, storage: RDBStorage) -> StoredStudy:
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
    settings = StudySettings.model_validate(attributes["settings"])
    study.sampler, study.pruner = _sampler(settings), make_pruner(settings)
    return StoredStudy(study, storage, settings, attributes["data_fingerprint"])


def _sampler(settings: StudySettings) -> BuildableSampler:
    search = settings.search
    return BuildableSampler(
        search.sampler, SearchSpace(settings), search.seed, search.startup_trials
    )


def count_states(study: optuna.Study) -> Counter[TrialState]:
    """How many trials the study has of each state."""
    return Counter(t.state for t in study.get_trials(deepcopy=False))


def finished(study: optuna.Study) -> int:
    """How many trials are complete or pruned."""
    counts = count_states(study)
    return sum(counts[state] for state in FINISHED)


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The complete trial of the lowest error, of those that trained at all."""
    complete = [
        t
        for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if "fail_reason" not in t.user_attrs
    ]
    return min(complete, key=lambda t: (t.value, t.number), default=None)


def owner() -> dict[str, Any]:
    """What tells this process from any other, to be kept on the trials that it runs."""
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": round(process.create_time(), 1),
    }


def _is_gone(trial: FrozenTrial) -> bool:
    """Whether the trial ran in a process of this machine that no longer lives."""
    kept = trial.user_attrs.get("owner")
    if not kept or kept["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(kept["pid"])
        same = abs(process.create_time() - kept["started"]) < 1
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def reclaim(stored: StoredStudy) -> int:
    """Give back every trial whose process on this machine is gone, and every interrupted one.

    Each is queued anew with the same parameters and seed, and the old one marked as failed with
    the reason; done twice, or killed half-way, this changes nothing more.

    Returns:
        How many were queued.
    """
    study, storage = stored.study, stored.storage
    trials = study.get_trials(deepcopy=False)
    retried = {t.user_attrs.get("retry_of") for t in trials}
    queued = 0
    for trial in trials:
        died = trial.state == TrialState.RUNNING and _is_gone(trial)
        interrupted = trial.state == TrialState.FAIL and trial.user_attrs.get("interrupted")
        if (died or interrupted) and trial.number not in retried:
            queued += _queue_again(study, trial, counted=died)
        if died:
            study_id = storage.get_study_id_from_name(study.study_name)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            storage.set_trial_user_attr(trial_id, "fail_reason", "its process died")
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    return queued


def _retry_stale(study: optuna.Study, trial: FrozenTrial) -> None:
    """What Optuna calls for a trial on another machine that gave no sign of life."""
    _queue_again(study, trial, counted=True)


def _queue_again(study: optuna.Study, trial: FrozenTrial, counted: bool) -> int:
    kept = ("seed", "deaths")
    attributes = {k: v for k, v in trial.user_attrs.items() if k in kept}
    deaths = attributes.get("deaths", 0) + counted
    if deaths > RETRIES:
        return 0
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**attributes, "deaths": deaths, "retry_of": trial.number},
        )
    )
    return 1
