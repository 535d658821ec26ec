import gc
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch

from data.pairs import PairBatch
from data.split import Split
from data.tasks import OneShotTasks
from model import training
from model.configuration import Configuration
from model.fast.cuda_graph import recorder
from model.recipe import AllPairs, RandomPairs
from model.training import Trainer, train
from tests.model.recorded_graph import RecordedGraph, stand_in
from tests.model.tiny import tiny_configuration

CUDA = torch.device("cuda")
SAMPLINGS = {
    "random pairs, the last step smaller": RandomPairs(pairs=200, copies=1, batch=64),
    "all pairs, binary": AllPairs(characters=20, per_alphabet=10, steps=5, loss="binary"),
    "all pairs, softmax": AllPairs(characters=20, per_alphabet=10, steps=5, loss="softmax"),
}

NEAR = 0.05  # losses on a GPU, which does not add up in the same order twice

Trained = Callable[[Configuration], Trainer]


@pytest.fixture
def trained(small_split: Split, small_tasks: OneShotTasks, device: torch.device) -> Trained:
    """Trains to the end on every device."""
    drawings, tasks = small_split.train.to(device), small_tasks.to(device)

    def to_the_end(configuration: Configuration) -> Trainer:
        trainer = Trainer(configuration, drawings, tasks, device)
        train(trainer)
        return trainer

    return to_the_end


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> list[RecordedGraph]:
    """Lets a CPU record and replay as a GPU does; what it recorded, and nothing of a GPU's."""
    if device.type == "cuda":
        return []
    monkeypatch.setattr(training, "recorder", lambda device, optimizer: recorder(CUDA, optimizer))
    return stand_in(monkeypatch)


def without_graphs(trained: Trained, configuration: Configuration) -> Trainer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "recorder", lambda device, optimizer: None)
        return trained(configuration)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_replayed_steps_train_as_those_that_are_not(
    trained: Trained, graphs: list[RecordedGraph], sampling: RandomPairs | AllPairs, optimizer: str
) -> None:
    """On a CPU but for the rounding of a rate to fp32; stated for a GPU: losses within `NEAR`."""
    configuration = tiny_configuration(
        epochs=3, sampling=sampling, optimizer=optimizer, lr_decay=0.5, precision="auto"
    )
    plain = without_graphs(trained, configuration)
    assert not graphs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replayed = trained(configuration)
    found, wanted = ([e.loss for e in t.history.epochs] for t in (replayed, plain))
    if replayed.device.type == "cuda":
        assert found == pytest.approx(wanted, abs=NEAR)
        return
    rounding = 1e-4 if optimizer == "adamw" else 1e-6  # AdamW makes it larger
    assert found == pytest.approx(wanted, rel=rounding)
    for name, weights in plain.network.state_dict().items():
        softmax = isinstance(sampling, AllPairs) and sampling.loss == "softmax"
        if name == "layers.out.bias" and optimizer == "adamw" and softmax:
            continue  # its gradient is rounding alone, which AdamW makes large
        torch.testing.assert_close(replayed.network.state_dict()[name], weights, atol=5e-6, rtol=0)
    whole = 400 // 64 if isinstance(sampling, RandomPairs) else 5
    assert [graph.replays for graph in graphs] == [whole - 1] * 3


def test_one_recording_serves_all_epochs_of_one_momentum(
    trained: Trained, graphs: list[RecordedGraph]
) -> None:
    """The momentum rises until the third epoch, the learning rate falls in each."""
    configuration = tiny_configuration(epochs=6, lr_decay=0.5, patience=6)
    plain, replayed = without_graphs(trained, configuration), trained(configuration)
    found, wanted = ([e.loss for e in t.history.epochs] for t in (replayed, plain))
    gpu = replayed.device.type == "cuda"
    assert found == pytest.approx(wanted, abs=NEAR if gpu else 1e-6)
    assert [graph.replays for graph in graphs] == ([] if gpu else [3, 3, 15])


def test_normalised_maps_are_replayed(trained: Trained, graphs: list[RecordedGraph]) -> None:
    configuration = tiny_configuration(epochs=2)
    network = configuration.network.model_copy(update={"normalisation": "batch"})
    configuration = configuration.model_copy(update={"network": network})
    plain, replayed = without_graphs(trained, configuration), trained(configuration)
    found, wanted = ([e.loss for e in t.history.epochs] for t in (replayed, plain))
    assert found == pytest.approx(wanted, abs=NEAR if replayed.device.type == "cuda" else 0)


def test_the_loss_of_a_step_is_not_overwritten_by_the_next(
    small_split: Split, small_tasks: OneShotTasks, device: torch.device, graphs: list[RecordedGraph]
) -> None:
    drawings, tasks = small_split.train.to(device), small_tasks.to(device)
    trainer = Trainer(tiny_configuration(), drawings, tasks, device)
    losses = [loss for loss, _ in trainer.steps(0)]
    assert len({float(loss) for loss in losses}) == len(losses)


@pytest.mark.parametrize("error", [RuntimeError("no memory"), torch.OutOfMemoryError("no memory")])
def test_a_step_that_cannot_be_recorded_is_done_as_it_is(
    trained: Trained,
    graphs: list[RecordedGraph],
    monkeypatch: pytest.MonkeyPatch,
    error: RuntimeError,
) -> None:
    def refuses(self: Trainer, batch: PairBatch) -> torch.Tensor:
        self._gradient(batch, self._block)
        raise error

    configuration = tiny_configuration(epochs=9)
    plain = without_graphs(trained, configuration)
    monkeypatch.setattr(Trainer, "_whole_step", refuses)
    with pytest.warns(UserWarning, match=r"is not recorded \(no memory\)"):
        trainer = trained(configuration)
    assert trainer._block >= configuration.training.sampling.images
    found, wanted = ([e.loss for e in t.history.epochs] for t in (trainer, plain))
    assert found == pytest.approx(wanted, abs=NEAR if trainer.device.type == "cuda" else 0)


def test_an_optimizer_that_asks_is_told_of_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])
    record = recorder(CUDA, optimizer)
    assert record is not None
    batch = PairBatch(torch.zeros(2, 1, 3, 3), None)
    _, told = record(lambda _: torch.tensor(optimizer.param_groups[0]["capturable"]), batch)
    assert bool(told)
    assert optimizer.param_groups[0]["capturable"] is False


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_collected_within_a_recording(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    stand_in(monkeypatch)
    record = recorder(CUDA, torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1))
    assert record is not None

    def step(batch: PairBatch) -> torch.Tensor:
        assert not gc.isenabled()
        return torch.zeros(1).reshape(3 if fails else 1)

    with pytest.raises(RuntimeError) if fails else nullcontext():
        record(step, PairBatch(torch.zeros(2, 1, 3, 3), None))
    assert gc.isenabled()


def test_a_cpu_records_nothing() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))])
    assert recorder(torch.device("cpu"), optimizer) is None
