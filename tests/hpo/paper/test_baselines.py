import json
from pathlib import Path

import pytest
import torch

from data.drawings import Drawings
from data.split import split
from data.tasks import draw_tasks
from hpo.paper.baselines import BASELINES, keep, kept_scores, measure
from hpo.paper.published import MNIST, OMNIGLOT
from hpo.paper.reference_networks import NETWORKS, configuration_of, network_key
from model.scoring import Score
from tests.data.fake_mnist import write_fake_mnist
from tests.data.official_runs import write_runs
from tests.hpo.command import Hpo, refused


def test_chance_is_what_is_expected(strokes: Drawings) -> None:
    tasks = draw_tasks(split(strokes.resized(20)).evaluation, 100, seed=1, shots=2)
    assert measure("chance", tasks).score.accuracy == pytest.approx(0.05)
    assert measure("chance", tasks).score.shots == 2


@pytest.mark.parametrize("name", ["nearest-neighbour", "hausdorff", "affine"])
def test_each_beats_chance(strokes: Drawings, name: str) -> None:
    tasks = draw_tasks(split(strokes.resized(35)).evaluation, 60, seed=1, way=5)
    measured = measure(name, tasks)
    assert measured.score.accuracy > 0.3  # chance is 0.2
    assert measured.score.interval[0] < measured.score.accuracy < measured.score.interval[1]
    assert measured.seconds >= 0


def test_published_figures_are_shares() -> None:
    assert all(0 < share < 1 for share in [*OMNIGLOT.values(), *MNIST.values()])
    assert {"nearest-neighbour", "hausdorff"} <= OMNIGLOT.keys() & BASELINES.keys()


def test_a_baseline_that_is_added_is_measured_in_its_place(
    hpo: Hpo, tmp_path: Path, strokes: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.cli.baselines.NAMES", (*BASELINES, "humans"))
    monkeypatch.setitem(BASELINES, "humans", lambda tasks: torch.full(tasks.target.shape, 0.75))
    runs = write_runs(tmp_path / "runs", strokes, runs=1)
    (score,) = json.loads(hpo(f"baselines --runs {runs} --only humans --json").out)
    assert (score["accuracy"], score["published"]) == (0.75, 0.955)


def test_measured_stands_beside_published(hpo: Hpo, tmp_path: Path, strokes: Drawings) -> None:
    runs = write_runs(tmp_path / "runs", strokes, runs=1)
    outcome = hpo(f"baselines --runs {runs} --no-train")
    assert outcome.status == 0
    assert "Accuracy on 20 tasks of 1 official-format runs" in outcome.out
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("│") for line in outcome.out.splitlines())
        if len(cells) == 7
    }
    assert list(rows)[:4] == ["chance", "nearest-neighbour", "hausdorff", "affine"]
    assert rows["chance"] == ["5.0 %", "0.9 % to 23.6 %", "20", "–"]
    assert rows["nearest-neighbour"][2:] == ["20", "21.7 %"]
    assert rows["hausdorff"][3] == "61.2 %"
    assert rows["humans"] == ["not run", "–", "–", "95.5 %"]
    assert rows["siamese-dense"] == ["not trained", "–", "–", "58.3 %"]
    assert rows["siamese-conv"] == ["not trained", "–", "–", "92.0 %"]
    assert rows["affine model"] == ["not run", "–", "–", "81.8 %"]
    assert set(rows) == {*BASELINES, *OMNIGLOT}
    assert "published: on the 400 tasks of the official runs" in outcome.err
    for name in NETWORKS:
        assert f"{name} is not trained: leave --no-train out" in outcome.err
    listed = hpo(f"baselines --runs {runs} --no-train --only siamese-conv --json")
    assert (listed.status, json.loads(listed.out)) == (0, [])


def test_baselines_on_given_runs(hpo: Hpo, tmp_path: Path, strokes: Drawings) -> None:
    runs = write_runs(tmp_path / "runs", strokes, runs=4)
    line = f"baselines --runs {runs} --only"
    (chance,) = json.loads(hpo(f"{line} chance --json").out)
    (nearest,) = json.loads(hpo(f"{line} nearest-neighbour --json").out)
    assert chance["accuracy"] == pytest.approx(0.05)
    assert chance["published"] is None
    assert chance["tasks"] == nearest["tasks"] == 80
    assert 0.08 < nearest["accuracy"] < 0.5
    assert nearest["published"] == 0.217
    assert nearest["source"] == "80 tasks of 4 official-format runs"
    assert nearest["interval"][0] < nearest["accuracy"] < nearest["interval"][1]
    assert nearest["seconds"] >= 0
    only = hpo(f"{line} nearest-neighbour")
    assert "humans" not in only.out
    assert "on 80 tasks of 4 official-format runs" in only.out
    assert refused(hpo("baselines --runs nowhere"), "cannot be read as one-shot runs")


def test_baselines_on_mnist(hpo: Hpo, tmp_path: Path) -> None:
    write_fake_mnist(tmp_path / "digits")
    line = "baselines --on mnist --data digits"
    scores = [json.loads(hpo(f"{line} --only {n} --json").out)[0] for n in BASELINES if n[0] != "a"]
    assert [score["accuracy"] for score in scores][:2] == [pytest.approx(0.1), 1.0]
    assert [score["published"] for score in scores] == [None, 0.265, None]
    assert {score["source"] for score in scores} == {
        "400 tasks of MNIST's test digits, 10-way, seed 0"
    }
    table = hpo(f"{line} --only nearest-neighbour")
    assert "26.5 %" in table.out
    assert "official runs" not in table.err
    assert refused(hpo(f"{line} --runs digits"), "leave --runs or --on out")


@pytest.mark.soak
def test_nearest_neighbour_on_runs_of_omniglots_validation_alphabets(
    hpo: Hpo, tmp_path: Path, real_omniglot: Drawings
) -> None:
    validation = split(real_omniglot).validation
    runs = write_runs(tmp_path / "runs", validation, runs=10)
    (score,) = json.loads(hpo(f"baselines --runs {runs} --only nearest-neighbour --json").out)
    assert score["tasks"] == 200
    assert 0.08 < score["accuracy"] < 0.35


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
    for data in ("data-2", "data-4"):
        keep(a_score("chance", source="random"), data, None)
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
