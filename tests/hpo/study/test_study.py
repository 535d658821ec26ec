import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import create_trial

from hpo.study.patient_storage import PatientStorage
from hpo.study.storage import NoStudy, open_storage
from hpo.study.study import StoredStudy, StudyError, create_or_resume, load
from tests.hpo.fixture_types import Open
from tests.hpo.made_up import gone
from tests.hpo.tiny_study import tiny_settings


def test_a_study_is_made_once_and_resumed(tmp_path: Path, database: str) -> None:
    settings, storage = tiny_settings(tmp_path), open_storage(database, create=True)
    stored, created = create_or_resume("tiny", settings, "f", storage)
    assert created
    again, created = create_or_resume("tiny", settings, "f", open_storage(database, create=True))
    assert not created
    assert again.settings == settings == stored.settings
    assert load("tiny", storage).data_fingerprint == "f"


def test_other_settings_or_data_are_refused(tmp_path: Path, open_study: Open) -> None:
    storage = open_study().storage
    changed = tiny_settings(tmp_path, "training.epochs=9", "search.sampler=gp")
    with pytest.raises(StudyError) as raised:
        create_or_resume("tiny", changed, "strokes-1-0", storage)
    assert "training.epochs: 3 → 9; search.sampler: random → gp" in str(raised.value)
    with pytest.raises(StudyError, match=r"other data \(strokes-1-0\) than is here \(other\)"):
        create_or_resume("tiny", tiny_settings(tmp_path), "other", storage)


def test_the_changes_of_the_study_file_are_kept_apart_from_it(
    tmp_path: Path, database: str
) -> None:
    changes = ["training.epochs = 9", "search.sampler=gp"]
    settings = tiny_settings(tmp_path, *changes)
    create_or_resume("tiny", settings, "f", open_storage(database, create=True), changes=changes)
    stored = load("tiny", open_storage(database, create=False))
    assert stored.changes == changes
    assert tiny_settings(tmp_path, *changes) == stored.settings == settings


@pytest.mark.parametrize("changes", [[], ["training.patience=3"]])
def test_a_shipped_file_that_a_newer_version_changed_does_not_stop_a_study(
    tmp_path: Path,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    changes: list[str],
) -> None:
    caplog.set_level("INFO", "hpo")
    storage = open_storage(database, create=True)
    before = tiny_settings(tmp_path, *changes)
    create_or_resume("tiny", before, "f", storage, changes=changes)
    after = tiny_settings(tmp_path, "training.epochs=9", *changes)
    with pytest.raises(StudyError, match="training.epochs: 3 → 9"):  # the same version has one file
        create_or_resume("tiny", after, "f", storage, changes=changes, shipped=True)
    monkeypatch.setattr("hpo.study.study.__version__", "99.0")
    with pytest.raises(StudyError, match="training.epochs: 3 → 9"):  # a person's own file
        create_or_resume("tiny", after, "f", storage, changes=changes)
    other = ["training.momentum_ramp=1"]
    wanted = tiny_settings(tmp_path, "training.epochs=9", *other)
    with pytest.raises(StudyError, match="training.momentum_ramp: 2 → 1"):
        create_or_resume("tiny", wanted, "f", storage, changes=other, shipped=True)
    stored, created = create_or_resume("tiny", after, "f", storage, changes=changes, shipped=True)
    assert not created
    assert stored.settings == before
    assert "training.epochs: 3 → 9); the study goes on with its own settings" in caplog.text


def test_a_study_whose_making_was_cut_short_is_made_anew(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(database, create=True)
    settings = tiny_settings(tmp_path, "search.first=[{ fc_units = 128 }]")
    plain, kept, cut = optuna.Study.set_user_attr, list[str](), 0

    def cut_short(self: optuna.Study, key: str, value: object) -> None:
        if len(kept) > cut:
            raise KeyboardInterrupt
        plain(self, key, value)
        kept.append(key)

    monkeypatch.setattr(optuna.Study, "set_user_attr", cut_short)
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            stored, created = create_or_resume("tiny", settings, "f", storage)
            break
        plain(optuna.load_study(study_name="tiny", storage=storage), "maker", gone())
        kept, cut = [], cut + 1
    assert created
    assert kept[0] == "maker"
    assert {"settings", "token"} < set(kept)
    assert len(stored.study.trials) == 1


def test_processes_that_make_a_study_at_once_get_the_same(tmp_path: Path, database: str) -> None:
    settings = tiny_settings(tmp_path, "search.first=[{ fc_units = 128 }]")
    storages = [open_storage(database, create=True) for _ in range(4)]
    gate = threading.Barrier(len(storages))

    def make(storage: PatientStorage) -> tuple[str, bool]:
        gate.wait()
        stored, created = create_or_resume("tiny", settings, "f", storage)
        return stored.token, created

    with ThreadPoolExecutor(len(storages)) as pool:
        got = list(pool.map(make, storages))
    assert len({token for token, _ in got}) == 1
    assert sorted(created for _, created in got) == [False, False, False, True]
    assert len(load("tiny", storages[0]).study.trials) == 1


def test_a_study_of_another_format_is_refused(stored: StoredStudy) -> None:
    stored.study.set_user_attr("settings", {"size": 3})
    with pytest.raises(StudyError, match=r"made by version .* \(the key data is missing\)"):
        load("tiny", stored.storage)
    stored.study.set_user_attr("format", 99)
    with pytest.raises(StudyError, match="has format 99 where this program reads 1"):
        load("tiny", stored.storage)


def test_an_older_study_resumes_unless_it_used_what_is_gone(open_study: Open) -> None:
    stored = open_study()
    older = stored.settings.model_dump(mode="json")
    older["search"]["opening"] = None
    stored.study.set_user_attr("settings", older)
    assert open_study().settings == stored.settings
    for name, value in (("sampler", "cmaes"), ("pruner", "wilcoxon"), ("opening", {"trials": 9})):
        used = {**older, "search": {**older["search"], name: value}}
        stored.study.set_user_attr("settings", used)
        with pytest.raises(StudyError, match=rf"search\.{name}.*: use that version"):
            load("tiny", stored.storage)


def test_a_study_that_is_not_there(tmp_path: Path, database: str) -> None:
    with pytest.raises(NoStudy, match="there is no study in .*study.db") as absent:
        open_storage(database, create=False)
    assert absent.value.sentence.endswith("study.db: start one with `hpo run`")
    assert not (tmp_path / "study.db").exists()
    storage = open_storage(database, create=True)
    with pytest.raises(NoStudy, match="there is no study tiny in sqlite"):
        load("tiny", storage)


def test_trials_that_somebody_else_made_are_never_deleted(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.study.study.MAKING", 0.0)
    storage = open_storage(database, create=True)
    optuna.create_study(study_name="tiny", storage=storage).add_trial(create_trial(value=0.5))
    with pytest.raises(StudyError, match="the study tiny has format None"):
        create_or_resume("tiny", tiny_settings(tmp_path), "f", storage)
    assert len(optuna.load_study(study_name="tiny", storage=storage).trials) == 1
