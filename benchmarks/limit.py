"""What the device's own arithmetic and memory leave as the shortest step."""

from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.networks import PAIRS, configurations
from benchmarks.stopwatch import Row, seconds, steps_seconds
from benchmarks.throughput import Setting, make_trainer
from model.architecture import Architecture
from model.fast.device import Precision

COPY = 2**28  # bytes that are copied to see how fast memory is
VISITS = 6
"""Times that training must touch each convolution's map: write, pool; and the same backward."""
UPDATES = 5
"""Times that training must touch each weight: gradient written and read, velocity and weight."""


def limit(setting: Setting) -> list[Row]:
    """A step of each network against the sum of its convolutions, products and memory traffic."""
    rows = []
    for name, configuration in configurations().items():
        network = configuration.network
        if name == "large" and setting.device.type == "cpu":
            continue
        setting.say(f"limit, {name}")
        trainer = make_trainer(setting, configuration)
        count = 1 if setting.device.type == "cpu" and network.multiply_adds > 1e8 else 10
        step = median(
            steps_seconds(setting.device, trainer.steps(0), count) for _ in range(setting.rounds)
        )
        arithmetic = _arithmetic(network, trainer.precision, setting)
        width = 2 if trainer.precision == "bf16" else 4
        moved = 2 * PAIRS * network.map_numbers * width * VISITS + 4 * network.weights * UPDATES
        traffic = moved / _bandwidth(setting)
        rows.append(
            {
                "network": name,
                "step, ms": step * 1e3,
                "convolutions and products alone, ms": arithmetic * 1e3,
                "memory traffic, ms": traffic * 1e3,
                "share of the limit": (arithmetic + traffic) / step,
            }
        )
    return rows


def _arithmetic(network: Architecture, precision: Precision, setting: Setting) -> float:
    """Seconds of the direct convolutions and the products, forward and backward."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    images, total, inside = 2 * PAIRS, 0.0, 1

    def made(*shape: int) -> Tensor:
        tensor = torch.randn(*shape, device=setting.device, dtype=kind)
        if len(shape) == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor.requires_grad_()

    def both_ways(
        layer: Callable[..., Tensor], one: Tensor, other: Tensor, wanted: tuple[Tensor, ...]
    ) -> None:
        output = layer(one, other)
        torch.autograd.grad(output, wanted, torch.ones_like(output))

    for number, layer in enumerate(network.convolutions):
        side = network.needed_sides[number]
        maps = made(images, inside, side, side)
        weight = made(layer.filters, inside, layer.kernel, layer.kernel)
        wanted = (maps, weight) if number else (weight,)
        convolve = partial(both_ways, functional.conv2d, maps, weight, wanted)
        total += seconds(setting.device, convolve, setting.rounds)
        inside = layer.filters
    features, weight = made(images, network.features), made(network.fc_units, network.features)
    multiply = partial(both_ways, functional.linear, features, weight, (features, weight))
    return total + seconds(setting.device, multiply, setting.rounds)


def _bandwidth(setting: Setting) -> float:
    """Bytes a second, read and written."""
    source = torch.zeros(COPY, dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    return 2 * COPY / seconds(setting.device, lambda: target.copy_(source), setting.rounds)
