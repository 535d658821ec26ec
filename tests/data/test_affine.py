import math

import torch

from data.affine import PRESENT, distort, draw_symmetries, draw_transforms, identity_transforms
from data.chance import seeded


def dot(side: int, x: int, y: int, device: torch.device) -> torch.Tensor:
    image = torch.zeros(1, 1, side, side, device=device)
    image[0, 0, y, x] = 1
    return image


def test_the_identity_changes_nothing(device: torch.device) -> None:
    images = torch.rand(4, 1, 35, 35, device=device)
    changed = distort(images, identity_transforms(4, device))
    torch.testing.assert_close(changed, images, atol=1e-4, rtol=0)


def test_a_shift_moves_the_ink_by_so_many_pixels(device: torch.device) -> None:
    side = 105
    shift = identity_transforms(1, device).clone()
    shift[0, 0, 2] = 2 * 2 / side  # look two pixels to the right: the ink moves to the left
    moved = distort(dot(side, 50, 50, device), shift)
    assert moved[0, 0].argmax().item() == 50 * side + 48


def test_what_comes_in_from_outside_the_image_is_paper(device: torch.device) -> None:
    shift = identity_transforms(1, device).clone()
    shift[0, :, 2] = torch.tensor([2 * 2 / 5, -2 * 1 / 5])  # two pixels to the left, one down
    moved = distort(torch.ones(1, 1, 5, 5, device=device), shift)
    expected = torch.zeros(1, 1, 5, 5, device=device)
    expected[0, 0, 1:, :3] = 1
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0)


def test_what_comes_in_from_outside_a_colour_image_is_its_border(device: torch.device) -> None:
    shift = identity_transforms(1, device).clone()
    shift[0, 0, 2] = 2 * 2 / 5  # two pixels to the left
    columns = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5], device=device).expand(1, 3, 5, 5)
    expected = torch.tensor([0.3, 0.4, 0.5, 0.5, 0.5], device=device).expand(1, 3, 5, 5)
    torch.testing.assert_close(distort(columns, shift), expected, atol=1e-4, rtol=0)


def test_every_component_is_absent_half_of_the_time() -> None:
    maps = draw_transforms(20_000, seeded(1))
    absent = (maps[:, :, 2] == 0).float().mean().item()
    assert abs(absent - PRESENT) < 0.02
    untouched = (maps == torch.eye(2, 3)).all(dim=(1, 2)).float().mean().item()
    assert abs(untouched - PRESENT**7) < 0.005


def test_every_component_reaches_both_ends_of_its_range_and_no_further() -> None:
    maps = draw_transforms(50_000, seeded(2))
    square, shifts = maps[:, :, :2], maps[:, :, 2] * 105 / 2
    pure = (torch.linalg.det(square) - 1).abs() < 1e-6
    pure &= (square[:, 0, 0] - square[:, 1, 1]).abs() < 1e-6
    pure &= (square[:, 0, 1] + square[:, 1, 0]).abs() < 1e-6
    scaled = square[(square[:, 0, 1] == 0) & (square[:, 1, 0] == 0)]  # alone, or nothing at all
    sheared = square[(square[:, 0, 0] == 1) & (square[:, 1, 1] == 1)]  # likewise
    for found, low, high in (
        (torch.atan2(square[pure, 1, 0], square[pure, 0, 0]) * 180 / math.pi, -10, 10),
        (sheared[:, 0, 1], -0.3, 0.3),
        (sheared[:, 1, 0], -0.3, 0.3),
        (1 / scaled[:, 0, 0], 0.8, 1.2),
        (1 / scaled[:, 1, 1], 0.8, 1.2),
        (shifts[:, 0], -2, 2),
        (shifts[:, 1], -2, 2),
    ):
        near, exact = (high - low) / 40, (high - low) * 1e-4
        assert low - exact <= found.min() < low + near
        assert high - near < found.max() <= high + exact


def test_equal_seeds_give_equal_maps(device: torch.device) -> None:
    for draw in (draw_transforms, draw_symmetries):
        first, second = (draw(30, seeded(7, device)) for _ in range(2))
        assert torch.equal(first, second)


def test_a_wider_range_is_the_same_draw_further_out() -> None:
    plain, wide = (draw_transforms(1000, seeded(3), width) for width in (1.0, 1.5))
    torch.testing.assert_close(wide[:, :, 2], 1.5 * plain[:, :, 2])
    assert float(wide[:, 0, 0].std() / plain[:, 0, 0].std()) > 1.3


def test_symmetries_are_the_eight_of_the_square(device: torch.device) -> None:
    maps = draw_symmetries(400, seeded(4, device))
    kinds = maps.flatten(1).unique(dim=0)
    assert len(kinds) == 8
    assert torch.equal(maps @ maps.mT, torch.eye(2, device=device).expand(400, 2, 2))
    image = torch.rand(1, 1, 9, 9, device=device)
    turned = [variant.rot90(k, (2, 3)) for variant in (image, image.flip(3)) for k in range(4)]
    seen = distort(
        image.expand(8, -1, -1, -1),
        torch.cat([kinds.view(8, 2, 2), torch.zeros(8, 2, 1, device=device)], dim=2),
    )
    for one in turned:
        assert any(torch.allclose(one[0], other, atol=1e-5) for other in seen)
