"""A training whose memory or kernels fail it."""

from unittest.mock import Mock

import pytest
import torch

from data.pairs import PairBatch
from model.recipe import AllPairs
from model.training import Trainer, train
from tests.model.tiny import Make, tiny_configuration


def with_room_for(most: int, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets a trainer encode no more images at once; gives the number of every time."""
    encode, blocks = trainer._encode, list[int]()

    def encode_little(images: torch.Tensor) -> torch.Tensor:
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        blocks.append(len(images))
        return encode(images)

    monkeypatch.setattr(trainer, "_encode", encode_little)
    return blocks


def test_a_step_out_of_memory_is_done_in_parts(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(tiny_configuration(epochs=1))
    list(whole.steps(0))
    split = make(tiny_configuration(epochs=1))
    blocks = with_room_for(10, split, monkeypatch)
    list(split.steps(0))
    assert max(blocks) == 10
    for one, other in zip(whole.network.parameters(), split.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_a_step_that_fails_behind_its_gradients_is_not_done_twice(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, again = make(tiny_configuration(epochs=1)), make(tiny_configuration(epochs=1))
    list(whole.steps(0))
    plain, failed = Trainer._gradient, list[int]()

    def gradient(trainer: Trainer, batch: PairBatch, block: int) -> torch.Tensor:
        loss = plain(trainer, batch, block)
        if not failed:
            failed.append(block)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss

    monkeypatch.setattr(Trainer, "_gradient", gradient)
    list(again.steps(0))
    assert failed
    for one, other in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("room", [50, 1])
def test_a_validation_out_of_memory_is_done_in_parts(
    make: Make, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    trainer = make(tiny_configuration(epochs=1))
    expected = trainer.validate()
    blocks = with_room_for(room, trainer, monkeypatch)
    assert trainer.validate() == pytest.approx(expected)
    assert max(blocks) <= room
    assert sum(blocks) == 200


def test_no_memory_for_an_image_ends_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(tiny_configuration(epochs=1))
    no_memory = Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr(trainer, "_encode", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        train(trainer)


def test_a_split_batch_that_is_normalised_is_told_of(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for normalisation, told in (("none", None), ("batch", 10)):
        plain = tiny_configuration(epochs=1)
        network = plain.network.model_copy(update={"normalisation": normalisation})
        trainer = make(plain.model_copy(update={"network": network}))
        monkeypatch.setattr(trainer, "_block", 10)
        list(trainer.steps(0))
        assert trainer.images_at_once == told
        for norm in trainer.network.norms.values():  # four steps of four blocks, each once
            assert int(norm.state_dict()["num_batches_tracked"]) == 16
    whole = make(plain.model_copy(update={"network": network}))
    list(whole.steps(0))
    assert whole.images_at_once is None


def test_a_kernel_that_fails_is_done_without_and_the_training_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plainly = make(tiny_configuration(epochs=2))
    plainly.compute_plainly("asked")
    train(plainly)
    trainer = make(tiny_configuration(epochs=2, precision="bf16"))
    libraries: list[tuple[bool, bool]] = []
    encode = trainer.network.encode

    def observed(images: torch.Tensor) -> torch.Tensor:
        libraries.append((bool(torch.backends.cudnn.enabled), bool(torch.backends.mkldnn.enabled)))
        return encode(images)

    broken = Mock(side_effect=RuntimeError("GET was unable to find an engine\nfor this"))
    monkeypatch.setattr(trainer, "_encode", broken)
    monkeypatch.setattr(trainer.network, "encode", observed)
    train(trainer)
    assert broken.call_count == 1
    reason = "RuntimeError: GET was unable to find an engine"
    assert trainer.fallback == reason
    assert caplog.messages == [f"{reason}: tried once more in fp32 without cuDNN or oneDNN"]
    assert trainer.precision == "fp32"
    assert set(libraries) == {(False, False)}
    assert torch.backends.cudnn.enabled
    assert torch.backends.mkldnn.enabled
    for one, other in zip(trainer.network.parameters(), plainly.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_what_fails_with_averaged_weights_is_done_without(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(tiny_configuration(epochs=1, averaging=0.5))
    expected = trainer.validate()
    broken = Mock(side_effect=RuntimeError("GET was unable to find an engine"))
    monkeypatch.setattr(trainer, "_encode_average", broken)
    assert trainer.validate() == pytest.approx(expected, abs=0.02)
    assert broken.call_count == 1
    assert trainer.fallback == "RuntimeError: GET was unable to find an engine"


def test_averaged_weights_are_validated_plainly_too(make: Make) -> None:
    sampling = AllPairs(characters=40, per_alphabet=20, steps=25, loss="softmax")
    trainer = make(tiny_configuration(epochs=2, sampling=sampling, averaging=0.2))
    trainer.compute_plainly("asked")
    train(trainer)
    chance = 1 - 1 / trainer.tasks.way
    assert trainer.validate() < chance - 0.1
    with torch.no_grad():
        for weights in trainer.answering.layer("fc").parameters():
            weights.zero_()  # every image is now like every other
    assert trainer.validate() == pytest.approx(chance)


def test_what_fails_plainly_too_or_has_broken_the_device_ends_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, calls in ((RuntimeError("no engine"), 2), (torch.AcceleratorError("illegal"), 1)):
        trainer = make(tiny_configuration(epochs=1))
        broken = Mock(side_effect=error)
        monkeypatch.setattr(trainer, "_encode", broken)
        monkeypatch.setattr(trainer.network, "encode", broken)
        with pytest.raises(RuntimeError, match=str(error)):
            train(trainer)
        assert broken.call_count == calls
