import pytest
import torch

from data.drawings import Drawings
from data.errors import DataError
from tests.data.ink import drawings_of, ink_of


@pytest.fixture
def numbered() -> Drawings:
    """5 characters of 2 alphabets by 3 drawers; image (c, d) is full of 10·c + d."""
    ink = torch.arange(5).view(5, 1) * 10 + torch.arange(3)
    images = ink.byte().view(5, 3, 1, 1).expand(5, 3, 6, 6).contiguous()
    return drawings_of(images, "AB", torch.tensor([0, 0, 1, 1, 1]), (1, 2, 3))


def test_images_are_numbered_by_character_then_drawer(numbered: Drawings) -> None:
    assert numbered.images.shape == (15, 1, 6, 6)
    assert int(numbered.images[2 * 3 + 1, 0, 0, 0]) == 21


def test_select_keeps_the_named_alphabets_and_drawers(numbered: Drawings) -> None:
    part = numbered.select(["B"], [3, 1])
    assert part.alphabets == ("B",)
    assert part.alphabet_of.tolist() == [0, 0, 0]
    assert part.drawers == (3, 1)
    assert ink_of(part)[:, :, 0, 0].tolist() == [[22, 20], [32, 30], [42, 40]]


def test_select_renumbers_alphabets_in_the_order_asked_for(numbered: Drawings) -> None:
    part = numbered.select(["B", "A"], [1])
    assert part.alphabet_of.tolist() == [1, 1, 0, 0, 0]


def test_select_names_what_is_missing(numbered: Drawings) -> None:
    with pytest.raises(DataError, match="alphabet Z"):
        numbered.select(["Z"], [1])
    with pytest.raises(DataError, match="drawer 9"):
        numbered.select(["A"], [9])


def test_resized_takes_the_mean_of_each_area() -> None:
    ink = torch.zeros(1, 1, 6, 6, dtype=torch.uint8)
    ink[0, 0, :3, :3] = 255
    ink[0, 0, 0, 3] = 255
    drawings = drawings_of(ink, "A", torch.tensor([0]), (1,))
    assert drawings.resized(2).images[0, 0].tolist() == [[255, round(255 / 9)], [0, 0]]
    assert drawings.resized(6) is drawings


def test_resized_rounds_to_the_nearest() -> None:
    ink = torch.tensor([[3, 0], [0, 0]], dtype=torch.uint8).view(1, 1, 2, 2)  # its mean is 0.75
    assert drawings_of(ink, "A", torch.tensor([0]), (1,)).resized(1).images.item() == 1


def test_characters_keep_their_own_numbers_of_images() -> None:
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    alphabet_of, counts = torch.tensor([0, 0, 1, 2]), torch.tensor([2, 3, 1, 4])
    part = Drawings("mine", "m", ("A", "B", "C"), alphabet_of, (), counts, images).characters(
        torch.tensor([1, 3])
    )
    assert part.alphabets == ("A", "C")
    assert part.alphabet_of.tolist() == [0, 1]
    assert part.count_of.tolist() == [3, 4]
    assert part.images.flatten().tolist() == [2, 3, 4, 6, 7, 8, 9]
