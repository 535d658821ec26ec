import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.split import Split
from data.tasks import OneShotTasks, draw_tasks
from model.scoring import (
    correct_share,
    error_of,
    interval_over_draws,
    one_shot_scores,
    pack,
    right_by_distance,
    right_by_pixels,
    score,
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
    scores = one_shot_scores(
        small_tasks,
        lambda images: images.new_zeros(len(images), 4),
        lambda q, s: q.new_full((*q.shape[:2], s.shape[1]), answer),
    )
    right = correct_share(scores, small_tasks.target)
    assert right.shape == small_tasks.target.shape
    assert float(error_of(right)) == pytest.approx(0.95)


def test_a_network_that_knows_the_answer_is_never_wrong(small_tasks: OneShotTasks) -> None:
    target = small_tasks.target
    oracle = torch.nn.functional.one_hot(target, 20).float()
    scores = one_shot_scores(small_tasks, lambda images: images.flatten(1), lambda q, s: oracle)
    assert correct_share(scores, target).min() == 1


def test_every_image_is_embedded_once(small_tasks: OneShotTasks) -> None:
    seen = 0

    def encode(images: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += len(images)
        assert images.min() >= 0
        assert images.max() <= 1
        return images.flatten(1)

    one_shot_scores(small_tasks, encode, lambda q, s: -torch.cdist(q, s))
    assert seen == 2 * len(small_tasks)


@pytest.mark.parametrize("shots", [1, 2, 3])
def test_the_score_of_a_class_is_the_mean_over_its_images(small_split: Split, shots: int) -> None:
    tasks = draw_tasks(small_split.validation, 40, seed=9, shots=shots)
    scores = torch.rand(2, 20, 20 * shots, generator=torch.Generator().manual_seed(0))
    found = one_shot_scores(tasks, lambda images: images.flatten(1), lambda q, s: scores)
    assert found.shape == (2, 20, 20)
    assert found[1, 4, 7] == pytest.approx(float(scores[1, 4, 7 * shots : 8 * shots].mean()))


def test_a_distance_of_pictures_by_hand(small_split: Split) -> None:
    def distances(queries: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
        assert queries.shape[1:] == support.shape[1:] == small_split.validation.images.shape[2:]
        return torch.cdist(queries.flatten(1).float(), support.flatten(1).float())

    for shots in (1, 3):
        tasks = draw_tasks(small_split.validation, 40, seed=9, shots=shots)
        assert torch.equal(right_by_distance(tasks, distances), right_by_pixels(tasks))
        right = right_by_distance(tasks, lambda q, s: torch.ones(len(q), len(s)))
        assert error_of(right).item() == pytest.approx(0.95)


def test_more_shots_help(small_split: Split) -> None:
    errors = [
        float(error_of(right_by_pixels(draw_tasks(small_split.train, 400, seed=9, shots=k))))
        for k in (1, 8)
    ]
    assert errors[1] < errors[0]


def test_nearest_neighbour_by_hand(small_split: Split) -> None:
    tasks = draw_tasks(small_split.validation, 20, seed=9)
    right = 0
    for query, target in zip(tasks.queries[0].double(), tasks.target[0].tolist(), strict=True):
        distance = (tasks.support[0].double() - query).pow(2).sum(dim=(1, 2, 3))
        right += int(distance.argmin()) == target
    assert error_of(right_by_pixels(tasks)).item() == pytest.approx(1 - right / 20)


def test_the_interval_is_wilsons() -> None:
    # 92.0 % of 400, worked by hand from Wilson's formula
    low, high = wilson_interval(0.92, 400)
    assert low == pytest.approx(0.8892, abs=2e-4)
    assert high == pytest.approx(0.9427, abs=2e-4)
    assert wilson_interval(1.0, 20)[1] == 1.0
    assert wilson_interval(0.0, 20)[0] == pytest.approx(0.0, abs=1e-12)


def test_the_interval_over_draws_by_hand() -> None:
    # Draws with 0.6, 0.7 and 0.8 right: standard error 0.1 / √3, Student's 0.975 quantile for two
    # degrees of freedom 4.3027, log-odds of 0.7 0.8473 ± 1.1829.
    right = np.zeros((3, 20))
    for draw, count in enumerate((12, 14, 16)):
        right[draw, :count] = 1
    assert interval_over_draws(right) == pytest.approx((0.4169, 0.8839), abs=2e-4)


def test_two_draws_have_an_interval_over_draws() -> None:
    # 0.4 and 0.6 right: standard error 0.1, Student's quantile for one degree of freedom 12.706,
    # log-odds of 0.5 0 ± 5.082.
    right = np.zeros((2, 20))
    right[0, :8] = right[1, :12] = 1
    assert interval_over_draws(right) == pytest.approx((0.00617, 0.99383), abs=2e-4)


def test_the_interval_over_draws_is_never_narrower_than_wilsons() -> None:
    for right in (np.ones((20, 20)), np.eye(20), np.ones((1, 20)) * 0.5, np.zeros((16, 20))):
        low, high = interval_over_draws(right)
        least = wilson_interval(float(right.mean()), right.size)
        assert 0 <= low <= least[0] <= least[1] <= high <= 1


@pytest.mark.parametrize(
    ("draws", "mean", "excess"), [(20, 0.75, 2.0), (16, 0.85, 2.0), (20, 0.97, 1.45)]
)
def test_the_interval_over_draws_holds_what_it_says(draws: int, mean: float, excess: float) -> None:
    """In 95 of 100 simulated scores; draws differ as they do in Omniglot, by a beta distribution.

    ``excess``: how many times the variance of a draw's accuracy is that of independent tasks.
    """
    chance, held, by_wilson, times = np.random.default_rng(0), 0, 0, 1500
    alike = 19 / (excess - 1) - 1
    for _ in range(times):
        of_draws = chance.beta(mean * alike, (1 - mean) * alike, (draws, 1))
        right = (chance.random((draws, 20)) < of_draws).astype(float)
        low, high = interval_over_draws(right)
        held += low <= mean <= high
        low, high = wilson_interval(float(right.mean()), right.size)
        by_wilson += low <= mean <= high
    assert 0.94 < held / times < 0.98
    assert by_wilson / times < 0.92


def test_a_score_has_its_interval_over_draws(small_tasks: OneShotTasks) -> None:
    right = torch.zeros(small_tasks.target.shape)
    right[: len(right) // 2] = 1.0
    found = score("half of the draws", right, small_tasks)
    assert found.accuracy == pytest.approx(len(right) // 2 / len(right))
    assert found.interval == pytest.approx(interval_over_draws(right.numpy()), abs=1e-6)
    assert found.interval[1] - found.interval[0] > 0.2


def test_a_score_says_how_many_shots(small_split: Split) -> None:
    tasks = draw_tasks(small_split.validation, 40, seed=9, shots=3)
    found = score("pixels", right_by_pixels(tasks), tasks)
    assert (found.name, found.tasks, found.source, found.shots) == ("pixels", 40, tasks.source, 3)


@pytest.mark.parametrize("count", [1, 8, 100, 320, 4000])
def test_what_was_packed_comes_back(count: int) -> None:
    right = np.random.default_rng(count).random(count) < 0.7
    text = pack(right)
    assert (unpack(text, count) == right).all()
    assert unpack(text, count).dtype == np.bool_


def test_it_is_short() -> None:
    assert len(pack(np.ones(320, np.bool_))) == 54
    assert len(pack(np.ones(4000, np.bool_))) == 667
    assert pack(np.array([True, False, False, False, False, False, False, True])) == "gQ"


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_share_and_is_alike_for_its_opposite(
    right_of: tuple[int, int],
) -> None:
    right, count = right_of
    low, high = wilson_interval(right / count, count)
    assert 0 <= low <= right / count + 1e-12
    assert right / count - 1e-12 <= high <= 1
    assert wilson_interval(1 - right / count, count) == pytest.approx((1 - high, 1 - low))
    more = wilson_interval(right / count, 4 * count)
    assert more[1] - more[0] < high - low


@given(
    st.integers(1, 8).flatmap(
        lambda way: st.lists(
            st.lists(st.booleans(), min_size=way, max_size=way), min_size=1, max_size=12
        )
    ),
    st.randoms(use_true_random=False),
)
def test_the_interval_over_draws_holds_the_mean_whatever_their_order(
    draws: list[list[bool]], chance: random.Random
) -> None:
    right = np.array(draws, dtype=float)
    low, high = interval_over_draws(right)
    assert 0 <= low <= right.mean() + 1e-9
    assert right.mean() - 1e-9 <= high <= 1
    least = wilson_interval(float(right.mean()), right.size)
    assert low <= least[0] + 1e-12
    assert high >= least[1] - 1e-12
    chance.shuffle(draws)
    assert interval_over_draws(np.array(draws, dtype=float)) == pytest.approx((low, high))
