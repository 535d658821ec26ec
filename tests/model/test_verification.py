import pytest
import torch
from torch import Tensor

from data.pairs import PairSet, draw_pairs
from data.split import Split
from model.verification import best_threshold, pair_logits, verification_accuracy

PAIRS = 400


@pytest.fixture
def pairs(small_split: Split) -> PairSet:
    return draw_pairs(small_split.validation, PAIRS, copies=0, seed=4)


def accuracy(logits: Tensor, same: Tensor) -> float:
    return verification_accuracy(logits, same, best_threshold(logits, same))


@pytest.mark.parametrize(
    ("logits", "same", "threshold", "right"),
    [
        ([-3.0, 1.0, 2.0, 6.0], [0, 0, 1, 1], 1.5, 4),  # one threshold parts them
        ([1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1], 1.5, 3),  # 3.5 is as good, and farther from 0
        ([-1.0, -2.0, -3.0, -4.0], [1, 0, 1, 0], -1.5, 3),
        ([2.0, 2.0, 2.0, 5.0], [1, 0, 0, 1], 3.5, 3),  # between equal ones there is no place
        ([2.0, 2.0], [0, 1], 1.0, 1),  # where one would be right of both
        ([3.0, 4.0], [1, 1], 2.0, 2),  # all the same: one below the lowest
        ([-3.0, -4.0], [0, 0], -2.0, 2),  # all different: one above the highest
        ([1.0, 2.0], [1, 0], 0.0, 1),  # the wrong way round: no better than one answer for all
    ],
)
def test_thresholds_by_hand(
    logits: list[float], same: list[int], threshold: float, right: int
) -> None:
    found = best_threshold(torch.tensor(logits), torch.tensor(same).float())
    assert found == pytest.approx(threshold)
    share = verification_accuracy(torch.tensor(logits), torch.tensor(same).float(), found)
    assert share == pytest.approx(right / len(logits))


def test_no_other_threshold_is_better() -> None:
    chance = torch.Generator().manual_seed(0)
    logits = torch.randint(-6, 7, (300,), generator=chance).float() / 2
    same = (logits + 2 * torch.randn(300, generator=chance) > 0.7).float()
    best = accuracy(logits, same)
    for threshold in torch.arange(-5, 5, 0.25).tolist():
        assert verification_accuracy(logits, same, threshold) <= best


def test_neighbours_in_single_precision_are_told_apart() -> None:
    one = torch.tensor(1.0)
    logits = torch.stack([one, torch.nextafter(one, torch.tensor(2.0))])
    assert accuracy(logits, torch.tensor([0.0, 1.0])) == 1.0


def test_what_is_not_a_number_is_wrong_and_has_no_say() -> None:
    nan = float("nan")
    logits, same = torch.tensor([nan, 1.0, 2.0, nan]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    assert best_threshold(logits, same) == 1.5
    assert accuracy(logits, same) == 0.5
    assert accuracy(torch.tensor([nan, nan]), torch.tensor([0.0, 1.0])) == 0.0
    assert best_threshold(torch.tensor([nan, nan]), torch.tensor([0.0, 1.0])) == 0.0


def test_a_logit_at_the_threshold_says_different() -> None:
    logits, same = torch.tensor([1.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 1.0])
    assert verification_accuracy(logits, same, 1.0) == pytest.approx(2 / 3)
    assert verification_accuracy(logits, torch.tensor([0.0, 0.0, 1.0]), 1.0) == 1.0


@pytest.mark.parametrize("answer", [0.0, -7.0, 7.0])
def test_a_constant_one_is_right_in_half(small_split: Split, pairs: PairSet, answer: float) -> None:
    logits = pair_logits(
        small_split.validation,
        pairs,
        lambda images: images.new_zeros(len(images), 4),
        lambda first, second: first.new_full((len(first),), answer),
    )
    assert logits.shape == (PAIRS,)
    assert accuracy(logits, pairs.same) == 0.5


def test_a_perfect_one_embeds_each_image_once(small_split: Split, pairs: PairSet) -> None:
    drawings = small_split.validation
    known, drawers = drawings.images.flatten(1).float() / 255, len(drawings.drawers)
    seen = 0

    def encode(images: Tensor) -> Tensor:
        nonlocal seen
        seen += len(images)
        assert images.max() <= 1
        which = torch.cdist(images.flatten(1), known).argmin(dim=1)
        return (which // drawers).float().unsqueeze(1)

    def score(first: Tensor, second: Tensor) -> Tensor:
        return 8.5 - (first - second).abs().clamp(max=1).squeeze(1)

    logits = pair_logits(drawings, pairs, encode, score)
    assert seen == len(torch.cat([pairs.first, pairs.second]).unique())
    assert best_threshold(logits, pairs.same) == 8.0
    assert accuracy(logits, pairs.same) == 1.0
