from __future__ import annotations

from pathlib import Path

import pytest

from hpo.baselines_log import keep, kept_scores
from hpo.evaluation import Score
from hpo.reference_networks import configuration_of, network_key

RUNS = "400 tasks of 20 official-format runs"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/baselines"


def a_score(name: str, accuracy: float = 0.5, source: str = RUNS) -> Score:
    return Score(name, accuracy, 400, (accuracy - 0.1, accuracy + 0.1), source)


def test_scores_come_back_by_source_and_the_newest_of_each() -> None:
    assert kept_scores("data-1") == []
    keep(a_score("chance", 0.05, "b"), None, None)
    for accuracy in (0.6, 0.7):
        keep(a_score("hausdorff", accuracy, "b"), None, None)
    keep(a_score("chance", 0.05, "a"), "data-1", None)
    found = kept_scores("data-1")
    names = [(one.source, one.name, one.accuracy) for one in found]
    assert names == [("a", "chance", 0.05), ("b", "hausdorff", 0.7), ("b", "chance", 0.05)]
    assert found[1].interval == pytest.approx((0.6, 0.8))
    assert found[1].tasks == 400


def test_only_what_belongs_to_the_data_and_to_todays_configuration() -> None:
    keep(a_score("chance", source="random"), "data-2", None)
    dense = configuration_of("siamese-dense")
    keep(a_score("siamese-dense"), None, network_key("siamese-dense", dense, "data-1"))
    keep(a_score("siamese-conv"), None, "siamese-conv-of-an-older-configuration")
    assert [one.name for one in kept_scores("data-1")] == ["siamese-dense"]
    assert [one.name for one in kept_scores("data-2")] == ["chance"]
    assert kept_scores("data-3") == []


def test_files_that_cannot_be_read_are_passed_over(cache: Path) -> None:
    keep(a_score("chance"), None, None)
    (file,) = cache.iterdir()
    text = file.read_text()
    (cache / "cut.json").write_text(text[:40])
    (cache / "newer.json").write_text(text.replace('"name"', '"called"'))
    (cache / "worse.json").write_text(text.replace("0.5", "NaN", 1))
    (cache / "folder.json").mkdir()
    assert [one.name for one in kept_scores("data-1")] == ["chance"]
