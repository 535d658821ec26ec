from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from data.drawings import Drawings
from data.hausdorff import modified_hausdorff
from data.tasks import draw_tasks
from model.scoring import distance_error


def slow(first: Tensor, second: Tensor) -> float:
    """Point by point, as it is written down in Dubuisson & Jain 1994."""
    sets = []
    for image in (first, second):
        found = [(y, x) for y, row in enumerate(image.tolist()) for x, v in enumerate(row) if v]
        middle = [sum(axis) / len(found) for axis in zip(*found, strict=True)]
        sets.append([(y - middle[0], x - middle[1]) for y, x in found])
    means = []
    for one, other in (sets, sets[::-1]):
        nearest = [min(math.dist(point, another) for another in other) for point in one]
        means.append(sum(nearest) / len(nearest))
    return max(means)


def test_it_is_what_the_slow_way_gives(strokes: Drawings) -> None:
    small = (strokes.resized(20).images[::997][:7] > 100).byte() * 255
    found = modified_hausdorff(small[:3], small[3:])
    for row, first in zip(found.tolist(), small[:3], strict=True):
        assert row == pytest.approx([slow(first, second) for second in small[3:]], abs=1e-5)


def test_the_place_on_the_paper_does_not_matter(strokes: Drawings) -> None:
    image = torch.zeros(60, 60, dtype=torch.uint8)
    image[10:40, 12:40] = strokes.images[5, 30:60, 30:58]
    moved = image.roll((9, 14), dims=(0, 1))
    assert image.any()
    assert modified_hausdorff(image[None], moved[None]).item() == pytest.approx(0, abs=1e-4)


def test_a_blank_drawing_is_infinitely_far(strokes: Drawings) -> None:
    images = torch.stack([torch.zeros_like(strokes.images[0]), strokes.images[0]])
    found = modified_hausdorff(images, images)
    assert found.isinf().tolist() == [[True, True], [True, False]]
    assert found[1, 1] == 0


def test_it_beats_raw_pixels(strokes: Drawings) -> None:
    tasks = draw_tasks(strokes.resized(35), 60, seed=2)
    assert distance_error(tasks, modified_hausdorff) < 0.6
