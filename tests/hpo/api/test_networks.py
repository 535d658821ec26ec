import os
import signal
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import hpo
from data.drawings import Drawings, as_input
from model.configuration import Configuration
from model.history import Diverged, History
from tests.data.ink import ink_of
from tests.hpo.command import Hpo
from tests.hpo.fixture_types import Searched

Pixels = NDArray[np.uint8]


@pytest.fixture
def network(searched: Searched) -> hpo.TrainedNetwork:
    """The tiny study's, beside its files."""
    searched()
    return hpo.load_checkpoint("best.safetensors", device="cpu")


@pytest.fixture
def paper(strokes: Drawings) -> Pixels:
    """(5, 105, 105): five characters in black on white."""
    pixels: Pixels = 255 - ink_of(strokes)[:5, 0].numpy()
    return pixels


def test_embeddings_are_the_networks_own(
    network: hpo.TrainedNetwork, paper: Pixels, strokes: Drawings
) -> None:
    found = network.embed(paper)
    small = ink_of(strokes.resized(20))[:5, 0, None]
    with torch.no_grad():
        expected = network.checkpoint.network.eval().encode(as_input(small)).numpy()
    units = network.checkpoint.configuration.network.fc_units
    assert (str(found.dtype), found.shape) == ("float32", (5, units))
    assert np.abs(found - expected).max() < 0.01  # which bf16 makes


def test_all_forms_of_a_picture_are_one(network: hpo.TrainedNetwork, paper: Pixels) -> None:
    expected = network.embed(paper)
    pictures = [Image.fromarray(one) for one in paper]
    for number, picture in enumerate(pictures):
        picture.save(f"{number}.png")
    files = [Path(f"{number}.png") for number in range(5)]
    colours = np.repeat(paper[..., None], 3, axis=-1)
    mixed = [str(files[0]), pictures[1], paper[2], colours[3], files[4]]
    for form in (files, pictures, 255 - paper, colours, torch.from_numpy(paper), mixed):
        assert np.array_equal(network.embed(form), expected)
    large = [picture.resize((210, 210), Image.Resampling.NEAREST) for picture in pictures]
    assert np.abs(network.embed(large) - expected).max() < 0.05


def test_compared_pictures_have_a_probability(network: hpo.TrainedNetwork, paper: Pixels) -> None:
    found = network.compare(paper, paper[::-1])
    assert (str(found.dtype), found.shape) == ("float32", (5,))
    first, second = (torch.from_numpy(network.embed(one)) for one in (paper, paper[::-1]))
    with torch.no_grad():
        logits = network.checkpoint.network.score(first, second)
    assert found.tolist() == pytest.approx(logits.sigmoid().tolist())
    assert found[2] == found.max()  # the same picture twice


def test_classes_are_ranked_as_the_command_does(
    command: Hpo, network: hpo.TrainedNetwork, paper: Pixels
) -> None:
    Path("classes").mkdir()
    for number, pixels in enumerate(paper):
        Image.fromarray(pixels).save(f"classes/c{number}.png")
    support = {f"c{number}": paper[number : number + 1] for number in range(5)}
    (guesses,) = network.classify(support, ["classes/c3.png"])
    told = command(
        "classify best.safetensors --support classes --query classes/c3.png --device cpu"
    )
    names = [line.split()[1] for line in told.out.splitlines()[1:]]
    assert [guess.name for guess in guesses] == names
    assert names[0] == "c3"
    assert sum(guess.probability for guess in guesses) == pytest.approx(1)


def test_what_is_no_picture_is_one_sentence(network: hpo.TrainedNetwork, paper: Pixels) -> None:
    blank = Image.new("L", (9, 9), 255)
    for images, sentence in (
        ([], "there is no image: give one or more"),
        *(
            (alone, "one image stands where several are expected: put it in a list")
            for alone in ("a.png", Path("a.png"), Image.fromarray(paper[0]))
        ),
        (["a.png"], "there is no image a.png: check the path"),
        ([paper[0], blank], "image 1 is blank: give a picture"),
        (paper[0], r"image 0 is an array of uint8, \(105,\): give uint8, \(H, W\) or \(H, W, 3\)"),
        (paper / 255, r"image 0 is an array of float64, \(105, 105\): give uint8"),
        (paper[:, None], r"image 0 is an array of uint8, \(1, 105, 105\): give uint8"),
        (paper[:, :0], r"image 0 is an array of uint8, \(0, 105\): give uint8"),
    ):
        with pytest.raises(hpo.UserError, match=f"^{sentence}"):
            network.embed(images)
    with pytest.raises(hpo.UserError, match="^5 images cannot be paired with 4: give as many"):
        network.compare(paper, paper[:4])
    with pytest.raises(hpo.UserError, match="^there is no image of b: give one or more"):
        network.compare(paper, [])
    with pytest.raises(hpo.UserError, match="^a choice needs 2 classes or more: add"):
        network.classify({"c": paper}, paper)
    with pytest.raises(hpo.UserError, match="^there is no image of c: give one or more"):
        network.classify({"c": [], "d": paper}, paper)
    with pytest.raises(hpo.UserError, match="^image 0 of the queries is blank"):
        network.classify({"c": paper, "d": paper}, [blank])


def test_a_training_goes_on_where_it_was_stopped(
    network: hpo.TrainedNetwork, paper: Pixels
) -> None:
    configuration = Configuration.read(Path("best.toml"))
    counts: list[int] = []

    def stop_after_two(history: History) -> None:
        counts.append(len(history.epochs))
        if counts == [1, 2]:
            os.kill(os.getpid(), signal.SIGINT)

    def trained() -> hpo.TrainedNetwork:
        return hpo.train(configuration, "again.safetensors", device="cpu", on_epoch=stop_after_two)

    with pytest.raises(KeyboardInterrupt, match="stopped by Ctrl-C; the same call goes on"):
        trained()
    again = trained()
    assert counts == [1, 2, 3, 4]
    assert not list(Path().glob("*.unfinished"))
    for one in (again, hpo.load_checkpoint("again.safetensors", device="cpu")):
        assert np.array_equal(one.embed(paper), network.embed(paper))
    assert again.checkpoint.configuration == configuration


def test_an_error_of_a_training_says_what_to_do(
    network: hpo.TrainedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged = Diverged(2, 64)
    monkeypatch.setattr("hpo.api.networks.train_in_full", Mock(side_effect=diverged))
    with pytest.raises(Diverged) as caught:
        hpo.train(network.checkpoint.configuration, "new.safetensors")
    assert str(caught.value) == Diverged(2, 64).sentence
    assert Diverged.advice in str(caught.value)


def test_what_cannot_be_trained_or_read_is_one_sentence(network: hpo.TrainedNetwork) -> None:
    configuration = network.checkpoint.configuration
    with pytest.raises(hpo.UserError, match="best.toml is not a checkpoint"):
        hpo.load_checkpoint("best.toml")
    with pytest.raises(hpo.UserError, match="tpu9 is no device: name cpu, cuda"):
        hpo.load_checkpoint("best.safetensors", device="tpu9")
    with pytest.raises(hpo.UserError, match="studies cannot be written .*: give another place"):
        hpo.train(configuration, "studies")
    with pytest.raises(hpo.UserError, match="the data folder nowhere does not exist: make it"):
        hpo.train(configuration, "new.safetensors", data="nowhere")
