"""Ends of ranges that the best trials press against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from optuna.distributions import IntDistribution
from scipy.special import bdtrc  # scipy.stats takes a second to import

from hpo.study.space import SearchSpace, place_in_range

ENOUGH = 50
"""Finished trials from which on a bound may be said to bind."""
FEWEST = 10
"""Trials at least that count as the best."""
EDGE = 0.1
"""Of a range, at either end."""
CHANCE = 0.001
"""How seldom as many trials would lie at an end by chance."""

_Trial = TypeVar("_Trial")


@dataclass(frozen=True)
class Binding:
    """A bound that most of the best trials lie at.

    Attributes:
        key: of the bound in the study file, below ``space``, such as ``filters.high``.
        bound: what it is.
        near: how many of the best trials lie near it, by the parameter.
        of: how many best trials there are.
    """

    key: str
    bound: int | float
    near: Mapping[str, int]
    of: int

    def __str__(self) -> str:
        counts = ", ".join(f"{name} in {count}" for name, count in self.near.items())
        return (
            f"{self.key} = {self.bound:g} binds: of the {self.of} best trials, {counts} lie near "
            f"it; `hpo run` with --widen {self.key}=… goes on beyond it"
        )


def best_tenth(trained: Sequence[_Trial], finished: int) -> Sequence[_Trial]:
    """The best tenth of the finished trials, at least `FEWEST`; none before there are `ENOUGH`.

    Args:
        trained: those that were trained to their end, the best first.
        finished: how many there are, the pruned ones included.
    """
    best = trained[: max(FEWEST, finished // 10)]
    return best if finished >= ENOUGH and len(best) >= FEWEST else []


def bindings(space: SearchSpace, best: Sequence[Mapping[str, float]]) -> list[Binding]:
    """The bounds of which at least half of the best trials lie within a tenth of the range.

    Where a range has few values, half of all trials may lie there by chance: that is not said.

    Args:
        space: of the study.
        best: the parameters of the best trials.
    """
    found: dict[str, Binding] = {}
    for name, distribution in space.distributions.items():
        if not best or distribution.single():
            continue
        place = place_in_range(distribution)
        for end, is_near in (("low", _is_low), ("high", _is_high)):
            near = sum(is_near(place(params[name])) for params in best)
            by_chance = EDGE
            if isinstance(distribution, IntDistribution):
                values = range(distribution.low, distribution.high + 1, distribution.step)
                by_chance = sum(is_near(place(value)) for value in values) / len(values)
            p = bdtrc(near - 1, len(best), by_chance)  # as many or more
            if 2 * near >= len(best) and p < CHANCE:
                key = f"{space.ranges[name]}.{end}"
                known = found[key].near if key in found else {}
                bound = getattr(distribution, end)
                found[key] = Binding(key, bound, {**known, name: near}, len(best))
    return list(found.values())


def _is_low(place: float) -> bool:
    return place <= EDGE


def _is_high(place: float) -> bool:
    return place >= 1 - EDGE
