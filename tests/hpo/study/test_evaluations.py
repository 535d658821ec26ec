import json
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest

from hpo.study.evaluations import Look, evaluations, keep_look, look
from hpo.study.storage import StorageError
from model.scoring import Score
from tests.hpo.command import Hpo
from tests.hpo.fixture_types import Searched


def test_looks_come_back_oldest_first() -> None:
    study = optuna.create_study()
    assert evaluations(study) == []
    made = [
        Look(f"2026-0{month}-01T00:00:00.000+00:00", f"{month}.st", 0.5, (0.4, 0.6), 400, "random")
        for month in (3, 1, 2, 1)
    ]
    for one in made:
        keep_look(study, one)  # two of the same moment among them
    study.set_user_attr("evaluations", "of another kind")
    assert evaluations(study) == sorted(made, key=lambda one: one.when)


def test_a_look_says_when_and_what() -> None:
    before = datetime.now(UTC)
    made = look("best.safetensors", Score("siamese", 0.75, 400, (0.7, 0.8), "400 random draws"))
    assert abs((datetime.fromisoformat(made.when) - before).total_seconds()) < 5
    assert made == Look(made.when, "best.safetensors", 0.75, (0.7, 0.8), 400, "400 random draws")


def test_every_look_of_a_studys_networks_is_counted(hpo: Hpo, searched: Searched) -> None:
    first = hpo("evaluate best.safetensors")
    assert first.status == 0
    assert "this was look 1 at the evaluation tasks of the study tiny" in first.err
    again = hpo("evaluate best.safetensors --json")
    assert "this was look 2" in again.err
    (score,) = json.loads(again.out)
    one, two = evaluations(searched().study)
    for made in (one, two):
        assert made.checkpoint == "best.safetensors"
        assert made.accuracy == score["accuracy"]
        assert list(made.interval) == score["interval"]
        assert (made.tasks, made.source) == (400, score["source"])
    assert one.when < two.when


def test_a_study_elsewhere_is_found_there(hpo: Hpo, searched: Searched, tmp_path: Path) -> None:
    (tmp_path / "studies").rename(tmp_path / "moved")
    plain = hpo("evaluate best.safetensors")
    assert plain.status == 0
    assert "correct (95 % interval" in plain.out
    assert "not counted, without the study tiny (there is no study tiny" in plain.err
    assert "name its database with --storage" in plain.err
    named = hpo("evaluate best.safetensors --storage sqlite:///moved/tiny/study.db")
    assert "this was look 1" in named.err
    assert named.out == plain.out


def test_another_study_of_the_same_name_is_left_alone(hpo: Hpo, searched: Searched) -> None:
    searched().study.set_user_attr("token", "another")
    outcome = hpo("evaluate best.safetensors")
    assert outcome.status == 0
    assert "not counted" in outcome.err
    assert "is another one" in outcome.err
    assert evaluations(searched().study) == []


@pytest.mark.parametrize("storage", ["nonsense", "sqlite:///none.db", "postgresql://127.0.0.1:1/x"])
def test_a_study_out_of_reach_costs_no_score(hpo: Hpo, searched: Searched, storage: str) -> None:
    outcome = hpo(f"evaluate best.safetensors --storage {storage}")
    assert outcome.status == 0
    assert "correct (95 % interval" in outcome.out
    said = [line for line in outcome.err.splitlines() if "not counted" in line]
    assert len(said) == 1
    assert evaluations(searched().study) == []


def test_the_score_is_out_before_the_study_is_asked(
    hpo: Hpo, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.cli.evaluate.open_storage", Mock(side_effect=KeyboardInterrupt))
    outcome = hpo("evaluate best.safetensors")
    assert outcome.status == 130
    assert "correct (95 % interval" in outcome.out


def test_an_unwritable_study(hpo: Hpo, searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hpo.cli.evaluate.keep_look", Mock(side_effect=StorageError("the disk is full: make room"))
    )
    outcome = hpo("evaluate best.safetensors")
    assert outcome.status == 0
    assert "not counted, without the study tiny (the disk is full: make room)" in outcome.err


def test_one_of_no_study_is_not_counted(hpo: Hpo, searched: Searched, tmp_path: Path) -> None:
    text = (tmp_path / "best.toml").read_text()
    (tmp_path / "own.toml").write_text(text[: text.index("[provenance]")])
    assert hpo("train own.toml").status == 0
    outcome = hpo("evaluate own.safetensors")
    assert outcome.status == 0
    assert "not counted: the checkpoint names no study" in outcome.err
    assert evaluations(searched().study) == []
