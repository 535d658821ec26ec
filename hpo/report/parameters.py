"""Which parameters matter, and which values the best trials have."""

from collections.abc import Mapping

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from hpo.report.plot import (
    BANDS,
    BEST,
    BOX,
    LINE,
    TRAINED,
    Plot,
    Trace,
    lines,
    log_axis,
    points,
    short,
)
from hpo.report.table import trained
from hpo.study.space import place_in_range

FEWEST = 7
"""Complete trials from which on importances are shown."""
ENOUGH = 20
"""Complete trials from which on they are shown without a caveat; the best tenth are two."""
MOST_BEST = 20  # trials drawn one by one over the boxes
MOST_LINES = 600  # parallel coordinates; with more they are one blot, and slow
LEGEND = ("best tenth", "better half", "worse half")

Distributions = Mapping[str, BaseDistribution]


def importances(study: optuna.Study, table: pd.DataFrame) -> Plot:
    """How much each parameter has to do with being among the best tenth of the trials."""
    title = "Parameter importances"
    complete = int((table["state"] == "complete").sum())
    if complete < FEWEST:
        few = f"Importances need {FEWEST} complete trials: {FEWEST - complete} more to go."
        return Plot(title, "", missing=few)
    # fANOVA grows a forest for it: seconds where this takes a moment.
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    if not shares:
        return Plot(title, "", missing="No parameter varies in this study.")
    names = list(shares)[::-1]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": short(shares[n] for n in names),
        "y": names,
        "marker": {"color": TRAINED},
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }
    first = ", ".join(names[::-1][:3])
    note = (
        "PED-ANOVA: how far the values of the best tenth of the complete trials differ from those "
        f"of all. {complete} trials."
    )
    if complete < ENOUGH:
        note += " With so few trials they are uncertain."
    layout = {
        "xaxis": {"title": {"text": "share"}, "tickformat": ".0%"},
        "yaxis": {"automargin": True, "dtick": 1},
        "bargap": 0.35,
    }
    shows = f"Bars of {len(names)} parameters; the most important are {first}."
    return Plot(title, shows, [bars], layout, note, height=90 + 26 * len(names))


def parallel_coordinates(table: pd.DataFrame, distributions: Distributions) -> Plot:
    """Every complete trial as a line through its parameters, each over the range of its axis.

    The axes lie, one under the other, so that their names can be read on a narrow screen too.
    """
    title = "Parallel coordinates"
    done = trained(table)
    if done.empty:
        return Plot(title, "")
    names = list(distributions)
    at = pd.DataFrame(
        {n: done[n].astype("float64").map(place_in_range(distributions[n])) for n in names}
    )
    rows: list[list[float | None]] = [[*short(row, 3), None] for row in at.to_numpy()]
    every = -(-len(rows) // MOST_LINES)
    ends = [0, -(-len(rows) // 10), -(-len(rows) // 2), len(rows)]
    heights = [*range(len(names)), None]
    traces = []
    for band in (2, 1, 0):  # the best last, on top
        part = rows[ends[band] : ends[band + 1] : every]
        if part:
            x = [value for row in part for value in row]
            width, opacity = ((1.2, 0.85), (1, 0.5), (1, 0.45))[band]
            line = {"color": BANDS[band], "width": width}
            y = heights * len(part)
            traces.append(lines(x, y, name=LEGEND[band], line=line, opacity=opacity))
    best = [*short(at.iloc[0], 3)]
    number = done["number"].iloc[0]
    line = {"color": BEST, "width": 2.5}
    traces.append(lines(best, heights[:-1], name=f"trial {number}, the best", line=line))
    # A trace is needed for the axis on the right to be there.
    ghost = points([None], [None], yaxis="y2", showlegend=False)
    side = {"tickmode": "array", "tickvals": heights[:-1], "range": [len(names) - 0.5, -0.5]}
    layout = {
        "xaxis": {"range": [-0.02, 1.02], "showticklabels": False, "showgrid": False, "ticks": ""},
        "yaxis": {**side, "ticktext": names, "automargin": True},
        "yaxis2": {
            **side,
            "ticktext": [_range_of(distributions[n]) for n in names],
            "side": "right",
            "overlaying": "y",
            "showgrid": False,
            "automargin": True,
        },
        "hovermode": False,
    }
    shows = f"{len(done)} complete trials as lines through {len(names)} parameters, by error."
    note = "Each parameter from its lowest value (left) to its highest (right), by error."
    if every > 1:
        note += f" One in {every} of the {len(done)} complete trials is drawn."
    height = 90 + 26 * len(names)
    return Plot(title, shows, [*traces, ghost], layout, note, height=height)


def _range_of(distribution: BaseDistribution) -> str:
    match distribution:
        case IntDistribution(low=low, high=high):
            return f"{low} – {high}"
        case FloatDistribution(low=low, high=high, log=log):
            return f"{low:g} – {high:g}{' log' if log else ''}"
    return ""


def by_layer(table: pd.DataFrame, distributions: Distributions) -> list[Plot]:
    """A plot for each kind of parameter: its values in every layer, the best trials on top."""
    kinds = {
        "lr": "Learning rate",
        "momentum": "Momentum",
        "l2": "L2 penalty",
        "kernel": "Filter size",
        "filters": "Filters",
        "units": "Fully connected units",
    }
    return [_kind(table, distributions, kind, title) for kind, title in kinds.items()]


def _kind(table: pd.DataFrame, distributions: Distributions, kind: str, title: str) -> Plot:
    names = [n for n in distributions if n.endswith(f"_{kind}")]
    done = trained(table)
    if done.empty or not names:
        return Plot(title, "", height=300)
    layers = [n.removesuffix(f"_{kind}") for n in names]
    best = done.head(max(5, min(MOST_BEST, len(done) // 20)))
    boxes = _boxes(table, names, layers)
    traces: list[Trace] = [boxes]
    others = best.iloc[1:]
    traces.append(
        points(
            [layer for layer in layers for _ in range(len(others))],
            [v for n in names for v in short(others[n])],
            name=f"the best {len(best)}",
            customdata=others["number"].tolist() * len(names),
            hovertemplate="trial %{customdata}: %{y:.3g}",
            marker={"color": TRAINED, "size": 6, "opacity": 0.75},
        )
    )
    first = best.iloc[0]
    traces.append(
        points(
            layers,
            short(first[n] for n in names),
            name=f"trial {first['number']}, the best",
            hovertemplate="%{y:.3g}",
            marker={"color": BEST, "size": 10, "symbol": "diamond"},
        )
    )
    log = any(getattr(distributions[n], "log", False) for n in names)
    drawn = [*boxes["lowerfence"], *boxes["upperfence"], *traces[1]["y"], *traces[2]["y"]]
    values = ", ".join(f"{la} {first[n]:.3g}" for la, n in zip(layers, names, strict=True))
    shows = (
        f"{title} by layer for all trials and the best {len(best)}; the best trial has {values}."
    )
    layout = {
        "xaxis": {"type": "category", "range": [-0.6, len(layers) - 0.4]},
        "yaxis": log_axis(drawn, "~g") if log else {},
    }
    return Plot(title, shows, traces, layout, height=300)


def _boxes(table: pd.DataFrame, names: list[str], layers: list[str]) -> Trace:
    """Boxes from quantiles: as good as from all values, and a hundredth of their size."""
    quantiles = table[names].astype("float64").quantile([0.05, 0.25, 0.5, 0.75, 0.95])
    rows = [short(quantiles.loc[q]) for q in quantiles.index]
    keys = ("lowerfence", "q1", "median", "q3", "upperfence")
    return {
        "type": "box",
        "x": layers,
        **dict(zip(keys, rows, strict=True)),
        "name": "all trials: the middle half, and 90 %",
        "line": {"color": LINE, "width": 1},
        "fillcolor": BOX,
        "width": 0.5 if len(layers) > 1 else 0.2,
        "hoverinfo": "skip",
    }
