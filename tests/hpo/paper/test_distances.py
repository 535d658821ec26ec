import itertools
import math

import pytest
import torch
from torch import Tensor

from data.affine import distort
from data.drawings import Drawings
from data.tasks import draw_tasks
from hpo.paper import distances as alignment
from hpo.paper.distances import affine_distance, align, modified_hausdorff
from model.scoring import error_of, right_by_distance, right_by_pixels
from tests.data.ink import ink_of


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
    small = (strokes.resized(20).images[::997, 0][:7] > 100).byte() * 255
    found = modified_hausdorff(small[:3], small[3:])
    for row, first in zip(found.tolist(), small[:3], strict=True):
        assert row == pytest.approx([slow(first, second) for second in small[3:]], abs=1e-5)


def test_the_place_on_the_paper_does_not_matter(strokes: Drawings) -> None:
    image = torch.zeros(60, 60, dtype=torch.uint8)
    image[10:40, 12:40] = strokes.images[5, 0, 30:60, 30:58]
    moved = image.roll((9, 14), dims=(0, 1))
    assert image.any()
    assert modified_hausdorff(image[None], moved[None]).item() == pytest.approx(0, abs=1e-4)


def test_a_blank_drawing_is_infinitely_far(strokes: Drawings) -> None:
    images = torch.stack([torch.zeros(105, 105, dtype=torch.uint8), strokes.images[0, 0]])
    found = modified_hausdorff(images, images)
    assert found.isinf().tolist() == [[True, True], [True, False]]
    assert found[1, 1] == 0


def test_hausdorff_beats_raw_pixels(strokes: Drawings) -> None:
    tasks = draw_tasks(strokes.resized(35), 60, seed=2)
    assert error_of(right_by_distance(tasks, modified_hausdorff)).item() < 0.6


def pictures(strokes: Drawings, count: int, side: int = 35) -> Tensor:
    """(count, 1, side, side) of different characters."""
    return ink_of(strokes.resized(side))[: 11 * count : 11, 0].unsqueeze(1).float() / 255


def slowly_warped(image: Tensor, transform: Tensor) -> Tensor:
    """(S, S) the image seen through an affine map, pixel by pixel, with paper outside of it."""
    side, pixels = len(image), image.tolist()
    (a, b, c), (d, e, f) = transform.tolist()
    seen = torch.zeros(side, side)
    for row in range(side):
        for column in range(side):
            x, y = (2 * column + 1) / side - 1, (2 * row + 1) / side - 1
            across = ((a * x + b * y + c + 1) * side - 1) / 2
            down = ((d * x + e * y + f + 1) * side - 1) / 2
            left, above = math.floor(across), math.floor(down)
            for i, j in itertools.product((above, above + 1), (left, left + 1)):
                if 0 <= i < side and 0 <= j < side:
                    share = (1 - abs(down - i)) * (1 - abs(across - j))
                    seen[row, column] += share * pixels[i][j]
    return seen


def test_the_distance_is_that_of_the_map_and_no_map_nearby_is_better(
    strokes: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alignment, "STEPS", (40, 40))
    fixed, moving = pictures(strokes, 4, side=16).split(2)
    still, other = (alignment._blurred(part, 0.7 * 16 / 35) for part in (fixed, moving))
    distances, maps = align(fixed, moving)
    generator = torch.Generator().manual_seed(0)
    for target, image, distance, found in zip(still, other, distances, maps, strict=True):
        plain = (slowly_warped(image[0], found) - target[0]).norm()
        assert float(distance) == pytest.approx(float(plain), rel=1e-3)
        for _ in range(40):
            tried = found + 0.05 * torch.randn(2, 3, generator=generator)
            assert (slowly_warped(image[0], tried) - target[0]).norm() > 0.98 * distance


def test_the_search_sets_out_from_where_the_ink_lies_and_how_far_it_spreads() -> None:
    fixed, moving = torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20)
    fixed[0, 0, 2:6, 3:9] = 1  # about row 4 and column 6 of 20, or -0.4 across and -0.6 down
    moving[0, 0, 10:18, 4:13] = 1  # about -0.15 and 0.4; 1.5 times as wide, twice as high
    start = alignment._upright(fixed, moving)[0]
    expected = torch.tensor([[1.5, 0, -0.15 + 1.5 * 0.4], [0, 2, 0.4 + 2 * 0.6]])
    torch.testing.assert_close(start, expected, atol=0.05, rtol=0)
    turned = alignment._turned(start[None], fixed, 90)[0]
    middle = torch.tensor([-0.4, -0.6, 1])  # it turns about the middle of the fixed ink
    torch.testing.assert_close(turned @ middle, start @ middle, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        turned[:, :2], torch.tensor([[0.0, -1.5], [2.0, 0.0]]), atol=0.05, rtol=0
    )


@pytest.mark.parametrize(
    ("degrees", "scale", "shear", "shift"),
    [(0, 1, 0, 0.2), (8, 1.2, 0, 0), (-30, 0.9, 0.1, 0.1), (25, 1, -0.2, -0.1)],
)
def test_a_known_map_is_found(
    strokes: Drawings, degrees: float, scale: float, shear: float, shift: float
) -> None:
    images = pictures(strokes, 6)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    known = torch.tensor([[cosine * scale, -sine + shear, shift], [sine, cosine * scale, 0.05]])
    seen = distort(images, known.expand(6, 2, 3))
    distances, _ = align(seen, images)
    before = (seen - images).flatten(1).norm(dim=1)
    # drawings may leave the paper, and strokes that look alike may catch on each other
    assert (distances / before).median() < 0.25


def test_blank_drawings_are_no_trouble(strokes: Drawings) -> None:
    images = torch.cat([torch.zeros(1, 105, 105, dtype=torch.uint8), strokes.images[:2, 0]])
    found = affine_distance(images, images)
    assert found.shape == (3, 3)
    assert found.isfinite().all()
    assert found[0, 0] == 0
    assert (found.diagonal() < 0.3).all()
    assert found[1, 0] > 1


def test_blocks_make_no_difference(strokes: Drawings, monkeypatch: pytest.MonkeyPatch) -> None:
    images = strokes.images[:6, 0]
    whole = affine_distance(images[:2], images)
    monkeypatch.setattr(alignment, "BLOCK", 5)
    assert torch.allclose(affine_distance(images[:2], images), whole, atol=1e-3)


def test_alignment_beats_raw_pixels(strokes: Drawings) -> None:
    tasks = draw_tasks(strokes, 20, seed=2, way=10)
    aligned = error_of(right_by_distance(tasks, affine_distance))
    assert aligned < error_of(right_by_pixels(tasks)) - 0.2
