"""The twin network of Koch et al. 2015, §3.1."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from data.framing import framed
from model.architecture import POOL, Architecture
from model.initial_weights import Layer, initialise

Encode = Callable[[Tensor], Tensor]
"""(N, K, S, S) float images in [0, 1] to (N, F) float32 embeddings."""
TURNS = tuple((mirrored, quarters) for mirrored in (False, True) for quarters in range(4))
"""Of a picture: whether it is mirrored, and by how many quarters it is turned."""


class SiameseNetwork(nn.Module):
    """One encoder for both twins and a linear score of their component-wise distance."""

    def __init__(self, architecture: Architecture, generator: Generator) -> None:
        """Build the network with initial weights drawn from ``generator`` (a CPU one)."""
        super().__init__()
        self.architecture = architecture
        channels = [architecture.channels, *(c.filters for c in architecture.convolutions)]
        batch = architecture.normalisation == "batch"
        modules: dict[str, nn.Module] = {
            name: nn.Conv2d(inside, layer.filters, layer.kernel, bias=not batch)
            for name, inside, layer in zip(
                architecture.layers, channels, architecture.convolutions, strict=False
            )
        }
        modules["fc"] = nn.Linear(architecture.features, architecture.fc_units)
        modules["out"] = nn.Linear(architecture.fc_units, 1)
        self.layers = nn.ModuleDict(modules)  # by name, in the order of Architecture.layers
        self.norms = nn.ModuleDict(
            {
                name: nn.BatchNorm1d(layer.filters)
                for name, layer in zip(architecture.layers, architecture.convolutions, strict=False)
                if batch
            }
        )
        with torch.no_grad():
            for name in architecture.layers:
                initialise(name, self.layer(name), architecture, generator)

    def layer(self, name: str) -> Layer:
        """The layer ``conv1`` … ``convN``, ``fc`` or ``out``."""
        return cast(Layer, self.layers[name])

    def encode(self, images: Tensor) -> Tensor:
        """Embed images.

        Args:
            images: (N, K, S, S) float in [0, 1], as `data.drawings.as_input` makes them.

        Returns:
            (N, F) in [0, 1].
        """
        convolutions = self.architecture.layers[:-2]
        maps = self.seen(images)
        for name in convolutions:
            maps = self.layer(name)(maps)
            if name != convolutions[-1]:
                # max-pooling before ReLU: the same function as after it, on a quarter of the map
                maps = functional.max_pool2d(maps, POOL)
            if name in self.norms:
                maps = self.norms[name](maps.flatten(2)).view_as(maps)
            maps = functional.relu(maps, inplace=True)
        return torch.sigmoid(self.layer("fc")(maps.flatten(1)))

    def seen(self, images: Tensor) -> Tensor:
        """The images, (N, K, S, S), as the first layer sees them.

        They are framed if the architecture says so, and without what the embedding does not
        depend on.
        """
        needed = self.architecture.needed_sides[0]
        whole = framed(images) if self.architecture.framed else images
        return whole[..., :needed, :needed]

    def score(self, first: Tensor, second: Tensor) -> Tensor:
        """The logit of "same character" for N pairs.

        Args:
            first, second: (N, F), from `encode`; or (N, V·F), the embeddings of V views of each
                picture next to each other, whose mean score is taken.

        Returns:
            (N,) logits.
        """
        views = (first - second).abs().unflatten(1, (-1, self.architecture.fc_units))
        logits: Tensor = self.layer("out")(views.mean(dim=1))
        return logits.squeeze(1)

    def score_all(self, first: Tensor, second: Tensor) -> Tensor:
        """The logit of "same character" for every pair of a first with a second embedding.

        The weighted distance Σ w·|a − b| is the L1 distance of the embeddings scaled by the
        positive weights less that of those scaled by the negative ones; the forward pass makes no
        tensor of N × M × F numbers.

        Args:
            first: (…, N, F) or (…, N, V·F), as `score` takes them.
            second: (…, M, F) or (…, M, V·F), likewise.

        Returns:
            (…, N, M) float32 logits.
        """
        out = self.layer("out")
        first, second = first.float(), second.float()
        views = first.shape[-1] // self.architecture.fc_units
        weight = out.weight.float().repeat(1, views) / views
        nearer, farther = weight.clamp(min=0), (-weight).clamp(min=0)
        return (
            torch.cdist(first * nearer, second * nearer, p=1.0)
            - torch.cdist(first * farther, second * farther, p=1.0)
            + bias_of(out).float()
        )


def shapes_of(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's weights by their names; no network is built for it."""
    with torch.device("meta"):
        network = SiameseNetwork(architecture, Generator(device="cpu"))
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def bias_of(layer: Layer) -> Tensor:
    """The biases of a layer; zeros where a normalisation has them instead."""
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias


def in_all_views(encode: Encode, architecture: Architecture) -> Encode:
    """How the pictures to compare are embedded: in one view, or in eight.

    Returns:
        An encoder to (N, 8·F), the views of a picture next to each other, of which
        `SiameseNetwork.score` gives the mean score; or the same one, for any other network.
    """
    if not architecture.eight_views:
        return encode
    return lambda images: torch.cat([encode(_turned(images, *turn)) for turn in TURNS], dim=1)


def _turned(images: Tensor, mirrored: bool, quarters: int) -> Tensor:
    seen = images.flip(-1) if mirrored else images
    return seen.rot90(quarters, (-2, -1)).contiguous()
