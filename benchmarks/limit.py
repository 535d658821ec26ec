"""What the device's own arithmetic and memory leave as the shortest step.

Two limits: the *floor*, all multiply-adds at the rate of a large matrix product; and what the
library's own convolutions and products take one by one, with the memory traffic around them.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.networks import PAIRS, configurations
from benchmarks.stopwatch import Row, seconds, steps_seconds
from benchmarks.throughput import Setting, make_trainer, steps_timed
from model.architecture import Architecture
from model.fast.device import dtype_of

COPY = {"cpu": 2**28, "cuda": 2**31}  # bytes that are copied to see how fast memory is
PRODUCT = {"cpu": 2048, "cuda": 8192}  # side of the matrices that are multiplied
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
        count = steps_timed(network, setting.device)
        step = median(
            steps_seconds(setting.device, trainer.steps(0), count) for _ in range(setting.rounds)
        )
        kind = dtype_of(trainer.precision)
        arithmetic = _arithmetic(network, kind, setting)
        moved = 2 * PAIRS * network.map_numbers * kind.itemsize * VISITS
        bandwidth, rate = _bandwidth(setting), _product_rate(kind, setting)
        traffic = (moved + 4 * network.weights * UPDATES) / bandwidth
        floor = 2 * _multiply_adds(network) / rate
        rows.append(
            {
                "network": name,
                "step, ms": step * 1e3,
                "pairs/s": PAIRS / step,
                "matrix product, TFLOP/s": rate / 1e12,
                "copy, GB/s": bandwidth / 1e9,
                "floor, ms": floor * 1e3,
                "share of the floor": floor / step,
                "convolutions and products alone, ms": arithmetic * 1e3,
                "memory traffic, ms": traffic * 1e3,
                "share of the limit": (arithmetic + traffic) / step,
            }
        )
        del trainer
    return rows


def _multiply_adds(network: Architecture) -> int:
    """Of a step: forward, the weights' gradient and the maps', which the images have none of."""
    first, side = network.convolutions[0], network.image_size
    of_images = first.kernel**2 * first.filters * (side - first.kernel + 1) ** 2
    return 2 * PAIRS * (3 * network.multiply_adds - of_images)


def _arithmetic(network: Architecture, kind: torch.dtype, setting: Setting) -> float:
    """Seconds of the direct convolutions and the products, forward and backward."""
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
        torch.autograd.grad(output, wanted, torch.randn_like(output))

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
    """Bytes a second, read and written; of random data, as zeros are quicker on some devices."""
    count = COPY[setting.device.type]
    source = torch.randint(0, 255, (count,), dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    return 2 * count / seconds(setting.device, lambda: target.copy_(source), setting.rounds)


def _product_rate(kind: torch.dtype, setting: Setting) -> float:
    """Floating-point operations a second, two for a multiply-add, of a large random product."""
    side = PRODUCT[setting.device.type]
    one, other = (torch.randn(side, side, dtype=kind, device=setting.device) for _ in range(2))
    return 2 * side**3 / seconds(setting.device, lambda: one @ other, setting.rounds)
