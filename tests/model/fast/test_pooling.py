import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.fast import pooling
from model.fast.pooling import BLOCK, first_layer, pool


def check_gradients(
    found: Tensor, expected: Tensor, inputs: tuple[Tensor, ...], chance: torch.Generator
) -> None:
    upstream = torch.randint(-3, 4, found.shape, generator=chance).float()
    gradients = (torch.autograd.grad(output, inputs, upstream) for output in (found, expected))
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


def activated(pooled: Tensor, bias: Tensor | None) -> Tensor:
    """(…, C): as stated, what ink adds after the ReLU."""
    return pooled if bias is None else torch.relu(pooled + bias) - torch.relu(bias)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("side", [2, 3, 8, 9])
def test_pooling_is_pool_and_relu_less_blank_paper(dim: int, side: int, relu: bool) -> None:
    chance = torch.Generator().manual_seed(side)
    shape = [3, 3, 5]
    shape[dim:dim] = [side, side]
    # Small whole numbers: sums are exact, and many corners tie.
    maps = torch.randint(-3, 4, shape[:4], generator=chance).float().requires_grad_()
    bias = torch.tensor([-2.0, 0, 1], requires_grad=True) if relu else None
    found = pool(maps, bias, dim)
    order = (2, 3, 0, 1) if dim == 0 else (0, 3, 1, 2)
    pooled = functional.max_pool2d(maps.permute(order), 2)
    expected = activated(pooled.permute([order.index(axis) for axis in range(4)]), bias)
    assert torch.equal(found, expected)
    check_gradients(found, expected, (maps,) if bias is None else (maps, bias), chance)


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    ("side", "kernel", "channels"), [(10, 3, 1), (11, 3, 3), (9, 8, 1), (12, 11, 1), (12, 5, 3)]
)
def test_the_first_layer_is_convolution_pool_and_relu(
    side: int, kernel: int, channels: int, relu: bool, on_gpu: bool
) -> None:
    chance = torch.Generator().manual_seed(side)
    images = torch.randint(0, 2, (BLOCK + 3, channels, side, side), generator=chance).float()
    weight = torch.randint(-3, 4, (4, channels, kernel, kernel), generator=chance).float()
    weight.requires_grad_()
    bias = torch.tensor([-2.0, 0, 1, 2], requires_grad=True) if relu else None
    if on_gpu:
        maps = pooling._first_layer_on_gpu(images, weight, bias)
        found = maps.permute(0, 3, 1, 2)
    else:
        found = first_layer(images, weight, bias).permute(2, 3, 0, 1)
    pooled = functional.max_pool2d(functional.conv2d(images, weight), 2)
    expected = activated(pooled.movedim(1, -1), bias).movedim(-1, 1)
    assert torch.equal(found, expected)
    check_gradients(found, expected, (weight,) if bias is None else (weight, bias), chance)


def test_a_number_that_is_not_one_stays_visible() -> None:
    maps = torch.zeros(4, 4, 1, 1)
    maps[1, 1] = torch.nan
    assert pool(maps, torch.zeros(1), 0).isnan().any()


def test_where_triton_does_not_run_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "model.fast.fused_pooling", None)
    assert pooling._fused.__wrapped__(torch.device("cuda")) is None
    assert "Triton does not run here" in caplog.text
