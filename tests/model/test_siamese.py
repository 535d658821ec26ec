import pytest
import torch
from torch import Tensor, nn

from data.chance import seeded
from data.framing import framed
from data.split import Split
from data.tasks import OneShotTasks
from model.architecture import Architecture
from model.recipe import AllPairs
from model.siamese import SiameseNetwork, in_all_views
from model.training import Trainer, build
from tests.model.tiny import architecture, tiny_configuration

CPU = torch.device("cpu")
PLAIN = tiny_configuration()
EIGHT = PLAIN.model_copy(update={"network": PLAIN.network.model_copy(update={"eight_views": True})})


@pytest.fixture(params=["paper", "he"])
def network(request: pytest.FixtureRequest) -> SiameseNetwork:
    described = architecture(((4, 16), (3, 32)), size=20, fc=48)
    return SiameseNetwork(
        described.model_copy(update={"initial_weights": request.param}), seeded(0)
    )


def test_encode_is_the_papers_layers_in_order(network: SiameseNetwork) -> None:
    images = torch.rand(5, 1, 20, 20)
    one, two = network.layer("conv1"), network.layer("conv2")
    maps = nn.functional.max_pool2d(torch.relu(one(images)), 2)
    features = torch.relu(two(maps)).flatten(1)
    expected = torch.sigmoid(network.layer("fc")(features))
    torch.testing.assert_close(network.encode(images), expected)


def test_every_convolution_but_the_last_is_pooled_and_each_is_normalised() -> None:
    described = architecture(((3, 16), (3, 16), (3, 16)), size=30, fc=8)
    network = SiameseNetwork(
        described.model_copy(update={"normalisation": "batch"}), seeded(0)
    ).eval()
    for number, norm in enumerate(network.norms.values(), start=1):
        assert isinstance(norm, nn.BatchNorm1d)
        norm.running_mean = torch.full((16,), 0.01 * number)
        norm.running_var = torch.full((16,), 2.0 * number)
    maps = images = torch.rand(5, 1, 30, 30, generator=seeded(1))
    for number in (1, 2, 3):
        maps = network.layer(f"conv{number}")(maps)
        maps = (maps - 0.01 * number) / (2.0 * number + 1e-5) ** 0.5
        maps = torch.relu(maps if number == 3 else nn.functional.max_pool2d(maps, 2))
    assert maps.shape[1:] == (16, 4, 4)
    expected = torch.sigmoid(network.layer("fc")(maps.flatten(1)))
    torch.testing.assert_close(network.encode(images), expected)


def test_a_network_embeds_what_is_framed_only_if_it_is_to(network: SiameseNetwork) -> None:
    images = torch.zeros(5, 1, 20, 20)
    images[..., 2:9, 3:7] = torch.rand(5, 1, 7, 4, generator=seeded(1))
    plain = network.encode(images)
    framing = network.architecture.model_copy(update={"framed": True})
    other = SiameseNetwork(framing, seeded(0)).encode(images)
    assert torch.equal(other, network.encode(framed(images)))
    assert not torch.equal(other, plain)


def test_only_drawings_are_framed() -> None:
    given = architecture().model_dump() | {"framed": True, "channels": 3}
    with pytest.raises(ValueError, match="framed = true is for drawings, which have channels = 1"):
        Architecture.model_validate(given)


def test_all_pairs_are_scored_as_each_pair_is(network: SiameseNetwork) -> None:
    first, second = torch.rand(6, 48), torch.rand(4, 48)
    scores = network.score_all(first, second)
    assert scores.shape == (6, 4)
    for i in range(6):
        expected = network.score(first[i].expand(4, -1), second)
        torch.testing.assert_close(scores[i], expected, atol=1e-4, rtol=1e-4)


def test_gradients_of_all_pairs_are_those_of_the_plain_formula(network: SiameseNetwork) -> None:
    first = torch.rand(6, 48, requires_grad=True)
    second = torch.rand(5, 48, requires_grad=True)
    weight = network.layer("out").weight
    upstream = torch.randn(6, 5)
    wanted = (first, second, weight)
    found = torch.autograd.grad((network.score_all(first, second) * upstream).sum(), wanted)
    plain = (first[:, None] - second[None]).abs() @ weight.T
    expected = torch.autograd.grad((plain.squeeze(2) * upstream).sum(), wanted)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_all_pairs_take_draws_as_a_batch(network: SiameseNetwork) -> None:
    queries, support = torch.rand(3, 7, 48), torch.rand(3, 5, 48)
    scores = network.score_all(queries, support)
    for draw in range(3):
        torch.testing.assert_close(
            scores[draw], network.score_all(queries[draw], support[draw]), atol=1e-4, rtol=1e-4
        )


def test_the_twins_are_symmetric(network: SiameseNetwork) -> None:
    first, second = torch.rand(6, 48), torch.rand(6, 48)
    torch.testing.assert_close(network.score(first, second), network.score(second, first))


def test_a_seed_gives_the_same_weights() -> None:
    described = architecture(((4, 16),), size=20, fc=16)
    one, again, other = (SiameseNetwork(described, seeded(s)).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert not all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def turning() -> SiameseNetwork:
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


def test_the_score_is_the_mean_of_eight_views(turning: SiameseNetwork) -> None:
    one, other = pictures(3, 0), pictures(4, 1)
    encode = in_all_views(turning.encode, turning.architecture)
    a, b = encode(one), encode(other)
    assert a.shape == (3, 8 * 32)
    views = [
        turning.score_all(turning.encode(x), turning.encode(y))
        for x, y in zip(turned(one), turned(other), strict=True)
    ]
    assert len({view[0, 0].item() for view in views}) == 8
    torch.testing.assert_close(turning.score_all(a, b), torch.stack(views).mean(dim=0))
    pairs = torch.stack([turning.score_all(a, b)[i, i] for i in range(3)])
    torch.testing.assert_close(turning.score(a, b[:3]), pairs)


def test_turning_both_pictures_changes_nothing(turning: SiameseNetwork) -> None:
    one, other = pictures(3, 0), pictures(3, 1)
    encode = in_all_views(turning.encode, turning.architecture)
    found = turning.score(encode(one), encode(other))
    for x, y in zip(turned(one), turned(other), strict=True):
        torch.testing.assert_close(turning.score(encode(x), encode(y)), found)
    one_turned = turning.score(encode(one.rot90(1, (-2, -1))), encode(other))
    assert (one_turned - found).abs().min() > 1e-6


def test_any_other_network_is_left_as_it_is(turning: SiameseNetwork) -> None:
    assert in_all_views(turning.encode, PLAIN.network) == turning.encode


def test_validation_is_by_views_and_training_is_not(
    small_split: Split, small_tasks: OneShotTasks
) -> None:
    longer = AllPairs(characters=40, per_alphabet=20, steps=40, loss="softmax", turned=True)
    learning = tiny_configuration(epochs=1, sampling=longer)
    both = (learning.model_copy(update={"network": one.network}) for one in (PLAIN, EIGHT))
    plain, own = (Trainer(one, small_split.train, small_tasks, CPU) for one in both)
    losses = [[float(loss) for loss, _ in trainer.steps(0)] for trainer in (plain, own)]
    assert losses[0] == losses[1]
    errors = [own.validate()]
    assert errors[0] < 0.9
    assert not torch.equal(own.answers(), plain.answers())
    own.compute_plainly("asked")
    errors.append(own.validate())
    own.tasks = tilted(small_tasks)
    errors.append(own.validate())
    assert errors == pytest.approx([errors[0]] * 3, abs=0.02)


def tilted(tasks: OneShotTasks) -> OneShotTasks:
    """The same tasks, all pictures turned by a quarter."""
    return OneShotTasks(
        tasks.support.rot90(1, (-2, -1)), tasks.queries.rot90(1, (-2, -1)), tasks.target, "x"
    )
