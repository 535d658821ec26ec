"""What `hpo train` takes over from the trial, what `--threads` fixes, and what it overwrites."""

import os
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from hpo.study.trials import record
from model.checkpoint import load_checkpoint
from model.configuration import Configuration
from model.fast import threads
from model.training import Trainer
from tests.hpo.command import Hpo, refused
from tests.hpo.made_up import stopped_at
from tests.hpo.tiny_study import open_tiny, write_tiny

pytestmark = pytest.mark.usefixtures("own_threads")


@pytest.fixture
def exported(hpo: Hpo, tmp_path: Path) -> Configuration:
    """Of a study with one trial, which ran on one thread in fp32."""
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1 --set training.precision=fp32").status == 0
    assert hpo("export tiny -o best.toml").status == 0
    return Configuration.read(tmp_path / "best.toml")


def write_changed(exported: Configuration, /, **changes: object) -> None:
    assert exported.provenance is not None
    provenance = exported.provenance.model_copy(update=changes)
    changed = exported.model_copy(update={"provenance": provenance})
    Path("changed.toml").write_text(changed.to_toml())


def test_as_trial_takes_the_trials_precision(hpo: Hpo, exported: Configuration) -> None:
    assert exported.provenance is not None
    auto = exported.provenance.training.model_copy(update={"precision": "auto"})
    write_changed(exported, training=auto, precision="bf16")
    trained = hpo("train changed.toml --as-trial -o a.safetensors")
    assert trained.status == 0
    write_changed(exported, training=auto, precision="fp32")
    again = hpo("train changed.toml --as-trial -o b.safetensors")
    assert f"error {100 * exported.provenance.error:.1f} %" in again.out
    cpu = torch.device("cpu")
    trained_in = [
        load_checkpoint(Path(f"{name}.safetensors"), cpu).configuration.training.precision
        for name in "ab"
    ]
    assert trained_in == ["bf16", "fp32"]


def test_as_trial_takes_the_trials_threads(
    hpo: Hpo, exported: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.cli.train.cores_for", lambda workers: 2)
    write_changed(exported, device="CPU, 2 threads")
    trained = hpo("train changed.toml --as-trial")
    assert torch.get_num_threads() == 2
    assert "nearly" not in trained.err
    assert "nearly" not in hpo("train changed.toml --as-trial --threads 2 --force").err
    other = hpo("train changed.toml --as-trial --threads 1 --force")
    assert torch.get_num_threads() == 1
    assert "the trial ran on CPU, 2 threads, this is CPU, 1 threads" in other.err


def test_as_trial_says_where_the_threads_changed(hpo: Hpo, exported: Configuration) -> None:
    write_changed(exported, device="CPU, 1 to 2 threads")
    assert "ran on CPU, 1 to 2 threads, this is" in hpo("train changed.toml --as-trial").err


def test_a_finished_training_is_not_overwritten(hpo: Hpo, exported: Configuration) -> None:
    made, file = hpo("train best.toml"), Path("best.safetensors")
    assert made.err.endswith("score it with: hpo evaluate best.safetensors\n")
    before = file.read_bytes()
    write_changed(exported, exported="2030-01-01T00:00:00+00:00")  # as exported once more
    for line in ("best.toml", "best.toml --threads 1", "changed.toml -o best.safetensors"):
        again = hpo(f"train {line}")
        assert refused(again, "is already trained", "`hpo evaluate best.safetensors`", "--force")
        assert len(again.err.splitlines()) == 1
    for line in ("best.toml --seed 3", "best.toml --as-trial"):
        assert refused(hpo(f"train {line}"), "another configuration or seed", "-o, or --force")
    assert refused(hpo("train best.toml -o best.toml"), "best.toml is there and no checkpoint")
    assert file.read_bytes() == before
    assert Configuration.read(Path("best.toml")) == exported
    forced = hpo("train best.toml --force")
    assert forced.out == made.out
    assert "epoch 1 of 4" in forced.err
    assert hpo("train best.toml --seed 0 --force").status == 0
    assert load_checkpoint(file, torch.device("cpu")).configuration.seed == 0 != exported.seed


def test_where_nothing_can_be_written_nothing_is_trained(
    hpo: Hpo, exported: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Mock()
    monkeypatch.setattr("hpo.cli.train.train_in_full", begun)
    Path("folder-2.safetensors").mkdir()
    assert refused(hpo("train best.toml -o best.toml/c"), "cannot be written", "another place")
    assert refused(hpo("train best.toml -o folder.safetensors --networks 2"), "cannot be written")
    begun.assert_not_called()


def test_what_is_not_finished_goes_on_with_the_same_line_that_overwrites(
    hpo: Hpo, exported: Configuration
) -> None:
    assert hpo("train best.toml").status == 0
    with stopped_at(10):  # in the third epoch
        assert hpo("train best.toml --seed 3 --force").status == 130
    assert "going on after 2 epochs" in hpo("train best.toml --seed 3 --force").err


def test_several_networks_have_a_seed_each(hpo: Hpo, exported: Configuration) -> None:
    made = hpo("train best.toml --networks 2")
    assert made.status == 0
    files = [Path(f"best-{number}.safetensors") for number in (1, 2)]
    trained = [load_checkpoint(file, torch.device("cpu")).configuration for file in files]
    assert [one.seed for one in trained] == [exported.seed, exported.seed + 1]
    assert [line.partition(":")[0] for line in made.out.splitlines()] == [f.name for f in files]
    line = "hpo evaluate best-1.safetensors best-2.safetensors"
    assert made.err.endswith(f"score them with: {line}\n")
    assert refused(hpo("train best.toml --networks 2"), "all of them are already trained", line)
    before = [file.read_bytes() for file in files]
    third = hpo("train best.toml --networks 3")
    assert third.out.startswith("best-3.safetensors: ")
    assert len(third.out.splitlines()) == 1
    assert [file.read_bytes() for file in files] == before
    assert refused(hpo("train best.toml --networks 2 --seed 7"), "another configuration or seed")


def test_ctrl_c_in_the_last_validation_of_a_network_stops_the_next(
    hpo: Hpo, exported: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Trainer.validate

    def validate(trainer: Trainer) -> float:
        if len(trainer.history.epochs) == trainer.configuration.training.epochs - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(trainer)

    monkeypatch.setattr(Trainer, "validate", validate)
    stopped = hpo("train best.toml --networks 3")
    assert stopped.status == 130
    assert "stopped by Ctrl-C; the same line goes on" in stopped.err
    assert [line.partition(":")[0] for line in stopped.out.splitlines()] == ["best-1.safetensors"]
    assert not Path("best-2.safetensors").exists()
    assert Path("best-2.safetensors.unfinished").exists()


def test_a_seed_below_nothing_is_refused(hpo: Hpo, exported: Configuration) -> None:
    assert refused(hpo("train best.toml --seed -1"), "--seed")


def test_a_precision_that_is_none_is_refused(hpo: Hpo, exported: Configuration) -> None:
    text = Path("best.toml").read_text()
    Path("changed.toml").write_text(text.replace('precision = "fp32"', 'precision = "fp7"'))
    assert refused(hpo("train changed.toml --as-trial"), "precision = 'fp7'")


def test_a_change_of_threads_is_recorded(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that seem to share their core from the first step on, and one that does not."""
    write_tiny(tmp_path / "studies")
    monkeypatch.setattr(threads, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(threads, "WINDOW_STEPS", 1)
    monkeypatch.setattr(threads, "LOST", -1.0)
    torch.set_num_threads(2)
    assert hpo("run tiny --trials 1").status == 0
    assert hpo("run tiny --trials 2 --threads 2").status == 0
    devices = [record(trial).device for trial in open_tiny(tmp_path).study.trials]
    assert devices == ["CPU, 1 to 2 threads", "CPU, 2 threads"]
