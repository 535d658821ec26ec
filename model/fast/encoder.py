"""`SiameseNetwork.encode` in the form that a device is fast in: the same function of the images."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from model.fast.device import Precision
from model.fast.pooling import first_layer, pool
from model.fast.spectral import spectral_convolution, spectral_layers
from model.siamese import SiameseNetwork, bias_of

Encode = Callable[[Tensor], Tensor]
"""(N, 1, S, S) float images in [0, 1] to (N, F) embeddings."""


def encoder(network: SiameseNetwork, precision: Precision) -> Encode:
    """The fast encoder of a network on its device."""
    device = next(network.parameters()).device
    layers = network.architecture.convolutions
    if device.type == "cpu" and len(layers) > 1:
        return partial(_encode_on_cpu, network, precision, spectral_layers(network.architecture))
    if device.type == "cpu" and layers[0].kernel == network.architecture.image_size:
        return partial(_encode_densely, network, precision)
    return partial(_encode_channels_last, network, precision)


def _encode_channels_last(network: SiameseNetwork, precision: Precision, images: Tensor) -> Tensor:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        return network.encode(images.contiguous(memory_format=torch.channels_last))


def _encode_on_cpu(
    network: SiameseNetwork, precision: Precision, spectral: frozenset[str], images: Tensor
) -> Tensor:
    first, *others = network.architecture.layers[:-2]
    plain = not network.norms
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    images = network.cropped(images).to(kind)
    maps = first_layer(images, *_parameters(network, first, kind), relu=plain)  # (H, W, N, C)
    maps, rows_first = _normalised(network, first, maps), True
    for name in others:
        weight, bias = _parameters(network, name, kind)
        if name in spectral:
            maps = maps if rows_first else maps.permute(1, 2, 0, 3)
            maps, rows_first = spectral_convolution(maps, weight), True
        else:
            if rows_first:
                maps = maps.permute(2, 0, 1, 3).contiguous()
            maps = functional.conv2d(maps.permute(0, 3, 1, 2), weight)
            maps, rows_first = maps.permute(0, 2, 3, 1), False
        if name == others[-1]:
            maps = maps + bias
            maps = functional.relu(maps) if plain else maps
        else:
            maps = pool(maps, bias, dim=0 if rows_first else 1, relu=plain)
        maps = _normalised(network, name, maps)
    order = (2, 3, 0, 1) if rows_first else (0, 3, 1, 2)
    features = maps.permute(order).flatten(1)
    return torch.sigmoid(functional.linear(features, *_parameters(network, "fc", kind)))


def _parameters(network: SiameseNetwork, name: str, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights and biases of a layer as its arithmetic takes them."""
    layer = network.layer(name)
    return layer.weight.to(kind), bias_of(layer).to(kind)


def _encode_densely(network: SiameseNetwork, precision: Precision, images: Tensor) -> Tensor:
    """One kernel over the whole image is a matrix product, which PyTorch's convolution is not."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    weight, bias = _parameters(network, "conv1", kind)
    units = functional.linear(images.flatten(1).to(kind), weight.flatten(1), bias)
    units = _normalised(network, "conv1", units) if network.norms else functional.relu(units)
    return torch.sigmoid(functional.linear(units, *_parameters(network, "fc", kind)))


def _normalised(network: SiameseNetwork, name: str, maps: Tensor) -> Tensor:
    """Maps with their channels last, normalised and through ReLU where the network does so."""
    if name not in network.norms:
        return maps
    normalised = network.norms[name](maps.reshape(-1, maps.shape[-1]))
    return functional.relu(normalised, inplace=True).view(maps.shape)
