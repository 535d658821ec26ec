from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from data.pairs import PairBatch
from hpo.results.full_training import inputs_of, train_in_full
from model.checkpoint import CheckpointError, load_checkpoint
from model.configuration import Configuration
from model.history import Diverged
from model.snapshot import Snapshot
from model.training import Trainer
from tests.hpo.fixture_types import Searched

CPU = torch.device("cpu")


@pytest.fixture
def configuration(searched: Searched) -> Configuration:
    """Of the tiny study's best trial."""
    searched()
    return Configuration.read(Path("best.toml"))


def test_other_data_than_the_trials_is_told(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    inputs_of(configuration, None, CPU)
    assert not caplog.messages
    assert configuration.provenance is not None
    other = configuration.provenance.model_copy(update={"data_fingerprint": "strokes-1-9"})
    inputs_of(configuration.model_copy(update={"provenance": other}), None, CPU)
    assert caplog.messages == ["the data is not the trial's: strokes-1-9 → strokes-1-0"]


@pytest.mark.parametrize("good", [0, 2])
def test_divergence_leaves_the_best_epoch_before(
    configuration: Configuration,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    good: int,
) -> None:
    plain, target = Trainer._backward, Path("new.safetensors")

    def later_wild(trainer: Trainer, batch: PairBatch) -> Tensor:
        loss = plain(trainer, batch)
        return loss if len(trainer.history.epochs) < good else loss * float("nan")

    monkeypatch.setattr(Trainer, "_backward", later_wild)
    inputs = inputs_of(configuration, None, CPU)
    if good:
        assert len(train_in_full(configuration, inputs, target).history.epochs) == good
        assert "no longer finite in epoch 3, by step 1; the best epoch before" in caplog.text
        assert len(load_checkpoint(target, CPU).history.epochs) == good
    else:
        with pytest.raises(Diverged):
            train_in_full(configuration, inputs, target)
        assert not target.exists()


def test_a_training_whose_checkpoint_cannot_be_written_goes_on_from_its_last_snapshot(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hpo")
    inputs, target = inputs_of(configuration, None, CPU), Path("new.safetensors")
    monkeypatch.setattr(Snapshot, "save_if_cheap", Snapshot.save)
    with monkeypatch.context() as patch:
        full = Mock(side_effect=CheckpointError("the disk is full: make room"))
        patch.setattr("hpo.results.full_training.save_checkpoint", full)
        with pytest.raises(CheckpointError):
            train_in_full(configuration, inputs, target)
    assert not caplog.messages
    train_in_full(configuration, inputs, target)
    assert caplog.messages == ["going on after 4 epochs that were trained before"]
    assert [path.name for path in Path().glob("new*")] == ["new.safetensors"]
