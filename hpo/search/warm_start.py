"""A new study that begins with what another one found: its best and its informative configurations.

The errors of two studies cannot be compared where their data, tasks or recipes differ. So nothing
of the other study counts as a result: its configurations are the first that the new one trains.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from hpo.search.carry_over import carry_over
from hpo.study.checked import Text, checked
from hpo.study.confirmations import leading
from hpo.study.paths import storage_of
from hpo.study.settings import SettingsError, StudySettings
from hpo.study.space import Params, SearchSpace, place_in_range
from hpo.study.storage import StorageError, open_storage, shown, storage_errors
from hpo.study.study import StoredStudy, StudyError, load
from hpo.study.trials import FINISHED, Record, lowest_error, record, trained_trials

BEST = 5
INFORMATIVE = 3
WARM_START = "warm_start"
"""The attribute of a study that tells which other it began with, and with which trials of it."""


@dataclass(frozen=True)
class Carried:
    """A configuration of another study that a new one begins with.

    Attributes:
        trial: the number of the other study's trial.
        params: what of its parameters the new study can take.
        best: whether it is one of the best, rather than an informative one.
    """

    trial: int
    params: Params
    best: bool


@dataclass(frozen=True)
class WarmStart:
    """What a new study begins with.

    Attributes:
        study: the name of the other study.
        token: what tells that from others of its name.
        carried: in the order in which they are trained.
        misfits: a line for each kind of thing that the new study cannot take.
    """

    study: str
    token: str
    carried: Sequence[Carried]
    misfits: Sequence[str]

    def enqueue(self, study: optuna.Study) -> None:
        """Enqueue them behind what is enqueued already; done again, this enqueues none twice."""
        there = {record(trial).begun_with for trial in study.get_trials(deepcopy=False)}
        for one in self.carried:
            label = f"{self.study} trial {one.trial}"
            if label not in there:
                study.enqueue_trial(one.params, user_attrs=Record(begun_with=label).attributes)
        kept = {
            "study": self.study,
            "token": self.token,
            "best": [one.trial for one in self.carried if one.best],
            "informative": [one.trial for one in self.carried if not one.best],
        }
        study.set_user_attr(WARM_START, kept)  # last: a study that has it has all of them

    def join(self, study: optuna.Study) -> None:
        """Enqueue them in a study that was there before, unless that was done.

        Raises:
            StudyError: it began with another study, or with none.
        """
        kept = _kept(study.user_attrs)
        if kept is not None:
            _check_same(study.study_name, kept, self.study, self.token)
            return
        trials = study.get_trials(deepcopy=False)
        if any(trial.state != TrialState.WAITING for trial in trials):
            raise StudyError(
                f"the study {study.study_name} has trials and did not begin with {self.study}: "
                "leave --from out, or copy the study file under another name"
            )
        self.enqueue(study)


class _Kept(TypedDict):
    """What a study keeps of the one that it began with."""

    study: Text
    token: str
    best: list[int]
    informative: list[int]


_KEPT = TypeAdapter(_Kept | None)


def _kept(attributes: Mapping[str, Any]) -> _Kept | None:
    return checked(_KEPT, attributes.get(WARM_START), "what the study began with")


def begun_with(study: optuna.Study) -> str | None:
    """What a study began with, in a line; None if with nothing."""
    kept = _kept(study.user_attrs)
    if kept is None:
        return None
    best, informative = len(kept["best"]), len(kept["informative"])
    return (
        f"{best + informative} configurations of {kept['study']} "
        f"({best} best, {informative} informative)"
    )


def plan(
    old: str, old_url: str | None, name: str, settings: StudySettings, url: str
) -> WarmStart | None:
    """What a study is to begin with; None where it began with that long ago.

    Args:
        old: the study to begin with, by its name or its file's path.
        old_url: of its storage; without one it is looked for in the new study's, then in its own.
        name: of the new study.
        settings: of the new study.
        url: of the new study's storage, which need not exist.

    Raises:
        StudyError: there is no such study, it is the new one itself, it has no complete trial,
            nothing of it fits, or the new one began with another.
        StorageError: its storage cannot be used.
    """
    source = Path(old).stem if old.endswith(".toml") else old
    new = _attributes(name, url)
    kept = _kept(new)
    if kept is not None:
        _check_same(name, kept, source, None)
    try:
        with _opened(source, [old_url] if old_url else _places(old, url)) as stored:
            if kept is not None:
                _check_same(name, kept, source, stored.token)
                return None
            if stored.token == new.get("token"):
                raise StudyError(
                    f"--from {old} is the study itself: leave it out, or name another study"
                )
            return _chosen(stored, settings)
    except (_Absent, StorageError):
        if kept is not None:  # all that was wanted of it is in the new study
            return None
        raise


class _Absent(StudyError):
    """The study to begin with is not where it was looked for."""


def _check_same(name: str, kept: _Kept, source: str, token: str | None) -> None:
    """See that a study began with this other one; without a token, with one of its name."""
    if kept["study"] != source or token not in (None, kept["token"]):
        other = "another study of that name" if kept["study"] == source else kept["study"]
        raise StudyError(
            f"the study {name} began with {other}, not with this {source}: leave --from out, or "
            "copy the study file under another name"
        )


def _attributes(name: str, url: str) -> Mapping[str, Any]:
    """What a study keeps, if it is there and whole; what is wrong with it is said elsewhere."""
    with suppress(StorageError, StudyError), _opened(name, [url]) as stored:
        return stored.study.user_attrs
    return {}


def _places(old: str, url: str) -> list[str]:
    """Where a study may be that nobody said the storage of."""
    places = [url]
    with suppress(SettingsError):  # it has no file here, so no folder of its own either
        places.append(storage_of(None, old))
    return list(dict.fromkeys(places))


@contextmanager
def _opened(name: str, places: Sequence[str]) -> Iterator[StoredStudy]:
    """The study in the first place that has it."""
    for place in places:
        with storage_errors(place):
            try:
                storage = open_storage(place, create=False, read_only=True)
            except StorageError as error:
                if error.__cause__ is None:  # it is not there, or holds no studies
                    continue
                raise StorageError(f"--from {name}: {error}") from error
            try:
                if name in optuna.get_all_study_names(storage):
                    yield load(name, storage)
                    return
            finally:
                storage.engine.dispose()
    raise _Absent(
        f"there is no study {name} in {' or '.join(map(shown, places))}: check the name, or say "
        "with --from-storage where it is"
    )


def _chosen(stored: StoredStudy, settings: StudySettings) -> WarmStart:
    """The best and the informative trials of a study, as far as another can take them."""
    name, space = stored.study.study_name, SearchSpace(settings)
    best = _best(stored.study)
    if not best:
        raise StudyError(
            f"the study {name} has no complete trial to begin with: go on with it first, or leave "
            "--from out"
        )
    trials = [*best, *_informative(stored, best)]
    carried, misfits = carry_over([trial.params for trial in trials], space)
    kept: list[Carried] = []
    known: list[Params] = [{}, *space.checked_first()]
    for number, (trial, params) in enumerate(zip(trials, carried, strict=True)):
        if params not in known:
            known.append(params)
            kept.append(Carried(trial.number, params, number < len(best)))
    if not any(carried):
        raise StudyError(
            f"nothing of the study {name} fits ({'; '.join(misfits)}): leave --from out, or widen "
            "the ranges of the study file"
        )
    return WarmStart(name, stored.token, kept, misfits)


def _best(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that `hpo confirm` ranked, in that order, then those of the lowest error."""
    trained = trained_trials(study)
    ranks = {found.trial: found.rank for found in leading(study)}
    trained.sort(key=lambda trial: ranks.get(trial.number, math.inf))
    return trained[:BEST]


def _informative(stored: StoredStudy, best: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Of the better half of the trials, those farthest from all that are chosen, one by one."""
    finished = stored.study.get_trials(deepcopy=False, states=FINISHED)
    ranked = sorted(
        (error, trial.number, trial)
        for trial in finished
        if record(trial).fail_reason is None and (error := lowest_error(trial)) is not None
    )
    chosen = {trial.number for trial in best}
    better = [trial for *_, trial in ranked[: math.ceil(len(ranked) / 2)]]
    left = [trial for trial in better if trial.number not in chosen]
    places = {name: place_in_range(d) for name, d in stored.space.distributions.items()}
    at = {
        trial.number: np.array([place(trial.params[name]) for name, place in places.items()])
        for trial in [*best, *left]
    }

    def distance(trial: FrozenTrial) -> float:
        return min(float(np.linalg.norm(at[trial.number] - at[number])) for number in chosen)

    found: list[FrozenTrial] = []
    while left and len(found) < INFORMATIVE:
        found.append(max(left, key=distance))  # of equally far ones, that of the lowest error
        chosen.add(found[-1].number)
        left.remove(found[-1])
    return found
