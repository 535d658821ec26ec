"""On a machine without a GPU, Triton's interpreter does what a GPU would."""

import pytest
import torch
from torch import Tensor

from model.fast.pooling import _windows, pool

pytest.importorskip("triton")
from model.fast import fused_pooling


def made_up(shape: tuple[int, ...]) -> Tensor:
    """Small whole numbers: sums are exact, and many corners tie."""
    chance = torch.Generator().manual_seed(sum(shape))
    return torch.randint(-3, 4, shape, generator=chance).float()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    ("shape", "dim"),
    [((3, 8, 8, 16), 1), ((2, 9, 9, 80), 1), ((7, 6, 3, 5), 0), ((3, 5, 5, 2, 2, 72), None)],
)
def test_one_kernel_does_what_many_operations_do(
    device: torch.device,
    shape: tuple[int, ...],
    dim: int | None,
    relu: bool,
    kind: torch.dtype,
) -> None:
    maps = made_up(shape).to(kind)
    blank = torch.arange(shape[-1]).float() % 5 - 2 if relu else None
    expected_in = maps.clone().requires_grad_()
    biases = None if blank is None else blank.clone().requires_grad_()
    expected = pool(expected_in, biases, dim)
    upstream = made_up(expected.shape).to(kind)
    expected.backward(upstream)

    there = None if blank is None else blank.to(device)
    best, choice = fused_pooling.largest(_windows(maps.to(device), dim), there)
    gradient = torch.zeros(shape, dtype=kind, device=device)
    of_blank = fused_pooling.route(upstream.to(device), choice, there, _windows(gradient, dim))
    assert torch.equal(best.cpu(), expected)
    assert expected_in.grad is not None
    assert torch.equal(gradient.cpu(), expected_in.grad)
    if biases is None:
        assert of_blank is None
    else:
        assert biases.grad is not None
        assert of_blank is not None
        assert torch.equal(of_blank.cpu(), biases.grad)


def test_a_number_that_is_not_one_stays_visible(device: torch.device) -> None:
    for corner in range(4):
        windows = torch.zeros(1, 1, 1, 2, 2, 3, device=device)
        windows.view(4, 3)[corner, 1] = torch.nan
        for blank in (None, torch.zeros(3, device=device)):
            assert fused_pooling.largest(windows, blank)[0].isnan().tolist() == [
                [[[False, True, False]]]
            ]
