"""The weights that a network starts with."""

import math

from torch import Generator, nn

from model.architecture import Architecture

Layer = nn.Conv2d | nn.Linear

CONVOLUTION, CONNECTED, BIAS = 0.01, 0.2, 0.01
"""Standard deviations of the paper's weights, and of its biases (Koch et al. 2015, §3.2)."""
BIAS_MEAN = 0.5
PUBLISHED_INPUTS = {"conv1": 100, "conv2": 3136, "conv3": 2048, "fc": 9216, "out": 4096}
"""Inputs of one unit of each layer of the paper's best network; those of conv4 are conv3's."""


def initialise(name: str, layer: Layer, architecture: Architecture, generator: Generator) -> None:
    """Draw the weights of a layer as the architecture asks.

    ``paper``: N(0, 0.01) for convolutions, N(0, 0.2) for fully connected layers, N(0.5, 0.01) for
    biases (Koch et al. 2015, §3.2).

    ``paper-scaled``: the same, the weights times the square root of how many times as many inputs
    the layer has in the paper's best network. Sums then have the spread that they have there,
    which the paper's own numbers do not give a smaller network.

    ``he``: He et al. 2015 before a ReLU; half that variance before a sigmoid; biases zero.

    With ``output_weights = "negative"`` the weights of the output layer are all made negative: the
    score starts as a distance taken negatively, where half of the paper's weights call what differs
    more alike.
    """
    inputs = layer.weight[0].numel()
    convolution, he = isinstance(layer, nn.Conv2d), architecture.initial_weights == "he"
    if he:
        spread = math.sqrt((2 if convolution else 1) / inputs)
    else:
        spread = CONVOLUTION if convolution else CONNECTED
    if architecture.initial_weights == "paper-scaled":
        published = PUBLISHED_INPUTS.get(name, PUBLISHED_INPUTS["conv3"])
        spread *= math.sqrt(published / inputs)
    nn.init.normal_(layer.weight, 0.0, spread, generator=generator)
    if name == "out" and architecture.output_weights == "negative":
        layer.weight.abs_().neg_()
    if layer.bias is None:
        return
    if he:
        nn.init.zeros_(layer.bias)
    else:
        nn.init.normal_(layer.bias, BIAS_MEAN, BIAS, generator=generator)
