"""`hpo delete`, and what it leaves alone."""

import io
import json
import sqlite3
from pathlib import Path

import pytest

from hpo.study.owner import owner
from hpo.study.paths import confirmation_folder, snapshots_folder
from tests.hpo.command import Hpo, refused
from tests.hpo.made_up import gone
from tests.hpo.tiny_study import open_tiny, write_tiny


def test_a_study_is_deleted_with_all_that_belongs_to_it(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 2").status == 0
    pictures = tmp_path / "studies/tiny/artifacts"
    assert len(list(pictures.iterdir())) == 6
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert hpo("delete tiny").status == 130
    assert hpo("status tiny").status == 0
    assert hpo("delete tiny --yes").out == "deleted tiny: 2 trials, 6 pictures\n"
    assert list(pictures.iterdir()) == []
    assert refused(hpo("status tiny"), "there is no study tiny")
    assert refused(hpo("delete tiny --yes"), "there is no study tiny")


def test_results_elsewhere_are_written_there_and_deleted_there(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1 --results there").status == 0
    assert hpo("run tiny --trials 2 --workers 0").status == 0
    assert hpo("worker tiny --results there").status == 0
    there = tmp_path / "there"
    assert len(list((there / "artifacts").iterdir())) == 6
    assert not list((tmp_path / "studies/tiny").rglob("*.png"))
    tokens = (open_tiny(tmp_path).token, "of-another")
    unfinished = [of(there, t) for of in (snapshots_folder, confirmation_folder) for t in tokens]
    for folder in unfinished:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trial-0.safetensors").touch()
    deleted = hpo("delete tiny --results there --yes")
    assert deleted.out == "deleted tiny: 2 trials, 6 pictures\n"
    assert list((there / "artifacts").iterdir()) == []
    assert [folder.exists() for folder in unfinished] == [False, True, False, True]


@pytest.mark.parametrize("line", ["delete tiny --yes", "run tiny --trials 2"])
def test_a_token_that_leads_elsewhere_deletes_nothing_there(
    hpo: Hpo, tmp_path: Path, line: str
) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1").status == 0
    precious = tmp_path / "precious" / "trial-0.safetensors"
    precious.parent.mkdir()
    precious.write_text("kept")
    open_tiny(tmp_path).study.set_user_attr("token", "../../../precious")
    assert refused(hpo(line), "somebody changed the database")
    assert precious.read_text() == "kept"
    assert len(open_tiny(tmp_path).study.trials) == 1


@pytest.mark.parametrize("place", ["../../../precious", "/etc/passwd", ".", ""])
def test_a_picture_that_is_said_to_be_elsewhere_is_passed_over(
    hpo: Hpo, tmp_path: Path, place: str
) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1").status == 0
    (tmp_path / "precious").write_text("kept")
    row = "trial_system_attributes WHERE key LIKE 'artifacts:%' AND value_json LIKE '%mistakes%'"
    with sqlite3.connect(tmp_path / "studies/tiny/study.db") as database:
        ((value,),) = database.execute(f"SELECT value_json FROM {row}").fetchall()
        kept = json.loads(json.loads(value)) | {"artifact_id": place}
        update, where = row.split(" ", 1)
        database.execute(
            f"UPDATE {update} SET value_json = ? {where}", [json.dumps(json.dumps(kept))]
        )
    assert hpo("delete tiny --yes").out == "deleted tiny: 1 trials, 2 pictures\n"
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_study_whose_trials_run_is_not_deleted(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1").status == 0
    stored = open_tiny(tmp_path)
    stored.study.ask().set_user_attr("owner", owner())
    assert refused(hpo("delete tiny --yes"), "1 trials of the study tiny run")
    assert len(stored.study.get_trials()) == 2


def test_a_trial_whose_process_was_killed_does_not_keep_its_study(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1 --workers 0").status == 0
    open_tiny(tmp_path).study.ask().set_user_attr("owner", gone())
    assert hpo("delete tiny --yes").out.startswith("deleted tiny: ")
    assert refused(hpo("status tiny"), "there is no study tiny")
