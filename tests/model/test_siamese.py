import pytest
import torch
from torch import nn

from data.pairs import seeded
from model.siamese import SiameseNetwork
from tests.model.tiny import architecture


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
