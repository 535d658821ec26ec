"""How the search went: the error over time and over compute, the curves, what was cut."""

from collections.abc import Sequence

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from hpo.report.plot import (
    BEST,
    LINE,
    PRUNED,
    TRAINED,
    Plot,
    Trace,
    error_axis,
    lines,
    points,
    short,
)
from hpo.report.table import trained
from hpo.study.trials import finite_errors, record

CURVE_POINTS = 30_000  # in all learning curves together: a page of some megabytes stays quick
UNITS = (("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400))


def error_over_time(table: pd.DataFrame) -> Plot:
    """The best error against the time since the first trial began."""
    ended = table.dropna(subset=["started", "ended"])
    hours = (ended["ended"] - table["started"].min()).dt.total_seconds()
    unit, seconds = _unit(float(hours.max()) if len(hours) else 0.0)
    return _error_over(
        ended.assign(at=hours / seconds),
        "Best error over time",
        f"{unit} since the first trial began",
    )


def error_over_compute(table: pd.DataFrame) -> Plot:
    """The best error against the multiply-adds that all trials had spent by then.

    Args:
        table: of the trials.
    """
    ended = table.dropna(subset=["ended", "multiply_adds_spent"]).sort_values("ended")
    plot = _error_over(
        ended.assign(at=ended["multiply_adds_spent"].cumsum()),
        "Best error over compute",
        "multiply-adds spent",
        "Multiply-adds of the forward passes over the training images; the backward passes cost "
        "about twice as much again.",
    )
    plot.layout.setdefault("xaxis", {})["exponentformat"] = "power"
    return plot


def _error_over(ended: pd.DataFrame, title: str, x_title: str, note: str = "") -> Plot:
    ranked = trained(ended)
    if ranked.empty:
        return Plot(title, "")
    best, done = ranked.iloc[0], ranked.sort_values("at")
    cut = ended[ended["state"] == "pruned"].dropna(subset=["error"])
    lowest = done["error"].cummin()
    traces = [
        _trials(cut, "pruned", PRUNED, "x"),
        _trials(done, "complete", TRAINED, "circle"),
        lines(
            short([*done["at"], ended["at"].max()]),
            short([*lowest, lowest.iloc[-1]]),
            name="best so far",
            line={"color": BEST, "width": 2.5, "shape": "hv"},
            hoverinfo="skip",
        ),
    ]
    shows = (
        f"The best error fell from {done['error'].iloc[0]:.1%} to {best['error']:.1%}, "
        f"reached by trial {best['number']}."
    )
    layout = {"xaxis": {"title": {"text": x_title}, "rangemode": "tozero"}, "yaxis": error_axis()}
    return Plot(title, shows, traces, layout, note)


def _trials(rows: pd.DataFrame, name: str, color: str, symbol: str) -> Trace:
    return points(
        short(rows["at"]),
        short(rows["error"]),
        name=name,
        customdata=rows["number"].tolist(),
        hovertemplate="trial %{customdata}: %{y:.1%}",
        marker={"color": color, "symbol": symbol, "size": 6 if symbol == "circle" else 5},
    )


def _unit(seconds: float) -> tuple[str, int]:
    """The largest unit of which there are at least two."""
    return [u for u in UNITS if seconds >= 2 * u[1] or u[1] == 1][-1]


def learning_curves(trials: Sequence[FrozenTrial], best: int | None) -> Plot:
    """The error of every trial after each of its epochs.

    Args:
        trials: of the study.
        best: the number of the best one.
    """
    title = "Learning curves"
    curves = {t.number: finite_errors(t) for t in trials if record(t).fail_reason is None}
    states = {t.number: t.state for t in trials}
    drawn = [n for n in curves if curves[n]]
    if not drawn:
        return Plot(title, "", missing="No epoch has been trained yet.")
    every = -(-sum(len(curves[n]) for n in drawn) // CURVE_POINTS)
    shown = [n for i, n in enumerate(drawn) if i % every == 0 or n == best]
    kinds = (
        ("pruned", TrialState.PRUNED, PRUNED, 0.45),
        ("complete", TrialState.COMPLETE, TRAINED, 0.55),
        ("running", TrialState.RUNNING, LINE, 0.9),
    )
    traces = []
    for name, state, color, opacity in kinds:
        of_kind = [n for n in shown if states[n] == state and n != best]
        if of_kind:
            traces.append(_curves(curves, of_kind, name, color, 1, opacity))
    if best in curves:
        traces.append(_curves(curves, [best], f"trial {best}, the best", BEST, 2.5, 1))
    cut = sum(states[n] == TrialState.PRUNED for n in shown)
    note = "" if every == 1 else f"{len(shown)} of {len(drawn)} curves, the best among them."
    shows = f"{len(shown)} falling curves of the error by epoch, {cut} of them cut short."
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero"},
        "yaxis": error_axis(),
        "hovermode": False,
    }
    return Plot(title, shows, traces, layout, note, height=380)


def _curves(
    curves: dict[int, dict[int, float]],
    numbers: list[int],
    name: str,
    color: str,
    width: float,
    opacity: float,
) -> Trace:
    x: list[int | None] = []
    y: list[float | None] = []
    for number in numbers:
        x += [*(epoch + 1 for epoch in curves[number]), None]
        y += [*short(curves[number].values()), None]
    mode = "lines+markers" if all(len(curves[n]) == 1 for n in numbers) else "lines"
    line = {"color": color, "width": width}
    return lines(x, y, name=name, line=line, opacity=opacity, mode=mode)


def pruned_epochs(table: pd.DataFrame) -> Plot:
    """After how many epochs trials were pruned."""
    title = "When trials were pruned"
    cut = table[table["state"] == "pruned"]
    if cut.empty:
        return Plot(title, "", missing="No trial was pruned.")
    counts = cut["epochs"].value_counts().sort_index()
    last = int(counts.index.max())
    bars = {
        "type": "bar",
        "x": counts.index.tolist(),
        "y": counts.tolist(),
        "width": 1,  # plotly's own is the least distance between two bars
        "marker": {"color": PRUNED},
        "hovertemplate": "after epoch %{x}: %{y}<extra></extra>",
    }
    share = len(cut) / max(len(table), 1)
    shows = (
        f"{len(cut)} of {len(table)} trials ({share:.0%}) were pruned, most of them after "
        f"epoch {counts.idxmax()}."
    )
    layout = {
        "xaxis": {
            "title": {"text": "epoch"},
            "range": [0.5, last + 0.5],
            "tick0": 0,
            "dtick": -(-last // 10),
        },
        "yaxis": {"title": {"text": "trials"}},
    }
    return Plot(title, shows, [bars], layout, shows, height=380)
