import pytest
import torch
from torch import Tensor

from data.pairs import seeded
from data.split import Split
from data.tasks import OneShotTasks
from model.siamese import SiameseNetwork
from model.training import Trainer, build
from model.views import in_all_views
from tests.model.tiny import tiny_configuration

CPU = torch.device("cpu")
PLAIN = tiny_configuration()
EIGHT = PLAIN.model_copy(update={"network": PLAIN.network.model_copy(update={"eight_views": True})})


@pytest.fixture
def network() -> SiameseNetwork:
    return build(EIGHT.network, 1, CPU).eval()


def pictures(count: int, seed: int) -> Tensor:
    return torch.rand(count, 1, 20, 20, generator=seeded(seed))


def turned(images: Tensor) -> list[Tensor]:
    """By transposing and flipping alone: all that leaves a square a square."""
    found = []
    for image in (images, images.transpose(-2, -1)):
        for down in (image, image.flip(-2)):
            found += [down, down.flip(-1)]
    return found


def test_the_score_is_the_mean_of_eight_views(network: SiameseNetwork) -> None:
    one, other = pictures(3, 0), pictures(4, 1)
    encode = in_all_views(network.encode, network.architecture)
    a, b = encode(one), encode(other)
    assert a.shape == (3, 8 * 32)
    views = [
        network.score_all(network.encode(x), network.encode(y))
        for x, y in zip(turned(one), turned(other), strict=True)
    ]
    assert len({view[0, 0].item() for view in views}) == 8
    torch.testing.assert_close(network.score_all(a, b), torch.stack(views).mean(dim=0))
    pairs = torch.stack([network.score_all(a, b)[i, i] for i in range(3)])
    torch.testing.assert_close(network.score(a, b[:3]), pairs)


def test_turning_both_pictures_changes_nothing(network: SiameseNetwork) -> None:
    one, other = pictures(3, 0), pictures(3, 1)
    encode = in_all_views(network.encode, network.architecture)
    found = network.score(encode(one), encode(other))
    for x, y in zip(turned(one), turned(other), strict=True):
        torch.testing.assert_close(network.score(encode(x), encode(y)), found)
    one_turned = network.score(encode(one.rot90(1, (-2, -1))), encode(other))
    assert (one_turned - found).abs().min() > 1e-6


def test_any_other_network_is_left_as_it_is(network: SiameseNetwork) -> None:
    assert in_all_views(network.encode, PLAIN.network) == network.encode


def test_validation_is_by_views_and_training_is_not(
    small_split: Split, small_tasks: OneShotTasks
) -> None:
    plain, own = (Trainer(c, small_split.train, small_tasks, CPU) for c in (PLAIN, EIGHT))
    losses = [[float(loss) for loss, _ in trainer.steps(0)] for trainer in (plain, own)]
    assert losses[0] == losses[1]
    before = own.validate()
    own.compute_plainly("asked")
    assert own.validate() == pytest.approx(before, abs=0.02)
    own.tasks = plain.tasks = tilted(small_tasks)
    assert own.validate() == pytest.approx(before, abs=1e-6)
    answers = own.answers()
    own.tasks = small_tasks
    assert torch.equal(own.answers(), answers)


def tilted(tasks: OneShotTasks) -> OneShotTasks:
    """The same tasks, all pictures turned by a quarter."""
    return OneShotTasks(
        tasks.support.rot90(1, (-2, -1)), tasks.queries.rot90(1, (-2, -1)), tasks.target, "x"
    )
