"""Where a drawing is and how large it is makes no difference once it is framed."""

import pytest
import torch
from torch import Tensor

from data.affine import distort
from data.chance import seeded
from data.framing import MOST, RADIUS, framed

SIDE = 60


@pytest.fixture
def characters(device: torch.device) -> Tensor:
    """(9, 1, 60, 60) float, four bars each, with paper around them."""
    chance, images = seeded(0), torch.zeros(9, 1, SIDE, SIDE)
    for image in images:
        for _ in range(4):
            row, column, height, width = torch.randint(8, 24, (4,), generator=chance).tolist()
            image[0, row : row + height, column : column + width // 3] = 1
    return images.to(device)


def moved(images: Tensor, larger: float, right: float, down: float) -> Tensor:
    """Images enlarged, and moved by shares of half their side."""
    maps = torch.tensor([[1 / larger, 0, -right / larger], [0, 1 / larger, -down / larger]])
    return distort(images, maps.to(images.device).expand(len(images), 2, 3))


def centre_and_spread(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 2) across and down, and (N,), in halves of the side, pixel by pixel."""
    side = images.shape[-1]
    line = torch.linspace(-1 + 1 / side, 1 - 1 / side, side, device=images.device)
    places = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
    ink = images[:, 0, :, :, None] / images.sum(dim=(1, 2, 3)).view(-1, 1, 1, 1)
    centre = (ink * places).sum(dim=(1, 2))
    away = (places - centre.view(-1, 1, 1, 2)).square().sum(dim=-1, keepdim=True)
    return centre, (ink * away).sum(dim=(1, 2, 3)).sqrt()


def test_ink_lies_in_the_middle_and_as_far_spread_as_any(characters: Tensor) -> None:
    before, spread = centre_and_spread(characters)
    assert before.abs().max() > 0.05
    assert spread.max() / spread.min() > 1.1
    centre, spread = centre_and_spread(framed(characters))
    assert centre.abs().max() < 0.01
    assert (spread / RADIUS - 1).abs().max() < 0.05


@pytest.mark.parametrize(
    ("larger", "right", "down"), [(1.0, 0.2, 0.0), (1.0, 0.0, -0.2), (1.3, 0.15, 0.2)]
)
def test_where_and_how_large_it_is_makes_no_difference(
    characters: Tensor, larger: float, right: float, down: float
) -> None:
    other = moved(characters, larger, right, down)
    apart, left = (
        (other - characters).abs().mean(),
        (framed(other) - framed(characters)).abs().mean(),
    )
    assert left < apart / 2
    assert left < 0.03


def test_each_drawing_is_framed_by_itself(characters: Tensor) -> None:
    together = framed(characters)
    for one, among in zip(characters, together, strict=True):
        torch.testing.assert_close(framed(one.unsqueeze(0))[0], among)


def test_a_form_keeps_its_proportions(device: torch.device) -> None:
    bar = torch.zeros(1, 1, SIDE, SIDE, device=device)
    bar[..., 10:14, 5:45] = 1
    ink = framed(bar)[0, 0] > 0.5
    assert ink.any(dim=0).sum() / ink.any(dim=1).sum() == pytest.approx(10, rel=0.25)


@pytest.mark.parametrize(("size", "wanted"), [(4, 4 * MOST), (58, SIDE * RADIUS * 1.5**0.5)])
def test_it_is_enlarged_and_reduced_within_bounds(
    size: int, wanted: float, device: torch.device
) -> None:
    square = torch.zeros(1, 1, SIDE, SIDE, device=device)
    square[..., 1 : 1 + size, 1 : 1 + size] = 1
    seen = framed(square)[0, 0]
    assert float(seen.sum()) ** 0.5 == pytest.approx(wanted, rel=0.03)


def test_a_frame_alone_is_reduced_by_half_at_the_most(device: torch.device) -> None:
    corners = torch.zeros(1, 1, SIDE, SIDE, device=device)
    corners[..., ::59, ::59] = 1
    centre, spread = centre_and_spread(framed(corners))
    assert centre.abs().max() < 1e-3
    assert float(spread[0]) == pytest.approx(2**0.5 / MOST, rel=0.05)


def test_blank_paper_stays_blank(device: torch.device) -> None:
    blank = torch.zeros(2, 1, SIDE, SIDE, device=device)
    assert torch.equal(framed(blank), blank)


def test_the_turned_drawing_is_framed_as_the_drawing_is_turned(characters: Tensor) -> None:
    seen = framed(characters)
    for quarters in (1, 2, 3):
        turned = characters.rot90(quarters, dims=(2, 3))
        torch.testing.assert_close(framed(turned), seen.rot90(quarters, dims=(2, 3)))
    torch.testing.assert_close(framed(characters.flip(-1)), seen.flip(-1))
