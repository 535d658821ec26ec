import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.architecture import Architecture, Convolution
from model.fast.spectral import spectral_convolution, spectral_layers


def relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).detach().abs().max() / exact.detach().abs().max())


@pytest.mark.parametrize(
    ("side", "kernel"), [(48, 7), (21, 4), (13, 6), (12, 3), (9, 9), (5, 1), (2, 2), (1, 1)]
)
def test_it_is_the_direct_convolution_and_so_are_its_gradients(side: int, kernel: int) -> None:
    chance = torch.Generator().manual_seed(side)
    maps = torch.randn(side, side, 3, 5, generator=chance).requires_grad_()
    weight = torch.randn(6, 5, kernel, kernel, generator=chance).requires_grad_()
    found = spectral_convolution(maps, weight)
    upstream = torch.randn(found.shape, generator=chance)
    gradients = torch.autograd.grad(found, (maps, weight), upstream)

    wide = maps.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    exact = functional.conv2d(wide[0].permute(2, 3, 0, 1), wide[1]).permute(2, 3, 0, 1)
    expected = torch.autograd.grad(exact, wide, upstream.double())
    assert found.shape == exact.shape
    assert relative(found, exact) < 2e-6
    for one, other in zip(gradients, expected, strict=True):
        assert relative(one, other) < 2e-6


def test_it_is_taken_where_it_saves_multiply_adds() -> None:
    def layers(size: int, *convolutions: tuple[int, int]) -> Architecture:
        made = tuple(Convolution(kernel=k, filters=f) for k, f in convolutions)
        return Architecture(image_size=size, convolutions=made, fc_units=16)

    published = layers(105, (10, 64), (7, 128), (4, 128), (4, 256))
    assert spectral_layers(published) == {"conv2", "conv3", "conv4"}
    assert spectral_layers(layers(35, (5, 32), (3, 64), (3, 64))) == set()
    assert spectral_layers(layers(105, (20, 64))) == set()
