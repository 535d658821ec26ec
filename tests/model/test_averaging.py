from collections.abc import Callable

import pytest
import torch

from data.split import Split
from data.tasks import OneShotTasks
from model.averaging import averaged
from model.configuration import Configuration
from model.training import Trainer, build, train
from tests.model.tiny import tiny_configuration

CPU = torch.device("cpu")
Make = Callable[[Configuration], Trainer]


@pytest.fixture
def make(small_split: Split, small_tasks: OneShotTasks, device: torch.device) -> Make:
    drawings, tasks = small_split.train.to(device), small_tasks.to(device)
    return lambda configuration: Trainer(configuration, drawings, tasks, device)


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


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_no_average_over_a_single_step(share: float) -> None:
    configuration = tiny_configuration(epochs=5, averaging=share)
    network = build(configuration.network, 1, CPU)
    assert averaged(network, configuration.training) is None


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
