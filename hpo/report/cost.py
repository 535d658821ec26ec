"""The error against what a network costs, with the Pareto front."""

import pandas as pd

from hpo.report.plot import BEST, TRAINED, Plot, error_axis, lines, log_axis, points, short
from hpo.report.table import trained

COSTS = {"multiply_adds": "multiply-adds for one image", "weights": "weights"}


def error_against(table: pd.DataFrame, cost: str) -> Plot:
    """The complete trials by cost and error.

    Args:
        table: of the trials.
        cost: a column of it, one of `COSTS`.
    """
    title = f"Error against {COSTS[cost].partition(' ')[0]}"
    done = trained(table).dropna(subset=[cost])
    if done.empty:
        return Plot(title, "")
    front = pareto_front(done, cost)
    others = done.drop(front.index)
    hover = "trial %{customdata}: %{y:.1%} with %{x:.3s}"
    traces = [
        points(
            short(others[cost]),
            short(others["error"]),
            name="complete",
            customdata=others["number"].tolist(),
            hovertemplate=hover,
            marker={"color": TRAINED, "size": 6, "opacity": 0.7},
        ),
        lines(
            short(front[cost]),
            short(front["error"]),
            name="Pareto front",
            mode="lines+markers",
            customdata=front["number"].tolist(),
            hovertemplate=hover,
            line={"color": BEST, "width": 2, "shape": "hv"},
            marker={"color": BEST, "size": 9, "symbol": "diamond"},
        ),
    ]
    ends = front.iloc[[0, -1]]
    shows = (
        f"Pareto front of {len(front)} trials, from {ends['error'].iloc[0]:.1%} with "
        f"{int(ends[cost].iloc[0]):,} to {ends['error'].iloc[1]:.1%} with "
        f"{int(ends[cost].iloc[1]):,} {COSTS[cost]}."
    )
    x_axis = {"title": {"text": COSTS[cost]}, **log_axis(done[cost], "~s")}
    return Plot(title, shows, traces, {"xaxis": x_axis, "yaxis": error_axis()})


def pareto_front(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows that no other beats in error without costing more, the cheapest first."""
    ordered = rows.sort_values([cost, "error", "number"])
    before = ordered["error"].cummin().shift(fill_value=float("inf"))
    return ordered[ordered["error"] < before]
