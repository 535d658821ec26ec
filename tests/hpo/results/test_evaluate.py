import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from data.drawings import Drawings
from data.split import split
from data.tasks import draw_tasks
from hpo.results.evaluate import evaluate_scores, evaluation_tasks, mnist_tasks, together
from hpo.study.evaluations import evaluations
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.configuration import DataChoice
from model.training import build
from tests.data.fake_mnist import write_fake_mnist
from tests.data.official_runs import write_runs
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Searched


def test_one_shot_tasks_are_of_the_evaluation_drawers(strokes: Drawings, tmp_path: Path) -> None:
    drawn = draw_tasks(split(strokes).evaluation, 400, seed=0)
    choice = DataChoice(set="strokes")
    (one,) = evaluation_tasks(choice, tmp_path, None)
    again, five = evaluation_tasks(choice, tmp_path, None, (1, 5))
    for tasks in (one, again):
        assert torch.equal(tasks.support, drawn.support)
        assert torch.equal(tasks.queries, drawn.queries)
        assert tasks.source == drawn.source
    assert torch.equal(five.queries, drawn.queries)
    assert torch.equal(five.support[:, ::5], drawn.support)


def test_official_runs_at_hand_are_for_one_shot_alone(
    strokes: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_runs(tmp_path / "all_runs", strokes, runs=1)
    monkeypatch.setattr("hpo.results.evaluate.open_set", lambda *_: strokes)
    choice = DataChoice(set="omniglot")
    (one,) = evaluation_tasks(choice, tmp_path, None)
    assert "official" in one.source
    for tasks in evaluation_tasks(choice, tmp_path, None, (1, 2)):
        assert "random draws" in tasks.source
    (wanted,) = evaluation_tasks(choice, tmp_path, None, wanted=(40,))
    assert "40 random draws" in wanted.source
    (other,) = evaluation_tasks(DataChoice(set="strokes"), tmp_path, None)
    assert "400 random draws" in other.source


def test_a_line_and_a_look_for_every_number_of_shots(hpo: Hpo, searched: Searched) -> None:
    outcome = hpo("evaluate best.safetensors --shots 1,3,5")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert len(lines) == 3
    for line, kind in zip(lines, ("20-way", "20-way 3-shot", "20-way 5-shot"), strict=True):
        assert f"on 400 random draws, {kind} within" in line
    assert "these were looks 1 to 3 at the evaluation tasks of the study tiny" in outcome.err
    scores = json.loads(hpo("evaluate best.safetensors --shots 5,1 --json").out)
    assert [score["shots"] for score in scores] == [5, 1]
    plain = hpo("evaluate best.safetensors")
    assert plain.out == f"{lines[0]}\n"
    assert "this was look 6" in plain.err
    kept = evaluations(searched().study)
    assert ["5-shot" in one.source for one in kept] == [False, False, True, True, False, False]
    assert kept[2].accuracy == kept[3].accuracy == scores[0]["accuracy"]


def test_a_network_has_as_many_shots_as_it_was_searched_with(hpo: Hpo, searched: Searched) -> None:
    text = Path("best.toml").read_text()
    Path("three.toml").write_text(text.replace("\nshots = 1\n", "\nshots = 3\n"))
    assert hpo("train three.toml").status == 0
    assert "20-way 3-shot within" in hpo("evaluate three.safetensors --tasks 40").out
    assert "20-way within" in hpo("evaluate three.safetensors --tasks 40 --shots 1").out


@pytest.mark.parametrize("shots", ["0", "-1", "x", "1,1", "1,", "1.5"])
def test_shots_that_are_no_numbers(hpo: Hpo, searched: Searched, shots: str) -> None:
    line = f"evaluate best.safetensors --shots={shots}"
    assert refused(hpo(line), "is not a list of different numbers from 1: give some, as in 1,3,5")


def test_shots_that_cannot_be_drawn(
    hpo: Hpo, searched: Searched, strokes: Drawings, tmp_path: Path
) -> None:
    assert refused(hpo("evaluate best.safetensors --shots 20"), "take 1 to 19 shots")
    runs = write_runs(tmp_path / "runs", strokes, runs=1)
    line = f"evaluate best.safetensors --runs {runs} --shots"
    assert refused(hpo(f"{line} 1,3"), "have one image of each class: leave --runs or --shots out")
    assert hpo(f"{line} 1").status == 0
    assert len(evaluations(searched().study)) == 1


def test_as_many_tasks_as_are_wanted(hpo: Hpo, searched: Searched, strokes: Drawings) -> None:
    both = evaluation_tasks(DataChoice(set="strokes"), Path(), None, (1, 3), wanted=(819, 40))
    assert [(len(one), one.shots) for one in both] == [(800, 1), (800, 3), (40, 1), (40, 3)]
    lines = hpo("evaluate best.safetensors --tasks 800,400").out.splitlines()
    assert ["on 800 random draws" in line for line in lines] == [True, False]
    assert f"{lines[1]}\n" == hpo("evaluate best.safetensors").out
    runs = write_runs(Path("runs"), strokes, runs=1)
    line = "evaluate best.safetensors --tasks"
    assert refused(hpo(f"{line} 40 --runs {runs}"), "leave --runs or --tasks out")
    assert refused(hpo(f"{line} 0"), "--tasks 0 is not a list of different numbers from 1")


def test_the_probabilities_of_networks_together_are_multiplied(strokes: Drawings) -> None:
    tasks = draw_tasks(split(strokes).evaluation, 20, seed=0)
    right = torch.nn.functional.one_hot(tasks.target, 20).float()
    wrong = right.roll(1, dims=-1)
    # One prefers a wrong class by a little, the other the right one by more, on another level.
    answers = [wrong * 2, 100 + right * 3, wrong * 2]

    def accuracy(*networks: int) -> float:
        scores = together([answers[one] for one in networks])
        return evaluate_scores("together", scores, tasks).accuracy

    assert accuracy(0, 1) == 1
    assert accuracy(0, 2) == accuracy(0, 1, 2) == 0


def test_a_row_for_each_network_and_one_for_all_together(hpo: Hpo, searched: Searched) -> None:
    hpo("train best.toml --seed 5 -o other.safetensors")
    alone = hpo("evaluate other.safetensors").out.partition(": ")[2]
    outcome = hpo("evaluate best.safetensors other.safetensors")
    lines = outcome.out.splitlines(keepends=True)
    named = [line.partition(": ")[0] for line in lines]
    assert named == ["best.safetensors", "other.safetensors", "2 networks together"]
    assert lines[1].endswith(alone)
    kept = evaluations(searched().study)
    assert [one.checkpoint for one in kept] == [
        f"{x}.safetensors" for x in ("other", "best", "other")
    ]
    assert kept[0].accuracy == kept[2].accuracy


def test_networks_of_different_data_have_no_tasks_in_common(hpo: Hpo, searched: Searched) -> None:
    text = Path("best.toml").read_text()
    Path("other.toml").write_text(text.replace("\nway = 20\n", "\nway = 10\n"))
    assert hpo("train other.toml").status == 0
    line = "evaluate best.safetensors other.safetensors"
    assert refused(hpo(line), "different data, so they have no tasks in common")


def test_tasks_are_of_the_size_of_the_largest_network(
    hpo: Hpo, searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched()
    write_fake_mnist(tmp_path)
    small = load_checkpoint(Path("best.safetensors"), torch.device("cpu"))
    large = small.configuration.network.model_copy(update={"image_size": 24})
    configuration = small.configuration.model_copy(update={"network": large})
    network = build(large, 0, torch.device("cpu"))
    made = Checkpoint(network, configuration, small.history, small.data_fingerprint)
    save_checkpoint(Path("large.safetensors"), made)
    asked = Mock(wraps=mnist_tasks)
    monkeypatch.setattr("hpo.cli.evaluate.mnist_tasks", asked)
    for files in ("best.safetensors large.safetensors", "large.safetensors best.safetensors"):
        done = hpo(f"evaluate {files} --on mnist --data .")
        assert done.status == 0, done.err
    assert [call.args[1] for call in asked.call_args_list] == [24, 24]


def test_a_network_on_mnist(hpo: Hpo, searched: Searched, tmp_path: Path) -> None:
    write_fake_mnist(tmp_path / "digits/MNIST/raw", packed=False)
    line = "evaluate best.safetensors --on mnist --data digits"
    one, three = json.loads(hpo(f"{line} --shots 1,3 --json").out)
    assert one["tasks"] == three["tasks"] == 400
    assert one["source"] == "400 tasks of MNIST's test digits, 10-way, seed 0"
    assert "10-way 3-shot" in three["source"]
    assert 0.1 < one["accuracy"] <= 1
    assert [look.source for look in evaluations(searched().study)] == [
        one["source"],
        three["source"],
    ]
    assert refused(hpo(f"{line} --runs digits"), "leave --runs or --on out")


def test_no_mnist_and_no_network(hpo: Hpo, searched: Searched, offline: None) -> None:
    sentence = "with no network, put t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz there"
    assert refused(hpo("evaluate best.safetensors --on mnist"), sentence)
    assert refused(hpo("baselines --on mnist"), sentence)
    assert evaluations(searched().study) == []
