import pytest
import torch

from data.chance import seeded
from model.optimizer import averaged, layerwise_optimizer, set_epoch
from model.recipe import AllPairs, LayerRates, Training
from model.siamese import SiameseNetwork
from model.training import build, train
from tests.model.tiny import Make, architecture, tiny_configuration

RATES = {
    "conv1": LayerRates(lr=0.1, momentum=0.9, l2=0.01),
    "fc": LayerRates(lr=0.02, momentum=0.0, l2=0.0),
    "out": LayerRates(lr=0.003, momentum=0.7, l2=0.1),
}
TRAINING = Training(sampling=AllPairs(), momentum_ramp=4, lr_decay=0.99)


def test_two_steps_by_hand() -> None:
    """v ← μ·v + ∇L + 2λ·w; w ← w − η·v, each layer with its own η, μ, λ; biases without λ."""
    network = SiameseNetwork(architecture(((3, 16),), size=8, fc=16), seeded(0))
    optimizer = layerwise_optimizer(network, RATES, TRAINING)
    expected = {
        name: (parameter.detach().clone(), torch.zeros_like(parameter))
        for name, parameter in network.named_parameters()
    }
    for epoch in (2, 3):
        set_epoch(optimizer, RATES, TRAINING, epoch)
        chance = seeded(epoch)
        for name, parameter in network.named_parameters():
            gradient = torch.randn(parameter.shape, generator=chance)
            parameter.grad = gradient.clone()
            rates = RATES[name.split(".")[1]]
            lr = rates.lr * 0.99**epoch
            momentum = 0.5 + (rates.momentum - 0.5) * epoch / 4
            penalty = 2 * rates.l2 if name.endswith("weight") else 0.0
            weight, velocity = expected[name]
            velocity = momentum * velocity + gradient + penalty * weight
            expected[name] = weight - lr * velocity, velocity
        optimizer.step()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name][0], msg=name)


@pytest.mark.parametrize(("epoch", "momentum"), [(0, 0.5), (2, 0.7), (4, 0.9), (100, 0.9)])
def test_momentum_rises_linearly_to_its_own_value(epoch: int, momentum: float) -> None:
    assert RATES["conv1"].momentum_at(epoch, 4) == pytest.approx(momentum)


def test_momentum_may_fall_too_and_rates_fall_by_a_hundredth() -> None:
    assert RATES["fc"].momentum_at(2, 4) == pytest.approx(0.25)
    assert TRAINING.lr_factor(0) == 1
    assert TRAINING.lr_factor(10) == pytest.approx(0.99**10)


def test_a_schedule_that_ends_at_nothing() -> None:
    linear = Training(sampling=AllPairs(), schedule="linear", epochs=8)
    assert [linear.lr_factor(e) for e in (0, 2, 8, 9)] == [1, 0.75, 0, 0]


def test_two_steps_of_adamw_by_hand() -> None:
    """m ← μ·m + (1−μ)·∇, s ← β₂·s + (1−β₂)·∇²; w ← w − η·λ·w − η·m̂/√ŝ; no λ on the rest."""
    described = architecture(((3, 16),), size=8, fc=16)
    network = SiameseNetwork(described.model_copy(update={"normalisation": "batch"}), seeded(0))
    recipe = TRAINING.model_copy(update={"optimizer": "adamw", "momentum_ramp": 1})
    optimizer = layerwise_optimizer(network, RATES, recipe)
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    first, second = ({n: torch.zeros_like(p) for n, p in before.items()} for _ in range(2))
    for step in (1, 2):
        set_epoch(optimizer, RATES, recipe, 1)
        chance = seeded(step)
        for name, parameter in network.named_parameters():
            gradient = torch.randn(parameter.shape, generator=chance)
            parameter.grad = gradient.clone()
            rates = RATES[name.split(".")[1]]
            lr, beta = rates.lr * 0.99, rates.momentum
            decayed = name.startswith("layers") and name.endswith("weight")
            before[name] *= 1 - lr * rates.l2 * decayed
            first[name] = beta * first[name] + (1 - beta) * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            mean, square = first[name] / (1 - beta**step), second[name] / (1 - 0.999**step)
            before[name] -= lr * mean / (square.sqrt() + 1e-8)
        optimizer.step()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name], msg=name)


def test_every_weight_is_in_one_group_of_its_layer() -> None:
    described = architecture(((3, 16),), size=8, fc=16)
    network = SiameseNetwork(described.model_copy(update={"normalisation": "batch"}), seeded(0))
    optimizer = layerwise_optimizer(network, RATES, TRAINING)
    assert optimizer.defaults["fused"]
    groups = optimizer.param_groups
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    assert [g["layer"] for g in groups] == ["conv1", "conv1", "fc", "fc", "out", "out"]


CPU = torch.device("cpu")


def test_the_mean_at_first_and_then_a_share_for_each_new_one() -> None:
    configuration = tiny_configuration(epochs=5, averaging=0.2)  # of 5 epochs of 4 steps: 4 steps
    network = build(configuration.network, 1, CPU)
    average = averaged(network, configuration.training)
    assert average is not None
    weight = network.layer("fc").weight
    shown = []
    for value in (1.0, 3.0, 5.0, 7.0, 8.0, 6.0):
        with torch.no_grad():
            weight.fill_(value)
        average.update_parameters(network)
        shown.append(float(average.state_dict()["module.layers.fc.weight"][0, 0]))
    assert shown == pytest.approx([1, 2, 3, 4, 5, 5.25])
    assert float(weight[0, 0]) == 6


@pytest.mark.parametrize(("share", "some"), [(0.0, False), (0.05, False), (0.1, True)])
def test_no_average_over_a_single_step(share: float, some: bool) -> None:
    configuration = tiny_configuration(epochs=5, averaging=share)  # of 20 steps
    network = build(configuration.network, 1, CPU)
    assert (averaged(network, configuration.training) is not None) == some


def test_what_normalisation_keeps_is_averaged_too() -> None:
    configuration = tiny_configuration(averaging=1.0)
    architecture = configuration.network.model_copy(update={"normalisation": "batch"})
    network = build(architecture, 1, CPU)
    average = averaged(network, configuration.training)
    assert average is not None
    for value in (1.0, 5.0):
        network.state_dict()["norms.conv1.running_mean"].fill_(value)
        network.state_dict()["norms.conv1.num_batches_tracked"].fill_(int(value))
        average.update_parameters(network)
    kept = average.state_dict()
    assert float(kept["module.norms.conv1.running_mean"][0]) == 3
    assert int(kept["module.norms.conv1.num_batches_tracked"]) == 5


def test_the_average_answers_and_is_kept_while_the_training_goes_its_way(make: Make) -> None:
    plain, own = (make(tiny_configuration(epochs=3, averaging=share)) for share in (0.0, 0.5))
    seen = []

    def look(_epoch: int, error: float) -> None:
        assert own.average is not None
        kept = {k: v.clone() for k, v in own.network.state_dict().items()}
        own.network.load_state_dict(own.average.module.state_dict())
        answering, own.average = own.average, None
        assert own.validate() == error  # of a plain network with the averaged weights
        own.average = answering
        seen.append(error)
        own.network.load_state_dict(kept)

    train(plain)
    last = {k: v.clone() for k, v in plain.network.state_dict().items()}
    train(own, look)
    assert seen == [epoch.error for epoch in own.history.epochs]
    assert [e.loss for e in own.history.epochs] == [e.loss for e in plain.history.epochs]
    assert own.history.best_error == own.validate()
    assert not all(torch.equal(last[k], v) for k, v in own.network.state_dict().items())
    for one, best in zip(own.network.parameters(), own.best.values(), strict=True):
        assert torch.equal(one, best)
