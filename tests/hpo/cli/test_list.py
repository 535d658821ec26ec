import json
from pathlib import Path

import optuna
import pytest
from sqlalchemy import text

from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Searched
from tests.hpo.tiny_study import write_tiny

SHIPPED = ["classic", "demo", "images", "modern", "paper", "small"]


def test_the_studies_here_are_listed_and_those_that_can_be_begun(
    hpo: Hpo, searched: Searched, tmp_path: Path
) -> None:
    stored = searched()
    stored.study.ask()
    write_tiny(tmp_path / "studies", "another")
    found = {one["study"]: one for one in json.loads(hpo("list --json").out)}
    assert sorted(found) == sorted(["another", "tiny", *SHIPPED])
    assert found["tiny"] == {
        "study": "tiny",
        "begun": True,
        "finished": 3,
        "running": 1,
        "best_error": min(t.value for t in stored.study.trials if t.value is not None),
        "where": "sqlite:///studies/tiny/study.db",
    }
    assert found["another"] == {
        "study": "another",
        "begun": False,
        "finished": 0,
        "running": 0,
        "best_error": None,
        "where": "studies/another.toml",
    }
    assert found["small"]["where"].endswith("studies/small.toml")
    shown = [line.strip("│┃ ").split() for line in hpo("list").out.splitlines()]
    (row,) = [cells for cells in shown if cells[:1] == ["tiny"]]
    best = f"{100 * found['tiny']['best_error']:.1f}"
    assert [cell for cell in row if cell != "│"][1:] == [
        *("3", "1", best, "%"),
        "sqlite:///studies/tiny/study.db",
    ]
    assert "not begun" in hpo("list").out


@pytest.mark.parametrize("named", ["--storage", "HPO_STORAGE"])
def test_a_database_is_listed_with_all_its_studies(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    url = "sqlite:///all.db"
    for name in ("b", "a"):
        write_tiny(tmp_path / "studies", name)
        assert hpo(f"run {name} --trials 1 --workers 0 --storage {url}").status == 0
    write_tiny(tmp_path / "studies", "elsewhere")
    assert hpo("run elsewhere --trials 1 --workers 0").status == 0
    if named == "HPO_STORAGE":
        monkeypatch.setenv(named, url)
    found = json.loads(hpo("list --json" + f" {named} {url}" * (named != "HPO_STORAGE")).out)
    assert [one["study"] for one in found if one["begun"]] == ["a", "b"]
    assert {one["where"] for one in found if one["begun"]} == {url}
    assert "elsewhere" in [one["study"] for one in found if not one["begun"]]


def test_nothing_is_begun(hpo: Hpo, tmp_path: Path) -> None:
    found = json.loads(hpo("list --json").out)
    assert [one["study"] for one in found] == SHIPPED
    assert not any(one["begun"] for one in found)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_said(
    hpo: Hpo, searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched()
    (tmp_path / "studies/broken").mkdir()
    (tmp_path / "studies/broken/study.db").write_text("no database")
    outcome = hpo("list --json")
    assert outcome.status == 0
    assert "studies/broken/study.db cannot be used as a study database" in outcome.err
    assert [one["study"] for one in json.loads(outcome.out) if one["begun"]] == ["tiny"]
    assert refused(hpo("list --storage sqlite:///studies/broken/study.db"), "cannot be used")
    assert refused(hpo("list --storage sqlite:///none.db"), "there is no study in none.db")
    assert not (tmp_path / "none.db").exists()
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///studies/broken/study.db")
    assert refused(hpo("list"), "cannot be used")


def test_a_database_that_somebody_broke_is_one_sentence(hpo: Hpo, searched: Searched) -> None:
    with searched().storage.engine.begin() as connection:
        connection.execute(text("ALTER TABLE trials RENAME COLUMN state TO condition"))
    outcome = hpo("list")
    assert outcome.status == 0
    assert outcome.err.count("studies/tiny/study.db") == len(outcome.err.splitlines()) == 1


def test_a_study_that_cannot_be_read_hides_no_other(hpo: Hpo, tmp_path: Path) -> None:
    """And a name in brackets, which a terminal's markup would swallow, is shown as it is."""
    url = "sqlite:///all.db"
    write_tiny(tmp_path / "studies", "a[old]")
    assert hpo(f"run a[old] --trials 1 --workers 0 --storage {url}").status == 0
    for name in ("foreign", "z[/2]"):
        optuna.create_study(storage=url, study_name=name)
    outcome = hpo(f"list --storage {url}")
    assert outcome.status == 0, outcome.err
    assert "a[old]" in outcome.out
    assert [name in outcome.err for name in ("foreign", "z[/2]", "Traceback")] == [
        True,
        True,
        False,
    ]
