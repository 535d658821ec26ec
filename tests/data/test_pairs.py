from dataclasses import replace

import pytest
import torch

from data.chance import seeded
from data.drawings import Drawings, as_input
from data.errors import DataError
from data.pairs import PairBatch, draw_pairs, random_pair_batches
from data.split import Split


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


def test_the_twins_of_a_copy_are_distorted_each_in_its_own_way(alike: Drawings) -> None:
    pairs = draw_pairs(alike, 20, copies=2, seed=0)
    (batch,) = random_pair_batches(alike, pairs, 60, seeded(0, alike.images.device))
    first, second = batch.images.flatten(1).chunk(2)
    assert ((first - second).abs().amax(dim=1) < 1e-3).sum() == 20  # those as they were drawn


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


def test_pairs_of_classes_with_uneven_numbers_of_images(uneven: Drawings) -> None:
    class_of = torch.arange(3).repeat_interleave(uneven.count_of)
    pairs = draw_pairs(uneven, 4000, copies=0, seed=0)
    same = pairs.same.bool()
    first, second = class_of[pairs.first], class_of[pairs.second]
    assert torch.equal(first == second, same)
    assert (pairs.first != pairs.second).all()
    assert torch.bincount(first[same]).float().div(2000).allclose(torch.tensor(1 / 3), atol=0.05)
    seen = set(zip(pairs.first[same].tolist(), pairs.second[same].tolist(), strict=True))
    assert len(seen) == 2 * 1 + 5 * 4 + 3 * 2  # every pair of two images of a class, both ways
    seen = set(zip(pairs.first[~same].tolist(), pairs.second[~same].tolist(), strict=True))
    assert len(seen) == 2 * (2 * 5 + 2 * 3 + 5 * 3)  # and of two classes


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("steps", [None, 7])
def test_pairs_of_one_class_are_labelled_as_the_same(
    uneven: Drawings, steps: int | None, at_once: int
) -> None:
    class_of = torch.arange(3).repeat_interleave(uneven.count_of)
    pairs = draw_pairs(uneven, 30, copies=2, seed=0)
    seen = 0
    for batch in random_pair_batches(uneven, pairs, 16, seeded(0), steps, at_once=at_once):
        shown = (batch.images[:, 0, 0, 0] * 255).round().long()
        first, second = class_of[shown].chunk(2)
        assert batch.same is not None
        assert torch.equal(first == second, batch.same.bool())
        seen += len(batch.same)
    assert seen == (7 * 16 if steps else 90)
