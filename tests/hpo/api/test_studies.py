import warnings
from pathlib import Path

import pandas as pd
import pytest

import hpo
from hpo.study.confirmations import keep_result
from hpo.study.trials import trained_trials
from model.configuration import Configuration
from tests.conftest import ordinary_user
from tests.hpo.command import Hpo
from tests.hpo.fixture_types import Searched
from tests.hpo.tiny_study import write_tiny


def test_a_study_is_found_by_its_name_its_file_and_its_database(searched: Searched) -> None:
    stored = searched()
    by_name, by_file = hpo.load_study("tiny"), hpo.load_study(Path("studies/tiny.toml"))
    named = hpo.load_study("tiny", storage="sqlite:///studies/tiny/study.db")
    for found in (by_name, by_file, named):
        assert (found.token, len(found.study.trials)) == (stored.token, 3)


def test_a_study_that_may_not_be_written_is_loaded(searched: Searched, tmp_path: Path) -> None:
    searched().storage.engine.dispose()
    folder = tmp_path / "studies/tiny"
    (folder / "study.db").chmod(0o444)
    folder.chmod(0o555)
    with ordinary_user(tmp_path):
        assert len(hpo.load_study("tiny").study.trials) == 3


def test_the_table_is_the_reports(command: Hpo, searched: Searched) -> None:
    searched()
    assert command("report tiny --csv trials.csv").status == 0
    with warnings.catch_warnings(action="error"):  # of Optuna, that its heartbeat is experimental
        table = hpo.trials_dataframe(hpo.load_study("tiny"))
    table.to_csv("mine.csv", index=False)
    pd.testing.assert_frame_equal(pd.read_csv("mine.csv"), pd.read_csv("trials.csv"))
    assert len(table) == 3


def test_the_best_configuration_is_the_exported_one(command: Hpo, searched: Searched) -> None:
    stored = searched()
    assert (
        hpo.best_configuration(stored).recipe_key
        == Configuration.read(Path("best.toml")).recipe_key
    )
    worst = trained_trials(stored.study)[-1].number
    keep_result(stored.study, worst, 0, {"error": 0.1, "search_like_error": 0.1, "tasks": 100})
    confirmed = hpo.best_configuration(stored)
    assert confirmed.provenance is not None
    assert confirmed.provenance.trial == worst
    assert command("export tiny -o again.toml").status == 0
    exported = Configuration.read(Path("again.toml"))
    assert exported.provenance is not None
    moment = {"exported": exported.provenance.exported}
    provenance = confirmed.provenance.model_copy(update=moment)
    same = confirmed.model_copy(update={"provenance": provenance})
    assert same.to_toml() == Path("again.toml").read_text()


def test_a_mistake_is_one_sentence(command: Hpo, tmp_path: Path) -> None:
    with pytest.raises(hpo.UserError, match="there is no study none: name one of"):
        hpo.load_study("none")
    write_tiny(tmp_path / "studies")
    with pytest.raises(hpo.UserError, match="there is no study in .*study.db: start one with"):
        hpo.load_study("tiny")
    with pytest.raises(hpo.UserError, match="not a database URL that is supported"):
        hpo.load_study("tiny", storage="study.db")
    assert command("run tiny --trials 1 --workers 0").status == 0
    with pytest.raises(hpo.UserError, match="has no complete trial yet: go on with `hpo run tiny"):
        hpo.best_configuration(hpo.load_study("tiny"))
