"""`hpo baselines` with its two siamese networks, here tiny ones on drawn alphabets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data.drawings import Drawings
from hpo.paper.reference_networks import NETWORKS
from hpo.study.evaluations import evaluations
from model.architecture import Convolution
from tests.data.fake_mnist import write_fake_mnist
from tests.data.official_runs import write_runs
from tests.hpo.command import Hpo, Outcome, refused
from tests.hpo.fixture_types import Searched
from tests.hpo.made_up import stopped_at
from tests.model.tiny import tiny_configuration


@pytest.fixture
def configurations(hpo: Hpo, tmp_path: Path) -> Path:
    """The folder with the configurations of both, which `hpo` takes before the shipped ones."""
    folder = tmp_path / "studies/configurations"
    folder.mkdir(parents=True)
    conv = tiny_configuration()
    whole = (Convolution(kernel=20, filters=32),)
    dense = conv.model_copy(
        update={
            "network": conv.network.model_copy(update={"convolutions": whole}),
            "rates": {name: conv.rates[name] for name in ("conv1", "fc", "out")},
        }
    )
    for name, configuration in zip(NETWORKS, (dense, conv), strict=True):
        (folder / f"{name}.toml").write_text(configuration.to_toml())
    return folder


@pytest.fixture
def line(configurations: Path, tmp_path: Path, strokes: Drawings) -> str:
    runs = write_runs(tmp_path / "runs", strokes, runs=5)
    return f"baselines --runs {runs} --json"


def kept(tmp_path: Path, name: str) -> list[Path]:
    return sorted((tmp_path / "cache/hpo/networks").glob(f"{name}-*"))


def trained(outcome: Outcome, name: str = "siamese-dense") -> bool:
    assert outcome.status == 0, outcome.err
    said = f"{name} is trained now" in outcome.err
    assert said == ("epoch 1 of 2: error" in outcome.err or "going on after" in outcome.err)
    assert said != (f"{name} was trained before" in outcome.err)
    return said


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_trained_once(hpo: Hpo, line: str, tmp_path: Path, name: str) -> None:
    first = hpo(f"{line} --only {name}")
    assert trained(first, name)
    assert "up to 2 epochs on CPU" in first.err
    (file,) = kept(tmp_path, name)
    assert str(file) in first.err
    again = hpo(f"{line} --only {name} --no-train")
    assert not trained(again, name)
    (score,) = json.loads(first.out)
    (same,) = json.loads(again.out)
    assert score | {"seconds": 0} == same | {"seconds": 0}
    assert score["name"] == name
    assert score["tasks"] == 100
    assert score["source"] == "100 tasks of 5 official-format runs"
    assert score["published"] == {"siamese-dense": 0.583, "siamese-conv": 0.92}[name]
    assert score["interval"][0] < score["accuracy"] < score["interval"][1]
    (alone,) = json.loads(hpo(f"evaluate {file} --runs {tmp_path / 'runs'} --json").out)
    assert alone["accuracy"] == score["accuracy"]


def test_some_are_measured_in_the_order_of_the_table(hpo: Hpo, line: str) -> None:
    some = hpo(f"{line} --only nearest-neighbour --only chance --only chance")
    assert [one["name"] for one in json.loads(some.out)] == ["chance", "nearest-neighbour"]
    assert refused(hpo(f"{line} --only chance --only luck"), "there is no baseline luck: name one")


def test_what_has_changed_is_trained_anew(
    hpo: Hpo,
    line: str,
    configurations: Path,
    tmp_path: Path,
    strokes: Drawings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = f"{line} --only siamese-dense"
    assert trained(hpo(line))
    file = configurations / "siamese-dense.toml"
    before = file.read_text()
    file.write_text(before.replace("fc_units = 32", "fc_units = 33"))
    assert trained(hpo(line))
    file.write_text(before)
    assert not trained(hpo(line))
    assert len(kept(tmp_path, "siamese-dense")) == 2
    other = replace(strokes, fingerprint="strokes-other")
    monkeypatch.setattr("data.sources.by_name.load_strokes", lambda seed, cache: other)
    assert trained(hpo(line))
    newest = max(kept(tmp_path, "siamese-dense"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert trained(hpo(line))
    assert len(kept(tmp_path, "siamese-dense")) == 3


def test_a_training_that_is_stopped_goes_on(hpo: Hpo, line: str, tmp_path: Path) -> None:
    line = f"{line} --only siamese-dense"
    whole = hpo(line)
    (file,) = kept(tmp_path, "siamese-dense")
    file.unlink()

    with stopped_at(6):  # in the second epoch
        stopped = hpo(line)
    assert (stopped.status, stopped.out) == (130, "")
    assert "the same line goes on from here" in stopped.err
    assert "siamese-dense is not trained" in hpo(f"{line} --no-train").err
    went_on = hpo(line)
    assert trained(went_on)
    assert "going on after 1 epochs" in went_on.err
    assert json.loads(went_on.out)[0]["accuracy"] == json.loads(whole.out)[0]["accuracy"]
    assert kept(tmp_path, "siamese-dense") == [file]


def test_both_on_mnist_as_evaluate_says(hpo: Hpo, configurations: Path, tmp_path: Path) -> None:
    write_fake_mnist(tmp_path / "digits")
    line = "baselines --on mnist --data digits --json --only"
    for name, published in (("siamese-dense", None), ("siamese-conv", 0.703)):
        (score,) = json.loads(hpo(f"{line} {name}").out)
        assert (score["name"], score["published"]) == (name, published)
        (file,) = kept(tmp_path, name)
        evaluated = hpo(f"evaluate {file} --on mnist --data digits --json")
        assert score["accuracy"] == json.loads(evaluated.out)[0]["accuracy"]
    assert not (tmp_path / "cache/hpo/baselines").exists()  # the report is of alphabets


def test_a_checkpoint_of_ones_own_stands_in_its_row_and_is_counted(
    hpo: Hpo, searched: Searched, strokes: Drawings, tmp_path: Path
) -> None:
    searched()
    runs = write_runs(tmp_path / "runs", strokes, runs=1)
    line = f"baselines --runs {runs} --only siamese-conv --siamese-conv best.safetensors --json"
    outcome = hpo(line)
    assert "this was look 1 at the evaluation tasks of the study tiny" in outcome.err
    (score,) = json.loads(outcome.out)
    (look,) = evaluations(searched().study)
    assert (look.checkpoint, look.accuracy) == ("best.safetensors", score["accuracy"])
    assert (score["name"], score["published"]) == ("siamese-conv", 0.92)
    assert not (tmp_path / "cache").exists()


def test_what_cannot_be_done_is_one_sentence(
    hpo: Hpo,
    offline: None,
    line: str,
    configurations: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert refused(hpo(f"{line} --siamese-conv none"), "none cannot be read")
    wrong = hpo(f"{line} --siamese-conv none --only chance")
    assert refused(wrong, "leave --only out, or add --only siamese-conv")
    line = f"{line} --only siamese-dense"
    assert refused(hpo(f"{line} --device cuda:99"), "CUDA devices")
    file = configurations / "siamese-dense.toml"
    text = file.read_text()
    file.write_text(text.replace("fc_units = 32", "fc_units = 0"))
    assert refused(hpo(line), "siamese-dense.toml: network.fc_units = 0")
    file.write_text(text.replace('"strokes"', '"omniglot"'))
    assert refused(hpo(line), "with no network, put images_background.zip")
    file.write_text(text)
    (tmp_path / "full").write_text("")
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "full"))
    assert refused(hpo(line), "cannot be written", "name another folder with HPO_CACHE")
    assert not (tmp_path / "cache/hpo/networks").exists()
