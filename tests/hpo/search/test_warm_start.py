import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpo.search.sampler import make_sampler
from hpo.search.warm_start import BEST, INFORMATIVE, WARM_START, WarmStart, begun_with, plan
from hpo.study.confirmations import keep_result
from hpo.study.retry import reclaim
from hpo.study.settings import StudySettings
from hpo.study.space import Params
from hpo.study.storage import StorageError, open_storage
from hpo.study.study import StoredStudy, StudyError, create_or_resume, load
from tests.hpo.big_study import big_study
from tests.hpo.made_up import gone
from tests.hpo.tiny_study import tiny_settings

Planned = Callable[..., WarmStart]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of the old study's database."""
    return f"sqlite:///{tmp_path / 'old.db'}"


@pytest.fixture
def old(tmp_path: Path, url: str) -> StoredStudy:
    """The study ``old``, without a trial."""
    storage = open_storage(url, create=True)
    return create_or_resume("old", tiny_settings(tmp_path), "f", storage)[0]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database has the study ``old``, of 20 made-up trials."""
    folder = tmp_path_factory.mktemp("old")
    big_study(f"sqlite:///{folder / 'old.db'}", 20, settings=tiny_settings(folder), name="old")
    return folder


@pytest.fixture
def source(made_once: Path, tmp_path: Path, url: str) -> StoredStudy:
    """The study ``old``, of 20 made-up trials."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return load("old", open_storage(url, create=False))


@pytest.fixture
def planned(tmp_path: Path, url: str, database: str) -> Planned:
    """What the study ``new``, which is not there yet, is to begin with."""

    def planned(*changes: str) -> WarmStart:
        found = plan("old", url, "new", tiny_settings(tmp_path, *changes), database)
        assert found is not None
        return found

    return planned


def make(settings: StudySettings, database: str, warm_start: WarmStart | None) -> StoredStudy:
    """What `hpo run` does to make or resume the study ``new``."""
    storage = open_storage(database, create=True)
    prepare = warm_start.enqueue if warm_start else None
    stored, _ = create_or_resume("new", settings, "f", storage, prepare)
    if warm_start:
        warm_start.join(stored.study)
    stored.study.sampler = make_sampler(stored)
    return stored


def params(**changes: Any) -> Params:
    """A configuration in the middle of the tiny space."""
    rates = {"lr": 0.03, "momentum": 0.7, "l2": 3e-6}
    given = {
        f"{layer}_{k}": v for layer in ("conv1", "conv2", "fc", "out") for k, v in rates.items()
    }
    sizes = {"conv1_kernel": 5, "conv1_filters": 16, "conv2_kernel": 5, "conv2_filters": 16}
    return {**sizes, "fc_units": 128, **given, **changes}


def add(
    stored: StoredStudy,
    error: float,
    given: Params,
    state: TrialState = TrialState.COMPLETE,
    **attributes: Any,
) -> int:
    """A trial with this lowest error; gives its number."""
    trial = create_trial(
        state=state,
        params=given,
        distributions=stored.space.distributions,
        value=error if state == TrialState.COMPLETE else None,
        intermediate_values={0: 0.95, 1: error, 2: 0.94},
        user_attrs=attributes,
    )
    stored.study.add_trial(trial)
    return len(stored.study.get_trials(deepcopy=False)) - 1


def trials(warm_start: WarmStart, best: bool) -> list[int]:
    return [one.trial for one in warm_start.carried if one.best == best]


def labels(stored: StoredStudy) -> list[str | None]:
    return [trial.user_attrs.get("from") for trial in stored.study.trials]


def test_the_best_are_of_the_lowest_error_and_trained(old: StoredStudy, planned: Planned) -> None:
    chance = np.random.default_rng(0)
    add(old, 0.01, old.space.draw(chance), fail_reason="diverged")
    add(old, 0.02, old.space.draw(chance), TrialState.FAIL)
    add(old, 0.03, old.space.draw(chance), TrialState.PRUNED)
    numbers = [add(old, 0.1 + k / 100, old.space.draw(chance)) for k in (6, 2, 0, 5, 4, 3, 1)]
    found = planned()
    assert trials(found, best=True) == [numbers[k] for k in (2, 6, 1, 5, 4)]
    assert trials(found, best=False) == [2]  # the better half holds no other
    assert found.misfits == []
    assert found == planned()


def test_confirmed_ones_come_first(old: StoredStudy, planned: Planned) -> None:
    chance = np.random.default_rng(0)
    for k in range(7):
        add(old, 0.1 + k / 100, old.space.draw(chance))
    for trial, error in ((0, 0.3), (1, 0.25), (6, 0.2)):
        keep_result(old.study, trial, 0, {"error": error, "tasks": 400})
    assert trials(planned(), best=True) == [6, 1, 0, 2, 3]


def test_the_informative_are_far_from_the_best(old: StoredStudy, planned: Planned) -> None:
    for k in range(BEST):
        add(old, 0.1, params(fc_lr=0.03 + k / 1000))
    near = add(old, 0.2, params(fc_lr=0.036))
    # By its logarithm 0.01 is as far from 0.1 as can be; else 0.055 were in the middle.
    low = add(old, 0.2, params(fc_lr=0.01), TrialState.PRUNED)
    middle = add(old, 0.2, params(fc_lr=0.055))
    wide = add(old, 0.21, params(conv1_filters=32, conv2_filters=32))
    twin = add(old, 0.22, params(conv1_filters=32, conv2_filters=32, fc_lr=0.031))
    for k in range(9):
        add(old, 0.3, params(conv1_kernel=9, out_momentum=0.5 + k / 100))
    add(old, 0.2, params(fc_units=256), fail_reason="out of memory")
    add(old, 0.2, params(fc_units=256), TrialState.FAIL)
    assert trials(planned(), best=False) == [wide, low, middle]
    assert not {near, twin} & set(trials(planned(), best=True))


def test_where_few_are_trained_the_informative_are_no_best_ones(
    old: StoredStudy, planned: Planned
) -> None:
    trained = [add(old, 0.1, params()), add(old, 0.2, params(fc_lr=0.05))]
    cut = [add(old, 0.3, params(fc_lr=0.09), TrialState.PRUNED)]
    cut += [add(old, 0.3, params(conv1_kernel=9), TrialState.PRUNED) for _ in range(9)]
    found = planned()
    assert trials(found, best=True) == trained
    assert set(trials(found, best=False)) <= set(cut)
    assert trials(found, best=False)


def test_what_is_carried_over_is_trained_first_and_counts_for_nothing_before(
    source: StoredStudy, tmp_path: Path, database: str, planned: Planned
) -> None:
    first = "search.first=[{ fc_units = 128 }]"
    found = planned(first)
    stored = make(tiny_settings(tmp_path, first), database, found)
    assert len(found.carried) == BEST + INFORMATIVE
    assert {trial.state for trial in stored.study.trials} == {TrialState.WAITING}
    assert labels(stored) == [None, *(f"old trial {one.trial}" for one in found.carried)]
    assert begun_with(stored.study) == "8 configurations of old (5 best, 3 informative)"
    assert stored.study.user_attrs[WARM_START] == {
        "study": "old",
        "token": source.token,
        "best": trials(found, best=True),
        "informative": trials(found, best=False),
    }
    stored.space.suggest(stored.study.ask())
    best = stored.study.ask()
    assert stored.space.suggest(best) == source.study.trials[found.carried[0].trial].params
    best.set_user_attr("owner", gone())
    assert reclaim(stored.study, stored.storage) == 1
    assert labels(stored)[-1] == best.user_attrs["from"]


def test_what_fits_is_kept_and_the_rest_is_sampled_with_it(
    source: StoredStudy, tmp_path: Path, database: str, planned: Planned
) -> None:
    cost = source.space.architecture(params()).multiply_adds
    changes = (
        "network.image_size=24",
        "network.convolutions=3",
        "space.kernel={ low = 2, high = 4 }",
        "space.filters={ low = 16, high = 64 }",
        f"space.multiply_adds={3 * cost}",
    )
    found = planned(*changes)
    stored = make(tiny_settings(tmp_path, *changes), database, found)
    assert any("conv3: not there" in line for line in found.misfits)
    for one in found.carried:
        drawn = stored.space.suggest(stored.study.ask())
        assert one.params.items() <= drawn.items()
        assert stored.space.affordable(drawn)
        assert stored.space.fits([int(drawn[k]) for k in stored.space.kernels])
        assert "fc_lr" in one.params
        assert "conv1_kernel" not in one.params


def test_configurations_that_become_equal_are_enqueued_once(
    tmp_path: Path, old: StoredStudy, database: str, planned: Planned
) -> None:
    add(old, 0.1, params(conv1_filters=16))
    add(old, 0.2, params(conv1_filters=32))
    add(old, 0.3, params(conv1_filters=32, fc_units=144))
    narrow = "space.filters={ low = 48, high = 64 }"
    assert trials(planned(narrow), best=True) == [0, 2]
    mine = {k: v for k, v in params().items() if "filters" not in k}
    first = f"search.first=[{{ {', '.join(f'{k} = {v}' for k, v in mine.items())} }}]"
    assert trials(planned(narrow, first), best=True) == [2]  # the study has the other itself


@pytest.mark.usefixtures("source")
def test_the_same_line_goes_on_and_needs_the_other_study_no_more(
    tmp_path: Path, url: str, database: str, planned: Planned
) -> None:
    settings = tiny_settings(tmp_path)
    before = labels(make(settings, database, planned()))
    assert plan("old", url, "new", settings, database) is None
    make(settings, database, None).study.ask()
    assert plan("old", url, "new", settings, database) is None
    (tmp_path / "old.db").unlink()
    assert plan("old", url, "new", settings, database) is None
    assert labels(make(settings, database, None)) == before


@pytest.mark.usefixtures("source")
def test_another_study_is_refused(
    tmp_path: Path, url: str, database: str, planned: Planned
) -> None:
    settings = tiny_settings(tmp_path)
    found = planned()
    stored = make(settings, database, found)
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    big_study(elsewhere, 20, settings=settings, name="old")
    with pytest.raises(StudyError, match="began with old, not with this other: leave --from out"):
        plan("other", url, "new", settings, database)
    with pytest.raises(StudyError, match="began with another study of that name"):
        plan("old", elsewhere, "new", settings, database)
    # Likewise where a second process made the study in the meantime.
    with pytest.raises(StudyError, match="began with another study of that name"):
        WarmStart("old", "its token", found.carried, []).join(stored.study)


@pytest.mark.usefixtures("source")
def test_only_a_new_study_begins_with_another(
    tmp_path: Path, database: str, planned: Planned
) -> None:
    settings = tiny_settings(tmp_path, "search.first=[{ fc_units = 128 }]")
    found = planned()
    make(settings, database, None)
    stored = make(settings, database, found)
    assert labels(stored) == [None, *(f"old trial {one.trial}" for one in found.carried)]
    optuna.delete_study(study_name="new", storage=stored.storage)
    make(settings, database, None).study.ask()
    with pytest.raises(StudyError, match="the study new has trials and did not begin with old"):
        make(settings, database, found)


@pytest.mark.parametrize(
    ("there", "at", "left"), [(False, "from", 4), (True, "from", 4), (False, "format", 9)]
)
@pytest.mark.usefixtures("source")
def test_a_study_whose_making_was_cut_short_begins_with_it_once(
    tmp_path: Path,
    url: str,
    database: str,
    planned: Planned,
    monkeypatch: pytest.MonkeyPatch,
    there: bool,
    at: str,
    left: int,
) -> None:
    settings = tiny_settings(tmp_path, "search.first=[{ fc_units = 128 }]")
    found = planned()
    if there:
        make(settings, database, None)
    enqueue, keep = optuna.Study.enqueue_trial, optuna.Study.set_user_attr

    def enqueue_three(self: optuna.Study, given: Params, **more: Any) -> None:
        if at == "from" and more.get("user_attrs") == {
            "from": f"old trial {found.carried[3].trial}"
        }:
            raise KeyboardInterrupt
        enqueue(self, given, **more)

    def keep_all_but_one(self: optuna.Study, key: str, value: object) -> None:
        if key == at:
            raise KeyboardInterrupt
        keep(self, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", enqueue_three)
        patch.setattr(optuna.Study, "set_user_attr", keep_all_but_one)
        patch.setattr("hpo.study.study.owner", gone)
        with pytest.raises(KeyboardInterrupt):
            make(settings, database, found)
    storage = open_storage(database, create=False)
    assert len(optuna.load_study(study_name="new", storage=storage).trials) == left
    if not there:
        with pytest.raises(StudyError, match="has format None"):
            load("new", storage)  # so that no worker joins
    again = plan("old", url, "new", settings, database)
    stored = make(settings, database, again)
    assert labels(stored) == [None, *(f"old trial {one.trial}" for one in found.carried)]


def test_the_other_study_is_looked_for_beside_the_new_one_then_in_its_own_place(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    settings = tiny_settings(tmp_path / "studies")
    own = big_study(
        f"sqlite:///{tmp_path}/studies/tiny/study.db", 9, settings=settings, name="tiny"
    )
    found = plan("tiny", None, "new", settings, database)
    assert found == plan("studies/tiny.toml", None, "new", settings, database)
    assert found
    assert found.token == own.token
    assert not (tmp_path / "study.db").exists()
    beside = big_study(database, 9, settings=settings, name="tiny")
    found = plan("tiny", None, "new", settings, database)
    assert found
    assert found.token == beside.token
    with pytest.raises(StudyError, match="is the study itself"):
        plan("tiny", None, "tiny", settings, database)


def test_a_storage_that_is_none_is_said(tmp_path: Path, database: str) -> None:
    settings = tiny_settings(tmp_path)
    with pytest.raises(StorageError, match="--from old: the storage is not a database URL"):
        plan("old", "nonsense", "new", settings, database)
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(StorageError, match="text.db cannot be used as a study database"):
        plan("old", f"sqlite:///{tmp_path / 'text.db'}", "new", settings, database)
