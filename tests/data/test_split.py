import pytest
import torch

from data.drawings import Drawings
from data.errors import DataError
from data.split import EVALUATION_ALPHABETS, VALIDATION_ALPHABETS, Split, split, split_classes


def disjoint(cut: Split) -> bool:
    parts = (cut.train, cut.validation, cut.evaluation)
    alphabets = [a for part in parts for a in part.alphabets]
    drawers = [d for part in parts for d in part.drawers]
    return len(set(alphabets)) == len(alphabets) and len(set(drawers)) == len(drawers) == 20


def test_strokes_are_cut_into_disjoint_parts(strokes: Drawings) -> None:
    cut = split(strokes)
    assert disjoint(cut)
    assert len(cut.train.alphabets) == 16
    assert {a.partition("-")[0] for a in cut.validation.alphabets} == {"validation"}
    assert {a.partition("-")[0] for a in cut.evaluation.alphabets} == {"evaluation"}
    assert cut.train.drawers == (9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
    assert cut.validation.drawers == (5, 6, 7, 8)
    assert cut.evaluation.drawers == (1, 2, 3, 4)


def test_a_cut_is_resized_in_all_its_parts(strokes: Drawings) -> None:
    cut, small = split(strokes), split(strokes).resized(20)
    for part in ("train", "validation", "evaluation"):
        large, resized = getattr(cut, part), getattr(small, part)
        assert torch.equal(resized.images, large.resized(20).images)
        assert resized.images.shape[-2:] == (20, 20) != large.images.shape[-2:]


def test_omniglot_is_cut_by_the_names_of_its_alphabets() -> None:
    """A character of each alphabet; image i is full of the number of its alphabet."""
    others = tuple(f"another-{number}" for number in range(30))
    alphabets = (*EVALUATION_ALPHABETS, *others, *VALIDATION_ALPHABETS)
    images = torch.arange(50).byte().repeat_interleave(20).view(-1, 1, 1, 1)
    counts, drawers = torch.full((50,), 20), tuple(range(1, 21))
    drawn = Drawings("omniglot", "o", alphabets, torch.arange(50), drawers, counts, images)
    for all_drawers in (False, True):
        cut = split(drawn, all_drawers)
        assert cut.train.alphabets == others
        assert cut.train.images.unique().tolist() == list(range(10, 40))
        assert cut.train.drawers == (drawers if all_drawers else drawers[8:])
        assert cut.validation.images.unique().tolist() == list(range(40, 50))
        assert cut.evaluation.images.unique().tolist() == list(range(10))
        assert (cut.validation.drawers, cut.evaluation.drawers) == (drawers[4:8], drawers[:4])
    assert {"Keble", "ULOG", "Avesta"} < set(cut.validation.alphabets)
    assert {"Tibetan", "Kannada", "Atlantean"} < set(cut.evaluation.alphabets)


@pytest.mark.soak
def test_omniglot_is_cut_as_the_paper_does(real_omniglot: Drawings) -> None:
    cut = split(real_omniglot)
    assert disjoint(cut)
    assert cut.train.count_of.tolist() == [12] * 964
    assert cut.validation.alphabets == VALIDATION_ALPHABETS
    assert cut.evaluation.alphabets == EVALUATION_ALPHABETS
    assert len(cut.validation.alphabets) == len(cut.evaluation.alphabets) == 10


def made_up(sizes: dict[str, int]) -> Drawings:
    """Groups of these numbers of classes, of two images each, full of the number of their class."""
    group_of = [place for place, size in enumerate(sizes.values()) for _ in range(size)]
    numbers = torch.arange(len(group_of)).byte().repeat_interleave(2)
    images = numbers.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    counts = torch.full((len(group_of),), 2)
    return Drawings("mine", "f", tuple(sizes), torch.tensor(group_of), (), counts, images)


def numbers(part: Drawings) -> list[int]:
    """The classes of a part, by the numbers that their images are full of."""
    return part.images[::2, 0, 0, 0].tolist()


def test_one_group_is_cut_by_chance_and_seed() -> None:
    drawings = made_up({"": 30})
    cut, again, other = (split_classes(drawings, (), (), 0.2, 5, seed) for seed in (1, 1, 2))
    sizes = [len(numbers(part)) for part in (cut.train, cut.validation, cut.evaluation)]
    assert sizes == [18, 6, 6]
    everyone = numbers(cut.train) + numbers(cut.validation) + numbers(cut.evaluation)
    assert sorted(everyone) == list(range(30))
    assert numbers(again.validation) == numbers(cut.validation)
    assert numbers(other.validation) != numbers(cut.validation)


def test_the_share_that_is_held_out_is_rounded() -> None:
    for classes, held_out in ((14, 3), (12, 2)):  # of 2.8 and 2.4
        cut = split_classes(made_up({"": classes}), (), (), 0.2, 2, 0)
        assert [len(p.count_of) for p in (cut.validation, cut.evaluation)] == [held_out] * 2


def test_as_many_classes_are_held_out_as_a_task_needs() -> None:
    cut = split_classes(made_up({"": 12}), (), (), 0.1, 5, 0)
    assert [len(p.count_of) for p in (cut.train, cut.validation, cut.evaluation)] == [2, 5, 5]
    wanted = r"11 classes in its largest group, where 5-way .*: add classes, or lower data\.way$"
    with pytest.raises(DataError, match=wanted):
        split_classes(made_up({"": 11}), (), (), 0.1, 5, 0)


def test_each_group_is_cut_and_small_ones_train() -> None:
    cut = split_classes(made_up({"a": 20, "b": 3, "c": 10}), (), (), 0.2, 3, 0)
    assert cut.train.alphabets == ("a", "b", "c")
    assert torch.bincount(cut.train.alphabet_of).tolist() == [12, 3, 4]
    assert cut.validation.alphabets == cut.evaluation.alphabets == ("a", "c")
    assert torch.bincount(cut.validation.alphabet_of).tolist() == [4, 3]


def test_groups_that_are_named_are_held_out() -> None:
    drawings = made_up({"a": 4, "b": 3, "c": 2})
    cut = split_classes(drawings, ("c",), ("a",), 0.2, 2, 0)
    assert (cut.train.alphabets, numbers(cut.train)) == (("b",), [4, 5, 6])
    assert (cut.validation.alphabets, numbers(cut.validation)) == (("c",), [7, 8])
    assert (cut.evaluation.alphabets, numbers(cut.evaluation)) == (("a",), [0, 1, 2, 3])
    with pytest.raises(DataError, match="no group d in mine: name some of a, b, c"):
        split_classes(drawings, ("d",), ("a",), 0.2, 2, 0)
    with pytest.raises(DataError, match="no group d in mine: name some of a, b, c"):
        split_classes(drawings, ("c",), ("a", "d"), 0.2, 2, 0)
    with pytest.raises(DataError, match="no class left for train"):
        split_classes(drawings, ("a", "b"), ("c",), 0.2, 2, 0)


def test_folders_of_parts_are_the_parts() -> None:
    drawings = made_up({"evaluation/": 2, "train/": 3, "train/g/h": 2, "validation/": 2})
    cut = split_classes(drawings, (), (), 0.2, 2, 0)
    assert numbers(cut.evaluation) == [0, 1]
    assert cut.train.alphabets == ("train/", "train/g/h")
    assert numbers(cut.train) == [2, 3, 4, 5, 6]
    assert numbers(cut.validation) == [7, 8]


def test_groups_that_only_have_such_names_are_cut_as_any_others() -> None:
    cut = split_classes(made_up({"evaluation": 6, "train": 6, "validation": 6}), (), (), 0.2, 2, 0)
    assert [len(p.alphabets) for p in (cut.train, cut.validation, cut.evaluation)] == [3, 3, 3]
