"""A plot as plotly.js reads it, and what the plots have in common."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Trace = dict[str, Any]
Layout = dict[str, Any]

# The page gives each name its colour, one for light and one for dark: see page.css.
BEST, TRAINED, PRUNED, LINE, BOX = "@best", "@trained", "@pruned", "@line", "@box"
BANDS = ("@band-1", "@band-2", "@band-3")
"""From the best trials to the others."""


@dataclass(frozen=True)
class Plot:
    """A plot with its words; without traces, its ``missing`` is shown in its place.

    Plain dictionaries, as plotly.js takes them: colours are names that the page fills in, which
    plotly's own classes would not let through.
    """

    title: str
    shows: str
    """What there is to see, for those who cannot see it."""
    traces: Sequence[Trace] = ()
    layout: Layout = field(default_factory=dict)
    note: str = ""
    """Under the plot."""
    missing: str = "No trial has been trained to its end yet."
    height: int = 340
    """CSS pixels."""


def short(values: Iterable[float], digits: int = 4) -> list[float | None]:
    """Numbers with a few digits, which keeps the page small; None where there is none."""
    return [
        float(f"{value:.{digits}g}") if value == value and math.isfinite(value) else None
        for value in map(float, values)
    ]


def error_axis() -> Layout:
    """The axis of a one-shot validation error, in percent."""
    return {"title": {"text": "validation error"}, "tickformat": ".0%", "rangemode": "tozero"}


def log_axis(values: Iterable[float | None], form: str) -> Layout:
    """A logarithmic axis: of powers of ten, or of figures where less than two of these fit.

    Args:
        values: what is drawn along it; None and 0 are passed over.
        form: of the figures, as plotly's ``tickformat`` takes it.
    """
    drawn = [value for value in values if value]
    low, high = min(drawn, default=1.0), max(drawn, default=1.0)
    # Plotly draws a decade on both sides of a single value.
    if low == high or high / low >= 100:
        return {"type": "log", "dtick": 1, "exponentformat": "power"}
    return {"type": "log", "tickmode": "array", "tickvals": ticks(low, high), "tickformat": form}


def ticks(low: float, high: float) -> list[float]:
    """At least three figures in a range: 1, 2 and 5 × 10^k, or multiples of one of these.

    Args:
        low: above 0.
        high: above ``low``.
    """
    last = math.floor(math.log10(high))
    figures = [
        float(f"{digit}e{power}")
        for power in range(math.floor(math.log10(low)), last + 1)
        for digit in (1, 2, 5)
    ]
    inside = [figure for figure in figures if low <= figure <= high]
    steps = (float(f"{digit}e{power}") for power in count(last, -1) for digit in (5, 2, 1))
    while len(inside) < 3:
        step = next(steps)
        multiples = range(math.ceil(low / step), math.floor(high / step) + 1)
        inside = [float(f"{n * step:.12g}") for n in multiples]
    return inside


def points(x: Sequence[Any], y: Sequence[Any], **more: Any) -> Trace:
    """A trace of points."""
    return {"type": "scatter", "mode": "markers", "x": x, "y": y, **more}


def lines(x: Sequence[Any], y: Sequence[Any], **more: Any) -> Trace:
    """A trace of lines; None in ``y`` parts one from the next."""
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, **more}
