from dataclasses import replace

import pytest
import torch
from torch import Tensor

from data.drawings import Drawings
from data.errors import DataError
from data.pairs import (
    PairBatch,
    all_pairs_batches,
    as_input,
    characters_of_batch,
    draw_pairs,
    random_pair_batches,
    seeded,
)
from data.split import Split


@pytest.fixture
def train(small_split: Split, device: torch.device) -> Drawings:
    return small_split.train.to(device)


def test_full_ink_is_one_and_paper_is_nothing() -> None:
    assert as_input(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx(
        [0, 0.2, 1]
    )


def test_half_of_the_pairs_are_the_same_character_by_two_drawers(train: Drawings) -> None:
    pairs = draw_pairs(train, 4000, copies=0, seed=0)
    drawers = len(train.drawers)
    same = pairs.same.bool()
    assert int(same.sum()) == 2000
    characters = pairs.first // drawers, pairs.second // drawers
    assert (characters[0] == characters[1])[same].all()
    assert (characters[0] != characters[1])[~same].all()
    assert (pairs.first % drawers != pairs.second % drawers)[same].all()


def test_pairs_are_of_one_alphabet_and_alphabets_equally_often(train: Drawings) -> None:
    pairs = draw_pairs(train, 3200, copies=0, seed=0)
    drawers = len(train.drawers)
    first = train.alphabet_of[pairs.first // drawers]
    assert torch.equal(first, train.alphabet_of[pairs.second // drawers])
    for kind in (0.0, 1.0):
        counts = torch.bincount(first[pairs.same == kind])
        assert counts.tolist() == [100] * 16


def test_the_set_of_pairs_is_fixed_by_its_seed(train: Drawings) -> None:
    one, again, other = (draw_pairs(train, 200, copies=1, seed=s) for s in (5, 5, 6))
    assert torch.equal(one.first, again.first)
    assert torch.equal(one.transforms, again.transforms)
    assert not torch.equal(one.first, other.first)


def test_one_image_of_a_character_makes_no_pairs(small_split: Split) -> None:
    alone = small_split.train.select(small_split.train.alphabets, [9])
    advice = "a character with one image, .*, which make no pairs: check .* with `hpo data check`"
    with pytest.raises(DataError, match=advice):
        draw_pairs(alone, 10, copies=0, seed=0)


def test_two_characters_of_two_images_make_pairs() -> None:
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    group, counts = torch.zeros(2, dtype=torch.int64), torch.tensor([2, 2])
    fewest = Drawings("fewest", "f", ("",), group, (), counts, images)
    pairs = draw_pairs(fewest, 400, copies=0, seed=0)
    seen = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert seen == {(one, other) for one in range(4) for other in range(4) if one != other}
    alone = replace(fewest, alphabets=("", "more"), alphabet_of=torch.tensor([0, 1]))
    with pytest.raises(DataError, match="or an alphabet with one character"):
        draw_pairs(alone, 10, copies=0, seed=0)


def test_an_epoch_shows_every_pair_in_every_copy_once(train: Drawings) -> None:
    pairs = draw_pairs(train, 60, copies=2, seed=0)
    assert len(pairs) == 180
    batches = list(random_pair_batches(train, pairs, 64, seeded(0, train.images.device)))
    assert [len(b.images) for b in batches] == [128, 128, 104]
    images = torch.cat([b.images.chunk(2)[0] for b in batches]).flatten(1)
    plain = as_input(train.images[pairs.first]).flatten(1)
    undistorted = (torch.cdist(plain, images) < 1e-2).any(dim=1)
    assert undistorted.all()
    same = torch.cat([b.same for b in batches if b.same is not None])
    assert int(same.sum()) == 90


def test_every_copy_is_the_same_in_every_epoch(train: Drawings) -> None:
    pairs = draw_pairs(train, 20, copies=3, seed=0)
    epochs = []
    for seed in (1, 2):
        batches = random_pair_batches(train, pairs, 16, seeded(seed, train.images.device))
        images = torch.cat([torch.cat(b.images.chunk(2), dim=-1) for b in batches])
        epochs.append(images.flatten(1))
    distance = torch.cdist(epochs[0], epochs[1])
    assert (distance.min(dim=1).values < 1e-2).all()


@pytest.mark.parametrize("at_once", [2, 3, 9])
def test_batches_that_are_made_together_are_those_made_one_by_one(
    train: Drawings, at_once: int
) -> None:
    pairs = draw_pairs(train, 60, copies=2, seed=0)

    def epoch(together: int) -> list[PairBatch]:
        chance = seeded(0, train.images.device)
        return list(random_pair_batches(train, pairs, 32, chance, at_once=together))

    one_by_one = epoch(1)
    assert [len(batch.images) for batch in one_by_one] == [64, 64, 64, 64, 64, 40]
    for batch, other in zip(epoch(at_once), one_by_one, strict=True):
        torch.testing.assert_close(batch.images, other.images)
        assert batch.same is not None
        assert other.same is not None
        assert torch.equal(batch.same, other.same)


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
            distortion=None,
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
    shown = all_pairs_batches(replace(four, images=told), 100, 50, 60, None, False, chance)
    drawn = torch.cat([(batch.images[:, 0, 0, 0] * 255).round().view(2, -1) for batch in shown], 1)
    counts = torch.bincount((4 * drawn[0] + drawn[1]).long(), minlength=16).view(4, 4)
    assert (counts.diagonal() == 0).all()
    assert counts[~torch.eye(4, dtype=torch.bool)].float().div(6000 / 12).sub(1).abs().max() < 0.2


@pytest.fixture
def alike(train: Drawings) -> Drawings:
    """Every drawing is the same one, so that an image tells how it was distorted."""
    return replace(train, images=train.images[:1].expand_as(train.images))


def test_the_twins_of_a_copy_are_distorted_each_in_its_own_way(alike: Drawings) -> None:
    pairs = draw_pairs(alike, 20, copies=2, seed=0)
    (batch,) = random_pair_batches(alike, pairs, 60, seeded(0, alike.images.device))
    first, second = batch.images.flatten(1).chunk(2)
    assert ((first - second).abs().amax(dim=1) < 1e-3).sum() == 20  # those as they were drawn


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
        list(all_pairs_batches(train, 30, 10, 2, None, t, seeded(5, train.images.device), at_once))[
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
    batches = all_pairs_batches(alike, 30, 10, 2, None, turned, chance, at_once, 2.0)
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
    def images(own: float | None, of_alphabet: float | None) -> Tensor:
        chance = seeded(5, alike.images.device)
        (batch,) = all_pairs_batches(alike, 30, 10, 1, own, False, chance, 1, of_alphabet)
        return batch.images

    both = images(1.0, 2.0)
    first, second = both.flatten(1).chunk(2)
    assert ((first - second).abs().amax(dim=1) > 1e-3).all()
    assert (both - images(1.0, None)).abs().max() > 0.1
    torch.testing.assert_close(images(1e-6, 2.0), images(None, 2.0), atol=1e-3, rtol=0)


def test_an_alphabet_that_is_turned_is_distorted_as_widely_as_is_said(train: Drawings) -> None:
    def images(turned: bool, width: float | None) -> Tensor:
        chance = seeded(5, train.images.device)
        (batch,) = all_pairs_batches(train, 30, 10, 1, None, turned, chance, 1, width)
        return batch.images

    torch.testing.assert_close(images(True, 1e-6), images(True, None), atol=1e-3, rtol=0)
    plain = images(False, None)
    narrow, wide = (float((images(False, w) - plain).abs().mean()) for w in (0.1, 2.0))
    assert narrow < wide / 2


@pytest.mark.parametrize("steps", [1, 3, 5, 10, 12])
def test_an_epoch_of_some_steps_goes_on_from_the_last_one(train: Drawings, steps: int) -> None:
    pairs = draw_pairs(train, 20, copies=2, seed=0)  # 60: 15 batches of 4
    chance = seeded(0, train.images.device)
    seen = []
    for epoch in range(-(-30 // steps)):
        batches = list(random_pair_batches(train, pairs, 4, chance, steps, epoch))
        assert [len(b.images) for b in batches] == [8] * steps
        seen += [torch.cat(b.images.chunk(2), dim=-1).flatten(1) for b in batches]
    one, two = torch.cat(seen)[:60], torch.cat(seen)[60:120]
    # A whole pass shows each pair in every copy once, the next one the same in another order.
    (whole,) = random_pair_batches(train, pairs, 60, seeded(7, train.images.device))
    wanted = torch.cat(whole.images.chunk(2), dim=-1).flatten(1)
    for part in (one, two):
        found = torch.cdist(part, wanted).argmin(dim=1)
        assert found.unique().numel() == 60
    assert not torch.equal(one, two)


def test_an_epoch_may_be_more_than_the_set(train: Drawings) -> None:
    pairs = draw_pairs(train, 10, copies=0, seed=0)
    batches = list(random_pair_batches(train, pairs, 4, seeded(0, train.images.device), 8, 1))
    assert [len(b.images) for b in batches] == [8] * 8


def test_the_first_epoch_is_where_none_is_named(train: Drawings) -> None:
    pairs = draw_pairs(train, 20, copies=0, seed=0)
    first, named = (
        list(random_pair_batches(train, pairs, 4, seeded(0, train.images.device), 2, *epoch))
        for epoch in ((), (0,))
    )
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, named, strict=True))


@pytest.fixture
def uneven() -> Drawings:
    """Classes of 2, 5 and 3 images of unknown hands; image i is full of i."""
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 3, 4, 4)
    counts = torch.tensor([2, 5, 3])
    return Drawings("uneven", "u", ("",), torch.zeros(3, dtype=torch.int64), (), counts, images)


CLASS_OF = torch.tensor([0, 0, 1, 1, 1, 1, 1, 2, 2, 2])


def test_pairs_of_classes_with_uneven_numbers_of_images(uneven: Drawings) -> None:
    pairs = draw_pairs(uneven, 4000, copies=0, seed=0)
    same = pairs.same.bool()
    first, second = CLASS_OF[pairs.first], CLASS_OF[pairs.second]
    assert torch.equal(first == second, same)
    assert (pairs.first != pairs.second).all()
    assert torch.bincount(first[same]).float().div(2000).allclose(torch.tensor(1 / 3), atol=0.05)
    seen = set(zip(pairs.first[same].tolist(), pairs.second[same].tolist(), strict=True))
    assert len(seen) == 2 * 1 + 5 * 4 + 3 * 2  # every pair of two images of a class, both ways
    seen = set(zip(pairs.first[~same].tolist(), pairs.second[~same].tolist(), strict=True))
    assert len(seen) == 2 * (2 * 5 + 2 * 3 + 5 * 3)  # and of two classes


def test_batches_of_classes_with_uneven_numbers_of_images(uneven: Drawings) -> None:
    seen = set()
    for batch in all_pairs_batches(uneven, 3, 3, 400, None, False, seeded(0)):
        assert batch.images.shape == (6, 3, 4, 4)
        first, second = (batch.images[:, 0, 0, 0] * 255).round().long().chunk(2)
        assert sorted(CLASS_OF[first].tolist()) == [0, 1, 2]
        assert torch.equal(CLASS_OF[first], CLASS_OF[second])
        assert (first != second).all()
        seen |= set(zip(first.tolist(), second.tolist(), strict=True))
    assert len(seen) == 2 * 1 + 5 * 4 + 3 * 2


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("steps", [None, 7])
def test_pairs_of_one_class_are_labelled_as_the_same(
    uneven: Drawings, steps: int | None, at_once: int
) -> None:
    pairs = draw_pairs(uneven, 30, copies=2, seed=0)
    seen = 0
    for batch in random_pair_batches(uneven, pairs, 16, seeded(0), steps, at_once=at_once):
        shown = (batch.images[:, 0, 0, 0] * 255).round().long()
        first, second = CLASS_OF[shown].chunk(2)
        assert batch.same is not None
        assert torch.equal(first == second, batch.same.bool())
        seen += len(batch.same)
    assert seen == (7 * 16 if steps else 90)


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
    for batch in all_pairs_batches(groups, most, 4, 40, None, False, seeded(0), at_once):
        classes = classes_of(batch)
        assert len(set(classes)) == 9
        assert torch.bincount(GROUP_OF[classes]).tolist() == [2, 4, 3]
        seen |= set(classes)
    assert seen == set(range(10))  # the four of the second group are not always the same


def test_a_small_batch_takes_now_these_groups_and_now_those(groups: Drawings) -> None:
    batches = all_pairs_batches(groups, 4, 3, 40, None, False, seeded(0))
    orders = {tuple(GROUP_OF[classes_of(batch)].tolist()) for batch in batches}
    assert orders == {
        (0, 0, 1, 1),
        (0, 0, 2, 2),
        (1, 1, 1, 0),
        (1, 1, 1, 2),
        (2, 2, 2, 0),
        (2, 2, 2, 1),
    }
