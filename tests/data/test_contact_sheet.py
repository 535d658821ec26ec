"""Ink is black and paper is white, and every image has its place."""

import numpy as np
import torch
from PIL import Image

from data.contact_sheet import GAP, GREY, as_picture, contact_sheet
from data.drawings import Drawings
from tests.data.ink import drawings_of

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def numbered() -> Drawings:
    """Five characters of two alphabets by three drawers, white but for one pixel of ink.

    Of character c and drawer d it is in row c, column d.
    """
    ink = torch.zeros(5, 3, 6, 6, dtype=torch.uint8)
    for character in range(5):
        for drawer in range(3):
            ink[character, drawer, character, drawer] = 255
    return drawings_of(ink, "AB", torch.tensor([0, 0, 0, 1, 1]), (1, 2, 3))


def place_of_ink(picture: Image.Image) -> list[tuple[int, int]]:
    """The (row, column) of every black pixel; all others are white or grey."""
    places = [(y, x) for y in range(picture.height) for x in range(picture.width)]
    pixels = {(y, x): picture.getpixel((x, y)) for y, x in places}
    assert set(pixels.values()) <= {BLACK, WHITE, GREY}
    return [place for place, colour in pixels.items() if colour == BLACK]


def test_ink_is_black_on_white_paper_and_colours_are_as_they_are() -> None:
    ink = torch.tensor([[[0, 255], [100, 0]]], dtype=torch.uint8)
    assert np.asarray(as_picture(ink)).tolist() == [[255, 0], [155, 255]]
    colours = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    assert as_picture(colours).getpixel((1, 0)) == (1, 5, 9)


def test_a_row_for_each_of_the_first_characters_of_the_first_alphabets() -> None:
    sheet, pitch = contact_sheet(numbered(), alphabets=2, characters=2, columns=2), 6 + GAP
    assert sheet.size == (2 * pitch, 4 * pitch)
    shown = [(row, column) for row in range(4) for column in range(2)]
    characters = (0, 1, 3, 4)  # the third of the first alphabet has no place
    places = [(row * pitch + characters[row], column * pitch + column) for row, column in shown]
    assert sorted(place_of_ink(sheet)) == sorted(places)
    assert contact_sheet(numbered(), 1, 9, 9).size == (3 * pitch, 3 * pitch)


def test_a_class_with_fewer_images_leaves_its_row_empty() -> None:
    images = torch.zeros(4, 1, 6, 6, dtype=torch.uint8)
    counts, groups = torch.tensor([1, 3]), torch.zeros(2, dtype=torch.int64)
    sheet = contact_sheet(Drawings("mine", "m", ("",), groups, (), counts, images), 1, 2, 5)
    pitch = 6 + GAP
    shown = [[sheet.getpixel((x * pitch, y * pitch)) == WHITE for x in range(3)] for y in range(2)]
    assert shown == [[True, False, False], [True, True, True]]
