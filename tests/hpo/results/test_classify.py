import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from data.drawings import Drawings, as_input
from data.errors import DataError
from hpo.results.classify import classify, find_support
from model.checkpoint import load_checkpoint
from tests.data.ink import ink_of
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Searched

CPU = torch.device("cpu")
NAMES = [f"c{n}" for n in range(7)]


def draw(ink: Tensor, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 - ink.numpy()).save(path)
    return path


@pytest.fixture
def pictures(strokes: Drawings, searched: Searched, tmp_path: Path) -> Path:
    """Beside the tiny study: seven classes of one image, of two, and three queries."""
    for number, name in enumerate(NAMES):
        draw(ink_of(strokes)[number, 0], tmp_path / f"one/{name}.png")
        for drawer in (0, 1):
            draw(ink_of(strokes)[number, drawer], tmp_path / f"two/{name}/by{drawer}.png")
    for number in range(3):
        draw(ink_of(strokes)[number, 0], tmp_path / f"q/{number}.png")
    return tmp_path


def test_the_queries_classes_are_ranked(hpo: Hpo, pictures: Path) -> None:
    outcome = hpo("classify best.safetensors --support one --query q/0.png q/1.png q/2.png")
    assert outcome.status == 0, outcome.err
    blocks = outcome.out.split("q/")[1:]
    assert [block.split()[0] for block in blocks] == ["0.png", "1.png", "2.png"]
    for number, block in enumerate(blocks):
        lines = block.splitlines()[1:]
        assert [line.split()[0] for line in lines] == ["1", "2", "3", "4", "5"]
        assert lines[0].split()[1] == f"c{number}"  # its very own image is in the support set
    other = hpo("classify best.safetensors --support one --query q/0.png --query q/1.png q/2.png")
    assert other.out == outcome.out


def test_json_has_every_class_and_probabilities_that_add_up(hpo: Hpo, pictures: Path) -> None:
    outcome = hpo("classify best.safetensors --support two --query q/2.png --json")
    (answer,) = json.loads(outcome.out)
    assert answer["query"] == "q/2.png"
    assert {c["name"] for c in answer["classes"]} == set(NAMES)
    probabilities = [c["probability"] for c in answer["classes"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    scores = torch.tensor([c["score"] for c in answer["classes"]], dtype=torch.float64)
    assert scores.softmax(0).tolist() == pytest.approx(probabilities)


def test_a_class_scores_the_mean_logit_of_its_images(pictures: Path, strokes: Drawings) -> None:
    checkpoint = load_checkpoint(pictures / "best.safetensors", CPU)
    support = find_support(pictures / "two")
    (guesses,) = classify(checkpoint, support, [pictures / "q/1.png"], CPU)
    assert not isinstance(guesses, DataError)
    small, network = ink_of(strokes.resized(20)), checkpoint.network
    with torch.no_grad():
        query = network.encode(as_input(small[1, :1, None]))
        shown = network.encode(as_input(small[:7, :2].reshape(14, 1, 20, 20)))
        expected = network.score_all(query, shown).view(7, 2).mean(dim=1)
    by_name = {guess.name: guess.score for guess in guesses}
    assert [by_name[name] for name in NAMES] == pytest.approx(expected.tolist(), abs=0.05)


def test_what_a_folder_holds(pictures: Path) -> None:
    one, two = find_support(pictures / "one"), find_support(pictures / "two")
    assert list(one.images) == list(two.images) == NAMES
    assert [len(paths) for paths in two.images.values()] == [2] * 7
    for litter in (".DS_Store", "Thumbs.db", "._c0.png"):
        (pictures / "one" / litter).write_text("")
        (pictures / "two/c0" / litter).write_text("")
    (pictures / "one/.hidden").mkdir()
    (pictures / "one/notes.txt").write_text("")
    again = find_support(pictures / "one")
    assert again.images == one.images
    assert [path.name for path in again.passed_over] == ["notes.txt"]
    assert find_support(pictures / "two") == two
    (pictures / "one/c0.png").rename(pictures / "one/C0.PNG")
    assert "C0" in find_support(pictures / "one").images
    draw(torch.zeros(9, 9, dtype=torch.uint8), pictures / "one/c1.bmp")
    both = find_support(pictures / "one").images["c1"]
    assert [path.name for path in both] == ["c1.bmp", "c1.png"]


def test_what_is_passed_over_is_told(hpo: Hpo, pictures: Path) -> None:
    (pictures / "one/c9.heic").write_text("")
    outcome = hpo("classify best.safetensors --support one --query q/0.png")
    assert outcome.status == 0
    assert "passed over, as no image by its name: one/c9.heic" in outcome.err


def test_a_wrong_support_set_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        find_support(tmp_path / "none")
    with pytest.raises(DataError, match="has 0 classes where a choice needs 2: add"):
        find_support(tmp_path)
    blank = torch.zeros(9, 9, dtype=torch.uint8)
    draw(blank, tmp_path / "a/1.png")
    with pytest.raises(DataError, match="has 1 class where a choice needs 2"):
        find_support(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"the class .*/b has no image: add one"):
        find_support(tmp_path)
    draw(blank, tmp_path / "c.png")
    with pytest.raises(DataError, match="holds both images and subfolders"):
        find_support(tmp_path)


def test_bad_input_is_one_sentence(hpo: Hpo, pictures: Path) -> None:
    line = "classify best.safetensors --support one"
    assert refused(hpo(line), "there is no image to classify: name one or more with --query")
    assert refused(hpo(f"{line} --query q/0.png q/9.png"), "there is no image q/9.png: check")
    assert refused(hpo(f"{line} --query q"), "q is a folder: name the images in it")
    assert refused(hpo("classify best.safetensors --query q/0.png"), "--support")
    assert refused(hpo("classify best.toml --support one --query q/0.png"), "not a checkpoint")
    (pictures / "one/c3.png").write_text("no image")
    assert refused(hpo(f"{line} --query q/0.png"), "one/c3.png is not a readable image")
    draw(torch.zeros(50, 50, dtype=torch.uint8), pictures / "one/c3.png")
    assert refused(hpo(f"{line} --query q/0.png"), "one/c3.png is blank")


def test_one_bad_picture_does_not_end_a_batch(hpo: Hpo, pictures: Path) -> None:
    (pictures / "q/broken.png").write_text("no image")
    os.mkfifo(pictures / "q/pipe.png")
    line = "classify best.safetensors --support one --query q/0.png"
    alone = hpo(line)
    both = hpo(f"{line} q/broken.png q/pipe.png")
    assert both.status == 2
    assert both.out == alone.out
    first, second = both.err.strip().splitlines()
    assert first.startswith("hpo: q/broken.png is not a readable image")
    assert "q/pipe.png is not a readable image (" in second
    assert "a pipe or a device" in second
    as_json = hpo(f"{line} q/broken.png q/pipe.png --json")
    assert (as_json.status, as_json.err) == (2, both.err)
    good, bad, _ = json.loads(as_json.out)
    assert good["classes"]
    assert bad == {"query": "q/broken.png", "error": first.removeprefix("hpo: ")}
