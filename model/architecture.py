"""The network as numbers: its layers, whether they fit the image, their size and cost."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

POOL = 2
"""Side and stride of the max-pooling after every convolution but the last."""

InitialWeights = Literal["paper", "paper-scaled", "he"]
"""What `model.initial_weights` draws."""
Channels = Literal[1, 3]
OutputWeights = Literal["any", "negative"]
"""The signs that the weights of the output layer start with."""


class Frozen(BaseModel):
    """A validated value that never changes and takes no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Convolution(Frozen):
    """A valid convolution of stride 1: ``filters`` maps of ``kernel``×``kernel`` weights."""

    kernel: Annotated[int, Field(ge=1)]
    filters: Annotated[int, Field(ge=1)]


def sides_of(image_size: int, kernels: Sequence[int]) -> list[int]:
    """Side of the map that each convolution sees, and of the one that the last gives.

    From one below 1 on, the map cannot exist.
    """
    sides = [image_size]
    for number, kernel in enumerate(kernels, start=1):
        convolved = sides[-1] - kernel + 1
        sides.append(convolved if number == len(kernels) else convolved // POOL)
    return sides


class Architecture(Frozen):
    """The encoder that both twins share, and its initial weights.

    Convolutions with ReLU, each but the last followed by 2×2 max-pooling, then one fully
    connected layer with sigmoid (Koch et al. 2015, §3.1).
    """

    image_size: Annotated[int, Field(ge=8, le=512)]
    convolutions: Annotated[tuple[Convolution, ...], Field(min_length=1)]
    fc_units: Annotated[int, Field(ge=1)]
    initial_weights: InitialWeights = "paper"
    output_weights: OutputWeights = "any"
    channels: Channels = 1
    """Of an image: 1 is ink on paper, 3 are colours."""
    normalisation: Literal["none", "batch"] = "none"
    """``batch``: batch normalisation (Ioffe and Szegedy 2015) of every convolution's maps, after
    their pooling and before ReLU."""
    framed: bool = False
    """Move and scale every drawing first, so that its ink lies as any other's does: see
    `data.framing`."""
    eight_views: bool = False
    """Answer with the mean score of a pair over its eight turns and mirror images, both pictures
    turned alike: for a network that is trained on turned alphabets. Training is the same."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.framed and self.channels != 1:
            raise ValueError("framed = true is for drawings, which have channels = 1")
        sides = self.sides
        maps = zip(self.convolutions, sides, sides[1:], strict=False)
        for number, (layer, seen, given) in enumerate(maps, start=1):
            if given < 1:
                raise ValueError(
                    f"kernel={layer.kernel} does not fit: layer conv{number} sees "
                    f"a {seen}×{seen} map"
                )
        return self

    @property
    def sides(self) -> list[int]:
        """As `sides_of` gives them."""
        return sides_of(self.image_size, [layer.kernel for layer in self.convolutions])

    @property
    def needed_sides(self) -> list[int]:
        """Side of the part of each map of `sides` that the embedding depends on.

        Pooling leaves out the last row and column of an odd map, and all that only they see.
        """
        needed = [self.sides[-1]]
        for number, layer in reversed(list(enumerate(self.convolutions))):
            pooled = number < len(self.convolutions) - 1
            needed.append(needed[-1] * (POOL if pooled else 1) + layer.kernel - 1)
        return needed[::-1]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that have weights, in order."""
        return layer_names(len(self.convolutions))

    @property
    def features(self) -> int:
        """Inputs of the fully connected layer."""
        return self.convolutions[-1].filters * self.sides[-1] ** 2

    @property
    def weights(self) -> int:
        """Trainable numbers, the biases and the output unit included."""
        channels = [self.channels, *(layer.filters for layer in self.convolutions)]
        free = 2 if self.normalisation == "batch" else 1  # scale and shift, or a bias
        convolutions = sum(
            (inside * layer.kernel**2 + free) * layer.filters
            for inside, layer in zip(channels, self.convolutions, strict=False)
        )
        return convolutions + (self.features + 1) * self.fc_units + self.fc_units + 1

    @property
    def map_numbers(self) -> int:
        """Numbers in all maps of one image, each convolution's before its pooling."""
        return self.channels * self.image_size**2 + sum(
            layer.filters * (side - layer.kernel + 1) ** 2
            for layer, side in zip(self.convolutions, self.sides, strict=False)
        )

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds to encode one image."""
        channels = [self.channels, *(layer.filters for layer in self.convolutions)]
        convolutions = sum(
            inside * layer.kernel**2 * layer.filters * (side - layer.kernel + 1) ** 2
            for inside, layer, side in zip(channels, self.convolutions, self.sides, strict=False)
        )
        return convolutions + self.features * self.fc_units


def layer_names(convolutions: int) -> tuple[str, ...]:
    """Names of the layers of a network with this many convolutions: conv1 … convN, fc, out."""
    return (*(f"conv{i}" for i in range(1, convolutions + 1)), "fc", "out")
