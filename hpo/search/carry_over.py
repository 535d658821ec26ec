"""What a search space can take of another study's configurations, and what it cannot."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from hpo.study.space import Params, SearchSpace, holds


def carry_over(
    configurations: Sequence[Mapping[str, Any]], space: SearchSpace
) -> tuple[list[Params], list[str]]:
    """The parameters that a space has under the same names, where it has their values too.

    Filter sizes are carried over all together or not at all: behind some of them, others may
    never fit. Sizes that are over the limit even beside the smallest of the rest are all left out.

    Args:
        configurations: parameters by name, of trials of one other study.
        space: that takes them.

    Returns:
        What is carried over of each configuration, and a line for each kind of thing that is not.
    """
    carried: list[Params] = []
    values, outside, unfit, over_limit = Counter[str](), Counter[str](), 0, 0
    ranges = {space.ranges[name]: _range(d) for name, d in space.distributions.items()}
    lowest = {name: size.low for name, size in space.sizes.items()}
    for configuration in configurations:
        known = {n: v for n, v in configuration.items() if n in space.distributions}
        params = {n: v for n, v in known.items() if holds(space.distributions[n], v)}
        values.update(space.ranges[name] for name in known)
        outside.update(space.ranges[name] for name in known if name not in params)
        if not space.kernels_stand(params):
            unfit += 1
            params = _without(params, space.kernels)
        if not space.affordable({**lowest, **params}):
            over_limit += 1
            params = _without(params, space.sizes)
        carried.append(params)
    lines = _layer_lines(configurations, space)
    for kind, count in outside.items():
        share = f"{count} of {values[kind]} values"
        lines.append(f"{kind}: {share} are outside {ranges[kind]}, left to the sampler")
    settings, count = space.settings, len(configurations)
    if unfit:
        side, depth = settings.network.image_size, len(space.kernels)
        lines.append(
            f"kernel: those of {unfit} of {count} configurations do not fit the {side}×{side} "
            f"image as {depth} layers, left to the sampler"
        )
    if over_limit:
        lines.append(
            f"kernel, filters, fc_units: those of {over_limit} of {count} configurations take "
            f"more than {settings.space.multiply_adds:g} multiply-adds, left to the sampler"
        )
    return carried, lines


def _range(distribution: BaseDistribution) -> str:
    match distribution:
        case IntDistribution(low=low, high=high, step=step) if step > 1:
            return f"{low} to {high} in steps of {step}"
        case IntDistribution(low=low, high=high) | FloatDistribution(low=low, high=high):
            return f"{low:g} to {high:g}"
    raise TypeError(f"no range of {distribution}")


def _without(params: Params, names: Iterable[str]) -> Params:
    left_out = set(names)
    return {name: value for name, value in params.items() if name not in left_out}


def _layer_lines(configurations: Sequence[Mapping[str, Any]], space: SearchSpace) -> list[str]:
    """The layers that only one of the two studies has."""
    theirs = _layers(name for configuration in configurations for name in configuration)
    ours = _layers(space.distributions)
    return [
        *(f"{layer}: not in this study, left out" for layer in theirs if layer not in ours),
        *(f"{layer}: not there, left to the sampler" for layer in ours if layer not in theirs),
    ]


def _layers(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.partition("_")[0] for name in names))
