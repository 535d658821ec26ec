import numpy as np
import pytest
import torch

from data.split import Split
from data.tasks import OneShotTasks, draw_tasks
from model.scoring import (
    correct_share,
    distance_error,
    one_shot_error,
    one_shot_scores,
    pack,
    pixel_distance_error,
    unpack,
    wilson_interval,
)


def test_the_largest_score_is_the_answer() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.3], [0.5, 0.2, 0.4]])
    assert correct_share(scores, torch.tensor([1, 2])).tolist() == [1.0, 0.0]


def test_a_tie_counts_as_its_expected_value() -> None:
    scores = torch.tensor([[1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    found = correct_share(scores, torch.tensor([0, 2]))
    assert found.tolist() == pytest.approx([1 / 3, 0.0])


def test_what_is_not_a_number_is_wrong() -> None:
    scores = torch.tensor([[float("nan")] * 3, [float("nan"), 1.0, 0.0]])
    assert correct_share(scores, torch.tensor([0, 1])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("answer", [0.0, -7.0])
def test_a_constant_network_scores_chance(small_tasks: OneShotTasks, answer: float) -> None:
    error = one_shot_error(
        small_tasks,
        lambda images: images.new_zeros(len(images), 4),
        lambda q, s: q.new_full((*q.shape[:2], s.shape[1]), answer),
    )
    assert float(error) == pytest.approx(0.95)


def test_a_network_that_knows_the_answer_is_never_wrong(small_tasks: OneShotTasks) -> None:
    target = small_tasks.target
    oracle = torch.nn.functional.one_hot(target, 20).float()
    error = one_shot_error(small_tasks, lambda images: images.flatten(1), lambda q, s: oracle)
    assert float(error) == 0.0


def test_every_image_is_embedded_once(small_tasks: OneShotTasks) -> None:
    seen = 0

    def encode(images: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += len(images)
        assert images.min() >= 0
        assert images.max() <= 1
        return images.flatten(1)

    one_shot_error(small_tasks, encode, lambda q, s: -torch.cdist(q, s))
    assert seen == 2 * len(small_tasks)


def test_the_score_of_a_class_is_the_mean_over_its_images(small_split: Split) -> None:
    tasks = draw_tasks(small_split.validation, 40, seed=9, shots=3)
    scores = torch.rand(2, 20, 60, generator=torch.Generator().manual_seed(0))
    found = one_shot_scores(tasks, lambda images: images.flatten(1), lambda q, s: scores)
    assert found.shape == (2, 20, 20)
    assert found[1, 4, 7] == pytest.approx(float(scores[1, 4, 21:24].mean()))


def test_a_distance_of_pictures_by_hand(small_split: Split) -> None:
    def distances(queries: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
        return torch.cdist(queries.flatten(1).float(), support.flatten(1).float())

    for shots in (1, 3):
        tasks = draw_tasks(small_split.validation, 40, seed=9, shots=shots)
        assert distance_error(tasks, distances) == pytest.approx(pixel_distance_error(tasks))
        error = distance_error(tasks, lambda q, s: torch.ones(len(q), len(s)))
        assert error == pytest.approx(0.95)


def test_more_shots_help(small_split: Split) -> None:
    errors = [
        pixel_distance_error(draw_tasks(small_split.train, 400, seed=9, shots=k)) for k in (1, 8)
    ]
    assert errors[1] < errors[0]


def test_nearest_neighbour_by_hand(small_split: Split) -> None:
    tasks = draw_tasks(small_split.validation, 20, seed=9)
    right = 0
    for query, target in zip(tasks.queries[0].double(), tasks.target[0].tolist(), strict=True):
        distance = (tasks.support[0].double() - query).pow(2).sum(dim=(1, 2))
        right += int(distance.argmin()) == target
    assert pixel_distance_error(tasks) == pytest.approx(1 - right / 20)


def test_the_interval_is_wilsons() -> None:
    # 92.0 % of 400, worked by hand from Wilson's formula
    low, high = wilson_interval(0.92, 400)
    assert low == pytest.approx(0.8892, abs=2e-4)
    assert high == pytest.approx(0.9427, abs=2e-4)
    assert wilson_interval(1.0, 20)[1] == 1.0
    assert wilson_interval(0.0, 20)[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("count", [1, 8, 100, 320, 4000])
def test_what_was_packed_comes_back(count: int) -> None:
    right = np.random.default_rng(count).random(count) < 0.7
    text = pack(right)
    assert (unpack(text, count) == right).all()
    whole = unpack(text)
    assert len(whole) == -(-count // 8) * 8
    assert (whole[:count] == right).all()
    assert not whole[count:].any()


def test_it_is_short() -> None:
    assert len(pack(np.ones(320, np.bool_))) == 54
    assert len(pack(np.ones(4000, np.bool_))) == 667
    assert pack(np.array([True, False, False, False, False, False, False, True])) == "gQ"
