import errno
import json
import re
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import text
from syrupy.assertion import SnapshotAssertion

from hpo import __version__
from hpo.cli import COMMANDS
from model.snapshot import Snapshot
from tests.conftest import ordinary_user
from tests.hpo.command import Hpo, refused
from tests.hpo.made_up import stopped_at
from tests.hpo.processes import check_whole
from tests.hpo.tiny_study import open_tiny, write_tiny


def test_from_search_to_score(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    ran = hpo("run tiny --trials 2")
    assert ran.status == 0
    assert "best trial" in ran.out
    assert "hpo dashboard tiny" in ran.out
    for word in ("study    tiny (new) in sqlite:///", "device   CPU", "data     strokes at 20×20"):
        assert word in ran.err
    assert re.search(r"trials   0 finished, 2 left: up to .* a trial that is not pruned", ran.err)
    assert (tmp_path / "studies/tiny/study.db").is_file()

    again = hpo("run tiny --trials 2")
    assert again.status == 0
    assert "none left" in again.err
    assert again.out == ran.out

    figures = json.loads(hpo("status tiny --json").out)
    assert figures["finished"] == figures["trials"]["complete"] == 2
    best = figures["best"]
    assert best["params"]["conv1_kernel"] >= 3
    percent = f"{100 * best['error']:.1f} %"
    assert f"best trial {best['trial']}: one-shot validation error {percent}\n" in ran.out
    kernel, filters = (best["params"][f"conv2_{name}"] for name in ("kernel", "filters"))
    assert f"  conv2  {filters} filters of {kernel}×{kernel}\n" in ran.out
    assert f"  fc     {best['params']['fc_units']} units\n" in ran.out
    assert figures["wanted"] == 2
    assert figures["seconds_left"] == 0
    assert "2 of 2 trials finished (2 complete)" in hpo("status tiny").out

    shown = hpo("export tiny")
    assert "[rates.conv1]" in shown.out
    assert hpo("export tiny -o best.toml").status == 0
    assert refused(hpo("export tiny -o ."), "cannot be written")
    assert refused(hpo("train best.toml -o best.toml/c"), "cannot be written")
    trained = hpo("train best.toml --as-trial")
    error = figures["best"]["error"]
    assert f"one-shot validation error {100 * error:.1f} % in epoch" in trained.out
    assert "epoch 1 of 3: error" in trained.err

    scored = hpo("evaluate best.safetensors")
    assert re.search(r"correct \(95 % interval .* to .* %\) on 400 random draws", scored.out)
    (score,) = json.loads(hpo("evaluate best.safetensors --json").out)
    assert score["tasks"] == 400
    low, high = score["interval"]
    assert low < score["accuracy"] < high


def test_a_training_goes_on(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1").status == 0
    assert hpo("export tiny -o best.toml").status == 0
    whole = hpo("train best.toml -o whole.safetensors")

    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with monkeypatch.context() as patch, stopped_at(10):
        patch.setattr(Snapshot, "save", full)
        patch.setattr(Snapshot, "save_if_cheap", lambda *_: None)
        assert refused(hpo("train best.toml -o full.safetensors"), "No space left on device")
    with stopped_at(10):  # in the third epoch
        stopped = hpo("train best.toml -o other.safetensors")
    assert stopped.status == 130
    assert "the same line goes on from here" in stopped.err
    assert not (tmp_path / "other.safetensors").exists()
    went_on = hpo("train best.toml -o other.safetensors")
    assert "going on after 2 epochs" in went_on.err
    assert went_on.out.partition(":")[2] == whole.out.partition(":")[2]
    assert not (tmp_path / "other.safetensors.unfinished").exists()


def test_watching_into_a_pipe_says_a_line_for_every_change(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 2").status == 0
    watched = hpo("status tiny --watch")
    assert watched.status == 0
    assert "2 of 2 trials finished" in watched.out
    assert "\x1b" not in watched.out
    assert re.search(r"1 +[01] +[0-9.]+ % .* fc \d+", watched.out)
    assert refused(hpo("status tiny --watch --json"), "leave one of them out")


def test_another_folder_finds_the_shipped_studies(hpo: Hpo) -> None:
    outcome = hpo("status demo")
    assert refused(outcome, "no study in studies/demo/study.db: start one with `hpo run demo")
    assert refused(hpo("status nothing"), "name one of classic, demo, images, modern, paper, small")


def test_resuming_with_other_settings_is_refused(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1 --set training.epochs=1").status == 0
    assert refused(hpo("run tiny --trials 1 --set training.epochs=3"), "training.epochs: 1 → 3")
    assert refused(hpo("run tiny --trials 1 --set training.epochs=1 --seed 9"), "seed: 7 → 9")
    assert hpo("worker tiny").status == 0
    write_tiny(tmp_path / "studies", **{"epochs = 4": "epochs = 5"})
    assert refused(hpo("worker tiny"), "full_training.epochs: 4 → 5")
    storage = open_tiny(tmp_path).storage
    with storage.engine.begin() as connection:  # as an older version left it
        connection.execute(text("DELETE FROM study_user_attributes WHERE key = 'changes'"))
    assert hpo("worker tiny").status == 0


def test_a_study_of_an_older_version_goes_on_with_its_own_settings(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    write_tiny(shipped)
    monkeypatch.setattr("hpo.study.paths._shipped_folders", lambda: (shipped,))
    assert hpo("run tiny --trials 1").status == 0
    monkeypatch.setattr("hpo.study.study.__version__", "99.0")
    write_tiny(shipped, **{"image_size = 20": "image_size = 24"})
    for line in ("run tiny --trials 2", "worker tiny"):
        done = hpo(line)
        assert done.status == 0, done.err
        assert "network.image_size: 20 → 24); the study goes on with its own settings" in done.err
    assert "strokes at 20×20" in hpo("run tiny --trials 2").err
    check_whole(open_tiny(tmp_path), 2)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("run tiny --trials 0", "greater than or equal to 1"),
        ("run tiny --trials many", "--trials"),
        ("run tiny", "--trials"),
        ("run nothing --trials 1", "there is no study nothing"),
        ("run no/such.toml --trials 1", "there is no study file no/such.toml"),
        ("run tiny --trials 1 --device cuda:99", "CUDA devices"),
        ("run tiny --trials 1 --device tpu9", "is no device"),
        ("run tiny --trials 1 --device meta", "not supported"),
        ("run tiny --trials 1 --sampler bayes", "--sampler"),
        ("run tiny --trials 1 --set training.epoch=5", "--set training.epoch: unknown key"),
        ("run tiny --trials 1 --set space.kernel.high=50", "above the 20×20 image"),
        ("run tiny --trials 1 --set space.filters.low=17", "not a multiple of 16"),
        ("run tiny --trials 1 --set search.first=[{conv1_kernel=3}]", "one for every layer"),
        ("run tiny --trials 1 --storage nonsense", "not a database URL"),
        ("run tiny --trials 1 --storage sqlite:////proc/x/study.db", "--storage"),
        ("run tiny --trials 1 --data nowhere", "data folder nowhere does not exist"),
        ("run tiny --trials 1 --device cpu --trials-per-gpu 2", "needs a GPU"),
        ("run tiny --trials 1 --device cpu --ray local", "leave --device out"),
        ("run tiny --trials 1 --ray local --trials-per-gpu 2", "needs --workers"),
        (
            "run tiny --trials 1 --widen lr.high=1 --set space.lr.high=2",
            "--widen lr.high and --set",
        ),
        ("run tiny --trials 1 --seed 3 --set search.seed=5", "--seed and --set search.seed say"),
        ("run tiny --trials 1 --workers 2 --ray 10.0.0.1:6379", "machines of a cluster cannot"),
        ("run tiny --trials 1 --workers -1", "--workers"),
        ("worker tiny", "start one with `hpo run tiny --trials 20`"),
        ("status tiny", "start one with `hpo run tiny --trials 20`"),
        ("export tiny", "start one with `hpo run tiny --trials 20`"),
        ("dashboard tiny --no-browser", "start one with `hpo run tiny --trials 20`"),
        ("train nothing.toml", "cannot be read"),
        ("run tiny --trials 1 --seed -4", "--seed"),
        ("evaluate studies/tiny.toml", "is not a checkpoint"),
        ("evaluate nothing", "cannot be read"),
        ("baselines --only luck", "name one of chance, nearest-neighbour"),
        ("baselines --on moon", "--on"),
        ("evaluate nothing --shots 1,none", "--shots 1,none is not a list of different numbers"),
        ("fly", "fly"),
        ("", "Missing command"),
    ],
)
def test_bad_input_writes_nothing(hpo: Hpo, tmp_path: Path, line: str, part: str) -> None:
    file = write_tiny(tmp_path / "studies")
    before = file.read_text()
    assert refused(hpo(line), part)
    left = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert left == [file]
    assert file.read_text() == before


@pytest.mark.parametrize("name", ["small", "paper"])
def test_no_data_and_no_network(hpo: Hpo, tmp_path: Path, offline: None, name: str) -> None:
    assert refused(hpo(f"run {name} --trials 1"), "with no network, put images_background.zip")
    assert refused(hpo("data check"), "hpo data download")
    assert not (tmp_path / "studies").exists()


def test_help_has_an_example_for_every_command(hpo: Hpo) -> None:
    listed = re.findall(r"^  (\w+) ", hpo("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert {"run", "status", "list", "dashboard", "export", "train", "data"} <= set(listed)
    commands = [c for c in listed if c != "data"] + ["data show", "data check", "data download"]
    for command in commands:
        assert f"Example: hpo {command}" in hpo(f"{command} --help").out


def test_the_help_of_every_command(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    """Word for word, with the bounds and the defaults of the options."""
    monkeypatch.setenv("COLUMNS", "100")
    for command in (*sorted(COMMANDS), "data check", "data show", "data download"):
        told = hpo(f"{command} --help").out
        assert "\n".join(line.rstrip() for line in told.splitlines()) == snapshot(name=command)


@pytest.mark.parametrize("line", ["--help", "data --help"])
def test_every_command_is_told_in_a_whole_sentence(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = hpo(line).out.partition("Commands:\n")[2].splitlines()
    assert len(lines) >= 3
    for one in lines:
        assert re.fullmatch(r"  \w+ +[A-Z][^.]+\.", one), one
        assert len(one) <= 80


def test_the_version_is_told(hpo: Hpo) -> None:
    told = hpo("--version")
    assert (told.status, told.out) == (0, f"hpo {__version__}\n")


def test_the_traceback_shows_only_when_asked_for(hpo: Hpo) -> None:
    assert "Traceback" in hpo("--debug status nothing").err


@pytest.mark.parametrize(
    "line",
    [
        "data check folder --data closed/photos",
        "run closed/mine.toml --trials 1",
        "classify --support . --query closed/a.png",
    ],
)
def test_a_folder_that_may_not_be_entered_is_one_sentence(
    hpo: Hpo, tmp_path: Path, line: str
) -> None:
    (tmp_path / "closed").mkdir()
    hpo(line)  # imports what it needs, which that user may not be able to
    (tmp_path / "closed").chmod(0)
    with ordinary_user(tmp_path):
        outcome = hpo(line)
    assert refused(outcome, "closed/")
