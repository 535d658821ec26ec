from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from data.split import Split
from data.tasks import OneShotTasks
from model.configuration import Configuration
from model.history import Interrupted
from model.recipe import AllPairs, RandomPairs
from model.snapshot import Snapshot, train_resumably
from model.training import Trainer, train
from tests.model.tiny import exported, tiny_configuration

Make = Callable[[], Trainer]
STEPS = 4  # of an epoch


@pytest.fixture(
    params=["random pairs", "parts of a set", "all pairs", "normalisation, AdamW, an average"]
)
def configuration(request: pytest.FixtureRequest) -> Configuration:
    if request.param == "parts of a set":
        part = RandomPairs(pairs=100, copies=1, batch=32, steps=STEPS)  # 0.64 of the set
        return tiny_configuration(4, sampling=part)
    if request.param == "random pairs":
        return tiny_configuration(4, sampling=RandomPairs(pairs=64, copies=1, batch=32))
    sampling = AllPairs(characters=20, per_alphabet=10, steps=STEPS, loss="softmax")
    if request.param == "all pairs":
        return tiny_configuration(4, sampling=sampling)
    other = tiny_configuration(
        4, sampling=sampling, optimizer="adamw", schedule="linear", averaging=0.3
    )
    network = other.network.model_copy(update={"normalisation": "batch"})
    return other.model_copy(update={"network": network})


@pytest.fixture
def make(configuration: Configuration, small_split: Split, small_tasks: OneShotTasks) -> Make:
    cpu = torch.device("cpu")
    return lambda: Trainer(configuration, small_split.train, small_tasks, cpu)


@pytest.fixture
def whole(make: Make) -> Trainer:
    """Trained without an interruption."""
    trainer = make()
    train(trainer)
    return trainer


class Killed(Exception):
    pass


def interrupted(trainer: Trainer, snapshot: Snapshot, steps: int) -> None:
    """Train for some steps, save, and go no further."""
    done = 0

    def on_step() -> None:
        nonlocal done
        done += 1
        if done == steps:
            raise Killed

    with pytest.raises(Killed):
        train(trainer, on_step=on_step)
    snapshot.save(trainer)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.sets(st.integers(1, 4 * STEPS), min_size=1, max_size=3))
@example(stops={1, STEPS, 4 * STEPS})
def test_a_training_that_is_interrupted_after_any_steps_ends_as_any_other(
    make: Make, whole: Trainer, tmp_path: Path, stops: set[int]
) -> None:
    snapshot = Snapshot(tmp_path / "there" / "trial.safetensors")
    snapshot.remove()  # that of the example before
    before = 0
    for stop in sorted(stops):
        trainer = make()
        assert snapshot.resume(trainer) == (before > 0)
        interrupted(trainer, snapshot, stop - before)
        before = stop
    other = make()
    assert snapshot.resume(other)
    assert len(other.history.epochs) * STEPS + other.partial.steps == before
    train(other)
    assert [(e.error, e.loss, e.pairs, e.right) for e in other.history.epochs] == [
        (e.error, e.loss, e.pairs, e.right) for e in whole.history.epochs
    ]
    for one, two in zip(whole.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_training_that_is_interrupted_loses_no_step(make: Make, tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path / "trial.safetensors")
    stop = Mock(side_effect=[*[None] * (STEPS + 1), Interrupted("SIGTERM")])
    with pytest.raises(Interrupted):
        train_resumably(make(), snapshot, stop)
    step_done, resumed = Mock(), Mock()
    train_resumably(make(), snapshot, step_done, on_resume=resumed)
    assert step_done.call_count == 4 * STEPS - (STEPS + 2)
    assert resumed.call_count == 1


def test_an_epoch_is_in_the_snapshot_before_it_is_told_of(make: Make, tmp_path: Path) -> None:
    snapshot, other = Snapshot(tmp_path / "trial.safetensors"), make()
    with pytest.raises(Killed):
        train_resumably(make(), snapshot, Mock(), on_epoch=Mock(side_effect=Killed))
    assert snapshot.resume(other)
    assert len(other.history.epochs) == 1


def test_seconds_and_threads_of_an_interrupted_epoch_are_kept(make: Make, tmp_path: Path) -> None:
    snapshot, trainer, other = Snapshot(tmp_path / "trial.safetensors"), make(), make()
    trainer.threads.remember(1, 77)
    interrupted(trainer, snapshot, STEPS + 1)
    assert snapshot.resume(other)
    assert other.partial.seconds == trainer.partial.seconds > 0
    assert (other.threads.fewest, other.threads.highest) == (1, 77)


def test_a_finished_training_has_nothing_left_to_do(make: Make, tmp_path: Path) -> None:
    whole, snapshot = make(), Snapshot(tmp_path / "trial.safetensors")
    train(whole, lambda epoch, error: snapshot.save(whole))
    other = make()
    assert snapshot.resume(other)
    assert other.finished
    train(other, on_step=lambda: pytest.fail("there was nothing to train"))
    for one, two in zip(whole.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_file_cut_short_or_of_another_network_is_passed_over(
    make: Make, tmp_path: Path, small_split: Split, small_tasks: OneShotTasks
) -> None:
    snapshot = Snapshot(tmp_path / "trial.safetensors")
    assert not snapshot.resume(make())
    interrupted(make(), snapshot, 6)
    other = Trainer(
        tiny_configuration(4, seed=99), small_split.train, small_tasks, torch.device("cpu")
    )
    assert not snapshot.resume(other)
    content = snapshot.path.read_bytes()
    snapshot.path.write_bytes(content[: len(content) // 2])
    fresh = make()
    assert not snapshot.resume(fresh)
    assert fresh.history.epochs == []
    assert fresh.partial.steps == 0


def test_a_recipe_goes_on_wherever_it_was_exported_from(make: Make, tmp_path: Path) -> None:
    """Exported again it has another time, and an older version's file says less of it."""
    snapshot, other = Snapshot(tmp_path / "trial.safetensors"), make()
    interrupted(make(), snapshot, 6)
    other.configuration = exported(other.configuration)
    assert snapshot.resume(other)
    rewritten(snapshot.path, framed=None, without="data")
    assert snapshot.resume(make())


def test_a_snapshot_of_other_images_is_passed_over(make: Make, tmp_path: Path) -> None:
    snapshot, other = Snapshot(tmp_path / "trial.safetensors"), make()
    interrupted(make(), snapshot, 6)
    other.drawings = replace(other.drawings, fingerprint="strokes-1-5")
    assert not snapshot.resume(other)


def test_a_snapshot_whose_configuration_cannot_be_read_is_passed_over(
    make: Make, tmp_path: Path
) -> None:
    snapshot = Snapshot(tmp_path / "trial.safetensors")
    interrupted(make(), snapshot, 6)
    rewritten(snapshot.path, framed="a key of a later version")
    assert not snapshot.resume(make())


def contents(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def rewritten(path: Path, framed: str | None, without: str = "") -> None:
    """A snapshot with another ``network.framed``, or none; and without a key of its metadata."""
    tensors, metadata = contents(path)
    metadata.pop(without, None)
    line = f'framed = "{framed}"\n' if framed else ""
    assert "framed = false\n" in metadata["configuration"]
    metadata["configuration"] = metadata["configuration"].replace("framed = false\n", line)
    save_file(tensors, path, metadata)


def test_removing_takes_half_written_files_along(make: Make, tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path / "best[1].safetensors")
    interrupted(make(), snapshot, 2)
    (tmp_path / "best[1].safetensors.77.partial").write_text("half")
    others = {"best1.safetensors.77.partial", "best[1]2.safetensors"}
    for name in others:
        (tmp_path / name).write_text("another's")
    snapshot.remove()
    assert {p.name for p in tmp_path.iterdir()} == others
    snapshot.remove()


def test_the_costly_is_rare(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("model.snapshot.time.monotonic", lambda: clock[0])
    snapshot, trainer = Snapshot(tmp_path / "trial.safetensors"), make()
    saved = []
    monkeypatch.setattr(Snapshot, "save", lambda self, trainer: saved.append(clock[0]))
    snapshot._saved, snapshot._cost = 0.0, 2.0
    for clock[0] in (10.0, 39.0, 41.0):
        snapshot.save_if_cheap(trainer)
    assert saved == [41.0]


@pytest.mark.parametrize("part", ["generator", "loss", "weights.layers.fc.weight", "optimizer."])
def test_a_snapshot_whose_tensors_do_not_fit_is_passed_over(
    make: Make, tmp_path: Path, part: str
) -> None:
    snapshot, trainer = Snapshot(tmp_path / "s.safetensors"), make()
    interrupted(trainer, snapshot, STEPS + 1)
    tensors, metadata = contents(snapshot.path)
    name = next(n for n in tensors if n.startswith(part) and (part != "optimizer." or "fc" in n))
    save_file({**tensors, name: torch.zeros(3, 3, 3)}, snapshot.path, metadata)
    fresh = make()
    before = {k: v.clone() for k, v in fresh.network.state_dict().items()}
    assert not snapshot.resume(fresh)
    assert all(torch.equal(before[k], v) for k, v in fresh.network.state_dict().items())
    save_file(tensors, snapshot.path, metadata)
    assert snapshot.resume(fresh)
