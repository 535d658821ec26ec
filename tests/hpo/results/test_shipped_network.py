"""The network that comes with the program, and the pictures that README has it classify."""

import runpy
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import hpo as api
from hpo.study.paths import find_configuration, shipped_network
from hpo.study.settings import read_settings
from hpo.study.space import SearchSpace
from model.checkpoint import load_checkpoint
from model.configuration import Configuration
from tests.data.fake_mnist import write_fake_mnist
from tests.hpo.command import Hpo

DOCS = Path(__file__).parents[3] / "docs"
PICTURES = sorted((DOCS / "drawings" / "new").glob("*.png"))


def test_it_is_small_and_of_the_configuration_that_is_shipped_too() -> None:
    assert shipped_network().stat().st_size < 8e6
    checkpoint = load_checkpoint(shipped_network(), torch.device("cpu"))
    shipped = Configuration.read(find_configuration("omniglot"))
    assert checkpoint.configuration.recipe_key == shipped.recipe_key
    assert checkpoint.data_fingerprint == "omniglot-37eab6f6eef6882e"
    assert len(checkpoint.history.epochs) == shipped.training.epochs


def test_it_is_moderns_first_trained_in_full() -> None:
    modern = read_settings(DOCS.parent / "studies" / "modern.toml")
    (params,) = modern.search.first
    made = SearchSpace(modern).configuration(params, 0, modern.trained_in_full())
    assert made.recipe_key == Configuration.read(find_configuration("omniglot")).recipe_key


def test_readmes_first_line_names_every_drawing(hpo: Hpo) -> None:
    assert len(PICTURES) == 6
    queries = " ".join(map(str, PICTURES))
    outcome = hpo(f"classify --support {DOCS}/drawings/classes --query {queries}")
    assert outcome.status == 0
    assert "the network that comes with hpo" in outcome.err
    answers = [line.split()[1] for line in outcome.out.splitlines() if line.startswith("  1  ")]
    assert answers == [picture.stem for picture in PICTURES]


def test_a_checkpoint_may_be_named_before_the_pictures_and_no_picture_is_one(hpo: Hpo) -> None:
    one, other = PICTURES[:2]
    support = f"--support {DOCS}/drawings/classes"
    plain = hpo(f"classify {support} --query {one} {other}").out
    assert hpo(f"classify {shipped_network()} {support} --query {one} {other}").out == plain
    assert hpo(f"classify {one} {other} {support}").out.count("  1  ") == 2
    absent = hpo(f"classify none.safetensors {support} --query {one}")
    assert "none.safetensors cannot be read" in absent.err


def test_a_notebook_has_it_without_a_path() -> None:
    network = api.load_checkpoint(device="cpu")
    classes = {p.stem: [DOCS / "drawings" / "classes" / p.name] for p in PICTURES}
    found = network.classify(classes, PICTURES)
    assert [guesses[0].name for guesses in found] == list(classes)


def test_it_is_scored_where_no_checkpoint_is_named_and_no_look_is_counted(
    hpo: Hpo, tmp_path: Path
) -> None:
    write_fake_mnist(tmp_path / "digits/MNIST/raw", packed=False)
    outcome = hpo("evaluate --on mnist --data digits --tasks 40")
    assert outcome.status == 0
    assert outcome.out.startswith("siamese: ")
    assert "on 40 tasks of MNIST's test digits" in outcome.out
    assert "the network that comes with hpo" in outcome.err
    assert "look" not in outcome.err


def test_the_drawings_are_those_of_their_script(tmp_path: Path) -> None:
    runpy.run_path(str(DOCS / "draw_strokes.py"))["main"](tmp_path)
    for folder in ("classes", "new"):
        kept = sorted((DOCS / "drawings" / folder).iterdir())
        made = sorted((tmp_path / folder).iterdir())
        assert [p.name for p in kept] == [p.name for p in made]
        for one, other in zip(kept, made, strict=True):
            assert np.array_equal(np.asarray(Image.open(one)), np.asarray(Image.open(other)))
