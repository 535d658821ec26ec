"""`SiameseNetwork.encode` in the form that a device is fast in: the same function of the images."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from model.fast import blank_paper
from model.fast.device import dtype_of
from model.fast.pooling import first_layer, pool
from model.fast.spectral import spectral_convolution, spectral_layers
from model.recipe import Precision
from model.siamese import Encode, SiameseNetwork, in_all_views


def encoder(network: SiameseNetwork, precision: Precision) -> Encode:
    """The fast encoder of a network on its device."""
    device = next(network.parameters()).device
    kind = dtype_of(precision)
    layers = network.architecture.convolutions
    if len(layers) > 1:
        spectral = spectral_layers(network.architecture) if device.type == "cpu" else frozenset()
        return partial(_encode, network, kind, spectral)
    if layers[0].kernel == network.architecture.image_size:
        return partial(_encode_densely, network, kind)
    return partial(_encode_with_one_convolution, network, kind)


def answering_encoder(network: SiameseNetwork, precision: Precision) -> Encode:
    """The same of a trained network, in all views in which it compares; sets it to ``eval``."""
    return in_all_views(encoder(network.eval(), precision), network.architecture)


def _encode_with_one_convolution(
    network: SiameseNetwork, kind: torch.dtype, images: Tensor
) -> Tensor:
    layer = network.layer("conv1")
    images = network.seen(images).to(kind, memory_format=torch.channels_last)
    maps = functional.conv2d(images, layer.weight.to(kind)).permute(0, 2, 3, 1)
    blank = blank_paper.response(layer, None)
    maps = _activated(network, "conv1", maps, blank).permute(0, 3, 1, 2)
    return _embeddings(network, maps.flatten(1), blank)


def _encode(
    network: SiameseNetwork, kind: torch.dtype, spectral: frozenset[str], images: Tensor
) -> Tensor:
    first, *others = network.architecture.layers[:-2]
    images = network.seen(images).to(kind)
    blank = blank_paper.response(network.layer(first), None)
    maps = first_layer(images, network.layer(first).weight.to(kind), blank)
    maps, rows_first = _normalised(network, first, maps), maps.device.type == "cpu"
    for name in others:
        weight = network.layer(name).weight.to(kind)
        blank = blank_paper.response(network.layer(name), blank)
        if name in spectral:
            maps = maps if rows_first else maps.permute(1, 2, 0, 3)
            maps, rows_first = spectral_convolution(maps, weight), True
        else:
            if rows_first:
                maps = maps.permute(2, 0, 1, 3).contiguous()
            maps = functional.conv2d(maps.permute(0, 3, 1, 2), weight)
            maps, rows_first = maps.permute(0, 2, 3, 1), False
        if name == others[-1]:
            maps = _activated(network, name, maps, blank)
        else:
            maps = _normalised(network, name, pool(maps, blank, dim=0 if rows_first else 1))
    order = (2, 3, 0, 1) if rows_first else (0, 3, 1, 2)
    return _embeddings(network, maps.permute(order).flatten(1), blank)


def _encode_densely(network: SiameseNetwork, kind: torch.dtype, images: Tensor) -> Tensor:
    """One kernel over the whole image is a matrix product, which PyTorch's convolution is not."""
    layer = network.layer("conv1")
    units = functional.linear(
        network.seen(images).flatten(1).to(kind), layer.weight.flatten(1).to(kind)
    )
    blank = blank_paper.response(layer, None)
    return _embeddings(network, _activated(network, "conv1", units, blank), blank)


def _activated(network: SiameseNetwork, name: str, maps: Tensor, blank: Tensor | None) -> Tensor:
    """Maps with their channels last, ahead of the normalisation or ReLU, after both."""
    if blank is None:
        return _normalised(network, name, maps)
    return blank_paper.relu(maps, blank)


def _normalised(network: SiameseNetwork, name: str, maps: Tensor) -> Tensor:
    """Maps with their channels last, normalised and through ReLU where the network does so."""
    if name not in network.norms:
        return maps
    normalised = network.norms[name](maps.reshape(-1, maps.shape[-1]))
    return functional.relu(normalised, inplace=True).view(maps.shape)


def _embeddings(network: SiameseNetwork, features: Tensor, blank: Tensor | None) -> Tensor:
    return torch.sigmoid(blank_paper.units(network.layer("fc"), features, blank))
