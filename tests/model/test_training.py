from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch

from data.chance import seeded
from data.pairs import PairBatch
from data.tasks import OneShotTasks
from model.history import Diverged
from model.inputs import Inputs
from model.recipe import AllPairs, LayerRates, RandomPairs
from model.scoring import unpack
from model.siamese import bias_of
from model.training import Trainer, train
from tests.model.tiny import Make, tiny_configuration


def test_a_network_learns(make: Make, small_tasks: OneShotTasks) -> None:
    sampling = AllPairs(characters=40, per_alphabet=20, steps=25, loss="softmax")
    trainer = make(tiny_configuration(epochs=4, sampling=sampling))
    before = trainer.validate()
    train(trainer)
    assert trainer.history.best_error < min(before, 0.75)
    losses = [epoch.loss for epoch in trainer.history.epochs]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "sampling",
    [
        RandomPairs(pairs=200, copies=1, batch=64),
        AllPairs(characters=20, per_alphabet=10, steps=3, loss="binary"),
    ],
    ids=["random pairs", "all pairs"],
)
def test_both_samplings_train(make: Make, sampling: RandomPairs | AllPairs) -> None:
    trainer = make(tiny_configuration(epochs=3, sampling=sampling))
    seen: list[tuple[int, float]] = []
    train(trainer, lambda epoch, error: seen.append((epoch, error)))
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    assert [error for _, error in seen] == [e.error for e in trainer.history.epochs]
    pairs = {e.pairs for e in trainer.history.epochs}
    assert pairs == ({400} if isinstance(sampling, RandomPairs) else {3 * 20 * 20})
    assert trainer.history.pairs_per_second > 0


def test_the_loss_of_an_epoch_is_the_mean_over_its_steps(make: Make) -> None:
    sampling = RandomPairs(pairs=40, copies=0, batch=16)  # two whole steps and a half
    losses = [float(loss) for loss, _ in make(tiny_configuration(sampling=sampling)).steps(0)]
    trainer = make(tiny_configuration(epochs=1, sampling=sampling))
    train(trainer)
    (epoch,) = trainer.history.epochs
    assert len(losses) == 3
    assert epoch.loss == pytest.approx(sum(losses) / 3, rel=1e-3)


@pytest.mark.parametrize("steps", [2, None])
def test_every_epoch_shows_other_pairs_or_another_order(
    make: Make, monkeypatch: pytest.MonkeyPatch, steps: int | None
) -> None:
    sampling = RandomPairs(pairs=32, copies=0, batch=8, steps=steps)
    trainer = make(tiny_configuration(epochs=2, sampling=sampling))
    batches_of_epoch, shown = trainer._batches, list[tuple[float, ...]]()

    def seen(epoch: int) -> Iterator[PairBatch]:
        for batch in batches_of_epoch(epoch):
            twins = torch.cat(batch.images.flatten(1).chunk(2), dim=1)
            shown.extend(tuple(pair) for pair in twins.tolist())
            yield batch

    monkeypatch.setattr(trainer, "_batches", seen)
    train(trainer)
    if steps:  # half of the set
        assert len(shown) == len(set(shown)) == 32
    else:
        assert set(shown[:32]) == set(shown[32:])
        assert shown[:32] != shown[32:]


def test_training_and_validation_are_timed_apart(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("model.training.time.perf_counter", lambda: clock[0])
    trainer = make(tiny_configuration(epochs=2))  # of 4 steps
    validate, gradient = trainer.validate, trainer._gradient

    def slow_validate() -> float:
        clock[0] += 3
        return validate()

    def slow_gradient(batch: PairBatch, block: int) -> torch.Tensor:
        clock[0] += 2
        return gradient(batch, block)

    monkeypatch.setattr(trainer, "_record", None)
    monkeypatch.setattr(trainer, "_gradient", slow_gradient)
    monkeypatch.setattr(trainer, "validate", slow_validate)
    train(trainer)
    figures = [(e.train_seconds, e.validation_seconds) for e in trainer.history.epochs]
    assert figures == [(8, 3), (8, 3)]


def test_normalisation_learns_from_every_step_of_every_epoch(make: Make) -> None:
    plain = tiny_configuration(epochs=3)  # of 4 steps
    network = plain.network.model_copy(update={"normalisation": "batch"})
    trainer = make(plain.model_copy(update={"network": network}))
    kept: list[int] = []

    def look(_epoch: int, _error: float) -> None:
        kept.append(int(trainer.network.state_dict()["norms.conv1.num_batches_tracked"]))

    train(trainer, look)
    assert kept == [4, 8, 12]


def test_every_epoch_tells_which_tasks_were_right(make: Make, small_tasks: OneShotTasks) -> None:
    trainer = make(tiny_configuration(epochs=2))
    train(trainer)
    for epoch in trainer.history.epochs:
        right = unpack(epoch.right, len(small_tasks))
        assert right.mean() == pytest.approx(1 - epoch.error)
    found = trainer.answers().cpu() == small_tasks.target
    trainer.validate()
    assert unpack(trainer.right, len(small_tasks)).tolist() == found.flatten().tolist()


def test_the_true_class_has_to_be_alone_at_the_top(
    make: Make, small_tasks: OneShotTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(tiny_configuration())
    scores = torch.zeros(*small_tasks.target.shape, small_tasks.way, device=trainer.device)
    monkeypatch.setattr(trainer.network, "score_all", lambda queries, support: scores)
    assert trainer.validate() == pytest.approx(0.95)
    assert not unpack(trainer.right, len(small_tasks)).any()


def test_a_validation_changes_nothing_and_no_task_depends_on_the_others(
    make: Make, small_tasks: OneShotTasks
) -> None:
    plain = tiny_configuration()
    network = plain.network.model_copy(update={"normalisation": "batch"})
    trainer = make(plain.model_copy(update={"network": network}))
    list(trainer.steps(0))
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    trainer.validate()
    assert not trainer.network.training
    assert all(torch.equal(before[k], v) for k, v in trainer.network.state_dict().items())
    together = unpack(trainer.right, len(small_tasks))
    for draw in range(5):
        part = (slice(draw, draw + 1),)
        trainer.tasks = replace(
            small_tasks,
            support=small_tasks.support[part],
            queries=small_tasks.queries[part],
            target=small_tasks.target[part],
        ).to(trainer.device)
        trainer.validate()
        alone = unpack(trainer.right, 20)
        assert alone.tolist() == together[20 * draw : 20 * draw + 20].tolist()


def test_a_validation_keeps_nothing_for_a_gradient(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(tiny_configuration())
    encode, kept = trainer._encode, list[bool]()

    def observed(images: torch.Tensor) -> torch.Tensor:
        embedded = encode(images)
        kept.append(embedded.requires_grad)
        return embedded

    monkeypatch.setattr(trainer, "_encode", observed)
    trainer.validate()
    trainer.answers()
    assert kept == [False, False]
    next(trainer.steps(0))
    assert kept == [False, False, True]


def test_the_same_seed_gives_the_same_errors_and_another_does_not(make: Make) -> None:
    runs = []
    for seed in (1, 1, 2):
        trainer = make(tiny_configuration(epochs=3, seed=seed))
        train(trainer)
        runs.append([(e.error, e.loss) for e in trainer.history.epochs])
    if trainer.device.type == "cpu":
        assert runs[0] == runs[1]
    else:
        assert [e for e, _ in runs[0]] == pytest.approx([e for e, _ in runs[1]], abs=0.05)
    assert runs[0] != runs[2]


def test_the_order_is_not_drawn_with_the_numbers_of_the_weights(make: Make) -> None:
    trainer = make(tiny_configuration(seed=5))
    of_weights = seeded(5, trainer.device).get_state()
    assert not torch.equal(trainer.partial.generator, of_weights)


def test_weights_and_batches_are_both_of_the_seed(make: Make) -> None:
    one, again, other = (make(tiny_configuration(seed=seed)) for seed in (1, 1, 2))
    for name in ("conv1", "conv2", "fc", "out"):
        weight = one.network.layer(name).weight
        assert torch.equal(weight, again.network.layer(name).weight)
        assert not torch.equal(weight, other.network.layer(name).weight)
    first, same, different = (next(t._batches(0)).images for t in (one, again, other))
    assert torch.equal(first, same)
    assert not torch.equal(first, different)


def test_the_best_epoch_is_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(tiny_configuration(epochs=4))
    errors = iter([0.9, 0.4, 0.6, 0.5])
    kept: list[dict[str, torch.Tensor]] = []

    def validate() -> float:
        kept.append({k: v.clone() for k, v in trainer.network.state_dict().items()})
        return next(errors)

    monkeypatch.setattr(trainer, "validate", validate)
    network = train(trainer)
    assert trainer.history.best_epoch == 1
    assert all(torch.equal(v, kept[1][k]) for k, v in network.state_dict().items())


def test_training_stops_without_progress(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(tiny_configuration(epochs=50, patience=3))
    errors = iter([0.9, 0.5, 0.5, 0.6, 0.7, 0.1])
    monkeypatch.setattr(trainer, "validate", lambda: next(errors))
    train(trainer)
    assert len(trainer.history.epochs) == 5
    assert trainer.history.best_error == 0.5


def test_a_loss_that_is_not_finite_ends_it_at_once(make: Make) -> None:
    wild = LayerRates(lr=10, momentum=1.0, l2=1.0)
    sampling = AllPairs(characters=20, per_alphabet=10, steps=400, loss="softmax")
    trainer = make(tiny_configuration(epochs=5, rates=wild, sampling=sampling))
    with pytest.raises(Diverged, match="no longer finite in epoch 1") as raised:
        train(trainer)
    assert raised.value.epoch == 0
    assert trainer.history.epochs == []


def test_a_cpu_sees_in_each_step_whether_the_loss_is_finite(
    small_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, plain, steps = small_inputs.trainer(tiny_configuration()), Trainer._backward, [0]

    def wild_in_the_third(self: Trainer, batch: PairBatch) -> torch.Tensor:
        steps[0] += 1
        return plain(self, batch) * (float("inf") if steps == [3] else 1)

    monkeypatch.setattr(Trainer, "_backward", wild_in_the_third)
    with pytest.raises(Diverged, match="in epoch 1, by step 3"):
        train(trainer)
    assert steps == [3]


def test_divergence_leaves_the_best_epoch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(tiny_configuration(epochs=5))
    kept: list[torch.Tensor] = []
    plain = Trainer._backward

    def later_wild(self: Trainer, batch: PairBatch) -> torch.Tensor:
        loss = plain(self, batch)
        return loss * float("nan") if kept else loss

    def on_epoch(epoch: int, error: float) -> None:
        kept.append(trainer.network.layer("fc").weight.detach().clone())

    monkeypatch.setattr(Trainer, "_backward", later_wild)
    with pytest.raises(Diverged, match="epoch 2"):
        train(trainer, on_epoch)
    assert torch.equal(trainer.network.layer("fc").weight, kept[0])


def test_what_a_callback_raises_ends_the_training(make: Make) -> None:
    trainer = make(tiny_configuration(epochs=5))
    stop = Mock(side_effect=[None] * 5 + [KeyError("stop")])
    with pytest.raises(KeyError):
        train(trainer, on_step=stop)
    assert len(trainer.history.epochs) == 1


def test_random_pairs_lose_the_papers_cross_entropy(make: Make) -> None:
    trainer = make(tiny_configuration(sampling=RandomPairs(pairs=8, copies=0, batch=8)))
    images = torch.rand(8, 1, 20, 20, device=trainer.device)
    same = torch.tensor([1.0, 0.0, 1.0, 0.0], device=trainer.device)
    loss = trainer._backward(PairBatch(images, same))
    with torch.no_grad():
        embedded = trainer.network.encode(images)
        out = trainer.network.layer("out")
        p = torch.sigmoid((embedded[:4] - embedded[4:]).abs() @ out.weight[0] + bias_of(out))
    expected = -(same * p.log() + (1 - same) * (1 - p).log()).mean()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)


def test_bf16_stays_near_fp32(make: Make) -> None:
    images = torch.rand(6, 1, 20, 20)
    embedded = {}
    for precision in ("fp32", "bf16"):
        trainer = make(tiny_configuration(epochs=1, precision=precision))
        with torch.no_grad():
            embedded[precision] = trainer._encode(images.to(trainer.device)).float()
        train(trainer)
    torch.testing.assert_close(embedded["fp32"], embedded["bf16"], atol=0.02, rtol=0)


def test_the_best_weights_come_back_to_all_that_answers(make: Make) -> None:
    trainer = make(tiny_configuration(epochs=1, averaging=0.5))
    train(trainer)
    both = trainer.network, trainer.answering
    with torch.no_grad():
        for weights in (w for network in both for w in network.parameters()):
            weights.zero_()
    trainer.restore_best()
    assert trainer.validate() == trainer.history.epochs[0].error
    for network in both:
        for name, weights in network.state_dict().items():
            assert torch.equal(weights, trainer.best[name])
