from dataclasses import replace

import pytest
import torch
from torch import Tensor

from data.all_pairs import all_pairs_batches, characters_of_batch
from data.chance import seeded
from data.drawings import Drawings, as_input
from data.pairs import PairBatch


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
def test_all_pairs_batches_hold_each_character_by_two_drawers(
    train: Drawings, at_once: int
) -> None:
    batches = list(
        all_pairs_batches(
            train,
            30,
            per_alphabet=10,
            steps=3,
            distortion=0.0,
            turned=False,
            generator=seeded(0, train.images.device),
            at_once=at_once,
        )
    )
    assert len(batches) == 3
    assert not torch.equal(batches[0].images, batches[1].images)
    known = as_input(train.images).flatten(1)
    for batch in batches:
        assert batch.same is None
        assert batch.images.shape == (60, 1, 20, 20)
        found = torch.cdist(batch.images.flatten(1), known).argmin(dim=1)
        first, second = found.chunk(2)
        drawers = len(train.drawers)
        assert torch.equal(first // drawers, second // drawers)
        assert (first != second).all()
        assert len((first // drawers).unique()) == 30
        counts = torch.bincount(train.alphabet_of[first // drawers])
        assert sorted(counts[counts > 0].tolist()) == [10, 10, 10]


def test_every_two_drawers_make_a_pair_equally_often(train: Drawings) -> None:
    four = train.select(train.alphabets, train.drawers[:4])
    drawers = torch.arange(4, dtype=torch.uint8, device=four.images.device)
    told = drawers.repeat(len(four.count_of)).view(-1, 1, 1, 1).expand_as(four.images)
    chance = seeded(0, told.device)
    shown = all_pairs_batches(replace(four, images=told), 100, 50, 60, 0.0, False, chance)
    drawn = torch.cat([(batch.images[:, 0, 0, 0] * 255).round().view(2, -1) for batch in shown], 1)
    counts = torch.bincount((4 * drawn[0] + drawn[1]).long(), minlength=16).view(4, 4)
    assert (counts.diagonal() == 0).all()
    assert counts[~torch.eye(4, dtype=torch.bool)].float().div(6000 / 12).sub(1).abs().max() < 0.2


def test_the_images_of_a_character_are_distorted_each_in_its_own_way(alike: Drawings) -> None:
    chance = seeded(0, alike.images.device)
    (batch,) = all_pairs_batches(alike, 30, 10, 1, 1.0, False, chance)
    first, second = batch.images.flatten(1).chunk(2)
    assert ((first - second).abs().amax(dim=1) > 1e-3).all()


def test_the_distortion_is_as_wide_as_is_said(alike: Drawings) -> None:
    def moved(width: float) -> float:
        chance = seeded(0, alike.images.device)
        (batch,) = all_pairs_batches(alike, 30, 10, 1, width, False, chance)
        return float((batch.images - as_input(alike.images[:1])).abs().mean())

    assert moved(1e-6) < 1e-5
    assert 1e-3 < moved(0.1) < moved(1.0) / 2 < moved(3.0) / 4


def test_a_batch_is_no_larger_than_the_data(train: Drawings) -> None:
    most = characters_of_batch(train, 10_000, 1)
    assert characters_of_batch(train, 3, 1) == 3
    (batch,) = all_pairs_batches(train, most, 1, 1, 1.0, False, seeded(0, train.images.device))
    assert len(batch.images) == 2 * len(train.alphabets)
    assert batch.images.min() >= 0
    assert batch.images.max() <= 1 + 1e-5


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_alphabet_is_turned_as_a_whole(train: Drawings, at_once: int) -> None:
    plain, turned = (
        list(all_pairs_batches(train, 30, 10, 2, 0.0, t, seeded(5, train.images.device), at_once))[
            at_once - 1
        ]
        for t in (False, True)
    )

    def symmetry(images: Tensor, kind: int) -> Tensor:
        return (images.flip(-1) if kind // 4 else images).rot90(kind % 4, (-2, -1))

    kinds = []
    for alphabet in range(3):  # ten characters of each, by two drawers
        which = [slice(10 * alphabet + half, 10 * alphabet + half + 10) for half in (0, 30)]
        before, after = (torch.cat([b.images[w] for w in which]) for b in (plain, turned))
        (kind,) = [k for k in range(8) if torch.allclose(symmetry(before, k), after, atol=1e-4)]
        kinds.append(kind)
    assert len(set(kinds)) > 1


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("at_once", [1, 2])
def test_an_alphabet_is_distorted_as_a_whole(alike: Drawings, at_once: int, turned: bool) -> None:
    chance = seeded(5, alike.images.device)
    batches = all_pairs_batches(alike, 30, 10, 2, 0.0, turned, chance, at_once, 2.0)
    batch = list(batches)[at_once - 1]
    shown = []
    for alphabet in range(3):  # ten characters of each, by two drawers
        of_it = [batch.images[10 * alphabet + half :][:10] for half in (0, 30)]
        first = of_it[0][0]
        torch.testing.assert_close(torch.cat(of_it), first.expand(20, -1, -1, -1))
        shown.append(first)
    plain = as_input(alike.images[0])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (shown[one] - shown[other]).abs().max() > 0.1
    assert sum(bool((one - plain).abs().max() > 0.1) for one in shown) >= 2


def test_an_alphabet_is_distorted_before_its_images_are(alike: Drawings) -> None:
    def images(own: float, of_alphabet: float) -> Tensor:
        chance = seeded(5, alike.images.device)
        (batch,) = all_pairs_batches(alike, 30, 10, 1, own, False, chance, 1, of_alphabet)
        return batch.images

    both = images(1.0, 2.0)
    first, second = both.flatten(1).chunk(2)
    assert ((first - second).abs().amax(dim=1) > 1e-3).all()
    assert (both - images(1.0, 0.0)).abs().max() > 0.1
    torch.testing.assert_close(images(1e-6, 2.0), images(0.0, 2.0), atol=1e-3, rtol=0)


def test_an_alphabet_that_is_turned_is_distorted_as_widely_as_is_said(train: Drawings) -> None:
    def images(turned: bool, width: float) -> Tensor:
        chance = seeded(5, train.images.device)
        (batch,) = all_pairs_batches(train, 30, 10, 1, 0.0, turned, chance, 1, width)
        return batch.images

    torch.testing.assert_close(images(True, 1e-6), images(True, 0.0), atol=1e-3, rtol=0)
    plain = images(False, 0.0)
    narrow, wide = (float((images(False, w) - plain).abs().mean()) for w in (0.1, 2.0))
    assert narrow < wide / 2


def test_batches_of_classes_with_uneven_numbers_of_images(uneven: Drawings) -> None:
    class_of = torch.arange(3).repeat_interleave(uneven.count_of)
    seen = set()
    for batch in all_pairs_batches(uneven, 3, 3, 400, 0.0, False, seeded(0)):
        assert batch.images.shape == (6, 3, 4, 4)
        first, second = (batch.images[:, 0, 0, 0] * 255).round().long().chunk(2)
        assert sorted(class_of[first].tolist()) == [0, 1, 2]
        assert torch.equal(class_of[first], class_of[second])
        assert (first != second).all()
        seen |= set(zip(first.tolist(), second.tolist(), strict=True))
    assert len(seen) == 2 * 1 + 5 * 4 + 3 * 2


GROUP_OF = torch.tensor([0, 0, 1, 1, 1, 1, 1, 2, 2, 2])


@pytest.fixture
def groups() -> Drawings:
    """Groups of 2, 5 and 3 classes of two images each; image i is full of i."""
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(20, 1, 2, 2)
    return Drawings("groups", "g", ("a", "b", "c"), GROUP_OF, (), torch.full((10,), 2), images)


def classes_of(batch: PairBatch) -> list[int]:
    """Those of a batch of `groups`, in their order."""
    first, second = ((batch.images[:, 0, 0, 0] * 255).round().long() // 2).chunk(2)
    assert torch.equal(first, second)
    return first.tolist()


@pytest.mark.parametrize("at_once", [1, 3])
def test_batches_of_groups_with_uneven_numbers_of_classes(groups: Drawings, at_once: int) -> None:
    most = characters_of_batch(groups, 100, 4)
    assert most == 2 + 4 + 3
    seen: set[int] = set()
    for batch in all_pairs_batches(groups, most, 4, 40, 0.0, False, seeded(0), at_once):
        classes = classes_of(batch)
        assert len(set(classes)) == 9
        assert torch.bincount(GROUP_OF[classes]).tolist() == [2, 4, 3]
        seen |= set(classes)
    assert seen == set(range(10))  # the four of the second group are not always the same


def test_a_small_batch_takes_now_these_groups_and_now_those(groups: Drawings) -> None:
    batches = all_pairs_batches(groups, 4, 3, 40, 0.0, False, seeded(0))
    orders = {tuple(GROUP_OF[classes_of(batch)].tolist()) for batch in batches}
    assert orders == {
        (0, 0, 1, 1),
        (0, 0, 2, 2),
        (1, 1, 1, 0),
        (1, 1, 1, 2),
        (2, 2, 2, 0),
        (2, 2, 2, 1),
    }
