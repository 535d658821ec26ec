"""The search space: study file → Optuna's distributions → configuration, and back."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from hpo.study.checked import readable
from hpo.study.settings import (
    MULTIPLE,
    RATES,
    FloatRange,
    IntRange,
    Multiples,
    SettingsError,
    StudySettings,
)
from model.architecture import Architecture, Convolution, layer_names, sides_of
from model.configuration import Configuration
from model.recipe import LayerRates, Training

Params = dict[str, int | float]
"""Parameters of one trial by name: ``conv1_kernel``, …, ``fc_units``, …, ``out_l2``."""


class SearchSpace:
    """The paper's space over the ranges of a study.

    The distributions are static: what the dashboard, importances and samplers see is the whole
    space, although not every kernel fits behind every other. `fits` tells which do.

    Attributes:
        distributions: by parameter name, in the order in which they are suggested.
        kernels: names of the filter-size parameters, first layer first.
        ranges: by parameter name, the key of its range in the study file, below ``space``.
        sizes: the distributions of all that makes a network larger: kernels, filters, units.
    """

    def __init__(self, settings: StudySettings) -> None:
        self.settings = settings
        ranges, depth = settings.space, settings.network.convolutions
        self.kernels = [f"conv{i}_kernel" for i in range(1, depth + 1)]
        self.ranges: dict[str, str] = {}
        for i in range(1, depth + 1):
            self.ranges |= {f"conv{i}_{size}": size for size in ("kernel", "filters")}
        self.ranges["fc_units"] = "fc_units"
        for layer in layer_names(depth):
            self.ranges |= {f"{layer}_{rate}": rate for rate in RATES}
        self.distributions = {n: _over(getattr(ranges, key)) for n, key in self.ranges.items()}
        self.sizes = {n: d for n, d in self.distributions.items() if isinstance(d, IntDistribution)}

    def fits(self, kernels: Sequence[int]) -> bool:
        """Whether convolutions with these filter sizes, first layer first, fit the image."""
        return min(sides_of(self.settings.network.image_size, kernels)) >= 1

    def kernels_stand(self, params: Mapping[str, Any]) -> bool:
        """Whether these give no layer a filter size, or every layer one, which fit the image."""
        given = [int(params[k]) for k in self.kernels if k in params]
        return not given or (len(given) == len(self.kernels) and self.fits(given))

    def affordable(self, params: Mapping[str, Any]) -> bool:
        """Whether a network that can be built takes no more multiply-adds than the study allows."""
        limit = self.settings.space.multiply_adds
        return limit is None or self.architecture(params).multiply_adds <= limit

    def can_be_built(self, params: Mapping[str, Any]) -> bool:
        """Whether there is such a network, and it takes no more than the study allows."""
        return self.fits([int(params[k]) for k in self.kernels]) and self.affordable(params)

    def suggest(self, trial: optuna.Trial) -> Params:
        """Ask the trial for every parameter, under the static distributions."""
        params: Params = {}
        for name, distribution in self.distributions.items():
            match distribution:
                case IntDistribution(low=low, high=high, step=step):
                    params[name] = trial.suggest_int(name, low, high, step=step)
                case FloatDistribution(low=low, high=high, log=log):
                    params[name] = trial.suggest_float(name, low, high, log=log)
        return params

    def draw(self, chance: np.random.Generator) -> Params:
        """One set of parameters, uniform among those that can be built (by rejection)."""
        while True:
            params = {name: _draw(d, chance) for name, d in self.distributions.items()}
            if self.can_be_built(params):
                return params

    def architecture(self, params: Mapping[str, Any]) -> Architecture:
        """The network that these parameters stand for; the rates may be left out."""
        network = self.settings.network
        layers = [
            Convolution(kernel=params[f"conv{i}_kernel"], filters=params[f"conv{i}_filters"])
            for i in range(1, network.convolutions + 1)
        ]
        return network.architecture(layers, params["fc_units"])

    def configuration(
        self, params: Mapping[str, Any], seed: int, training: Training | None = None
    ) -> Configuration:
        """The configuration that these parameters stand for.

        Args:
            params: one for each distribution.
            seed: of the initial weights and the order of the batches.
            training: another recipe than the study's.

        Raises:
            BrokenStudy: no network can be made of them.
        """
        with readable("the parameters of a trial"):
            return Configuration(
                seed=seed,
                data=self.settings.data,
                network=self.architecture(params),
                rates={
                    layer: LayerRates(**{rate: params[f"{layer}_{rate}"] for rate in RATES})
                    for layer in layer_names(self.settings.network.convolutions)
                },
                training=training or self.settings.training,
            )

    def checked_first(self) -> list[Params]:
        """The study's first trials, checked: Optuna itself would take any value.

        Raises:
            SettingsError: an unknown parameter, a value outside its range, or kernels that do
                not fit or of which only some are given.
        """
        for number, params in enumerate(self.settings.search.first, start=1):
            where = f"search.first, trial {number}"
            for name, value in params.items():
                distribution = self.distributions.get(name)
                if distribution is None:
                    raise SettingsError(f"{where}: there is no parameter {name}: correct its name")
                if not holds(distribution, value):
                    raise SettingsError(
                        f"{where}: {name} = {value} is not in its range: correct one of the two"
                    )
            if not self.kernels_stand(params):
                given = [int(params[k]) for k in self.kernels if k in params]
                raise SettingsError(
                    f"{where}: the kernels {given} do not fit the image as "
                    f"{len(self.kernels)} layers: give one for every layer, or smaller ones"
                )
        return [dict(params) for params in self.settings.search.first]


def _over(limits: IntRange | FloatRange) -> BaseDistribution:
    if isinstance(limits, FloatRange):
        return FloatDistribution(limits.low, limits.high, log=limits.log)
    step = MULTIPLE if isinstance(limits, Multiples) else 1
    return IntDistribution(limits.low, limits.high, step=step)


def place_in_range(distribution: BaseDistribution) -> Callable[[float], float]:
    """A function from a value to its place in the parameter's range, from 0 to 1.

    By its logarithm where that is searched; in a range of one value it is in the middle.
    """
    low, high = float(distribution.low), float(distribution.high)  # type: ignore[attr-defined]
    log = getattr(distribution, "log", False)

    def place(value: float) -> float:
        if high == low:
            return 0.5
        if log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    return place


def value_at(distribution: BaseDistribution) -> Callable[[float], int | float]:
    """A function from a place in the parameter's range to the value, `place_in_range` inverted."""

    def value(place: float) -> int | float:
        match distribution:
            case IntDistribution(low=low, high=high, step=step):
                return int(low + step * round(place * ((high - low) // step)))
            case FloatDistribution(low=low, high=high, log=log):
                there = low * (high / low) ** place if log else low + place * (high - low)
                return float(min(max(there, low), high))
        raise TypeError(f"no value of {distribution}")

    return value


def holds(distribution: BaseDistribution, value: float) -> bool:
    """Whether a value is in the range of a parameter, and on its step."""
    match distribution:
        case IntDistribution(low=low, high=high, step=step):
            return low <= value <= high and (value - low) % step == 0
        case FloatDistribution(low=low, high=high):
            return low <= value <= high
    return False


def _draw(distribution: BaseDistribution, chance: np.random.Generator) -> int | float:
    match distribution:
        case IntDistribution(low=low, high=high, step=step):
            return int(low + step * chance.integers((high - low) // step + 1))
        case FloatDistribution(low=low, high=high, log=True):
            drawn = math.exp(chance.uniform(math.log(low), math.log(high)))
            return min(max(drawn, low), high)
        case FloatDistribution(low=low, high=high):
            return float(chance.uniform(low, high))
    raise TypeError(f"no draw from {distribution}")
