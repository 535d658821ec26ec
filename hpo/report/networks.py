"""The HTML of the best configuration, layer by layer, and of the table of trials."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from markupsafe import Markup

from hpo.report.template import HTML, SECTIONS
from hpo.study.trials import HANDED_BACK
from model.configuration import Configuration

MOST_ROWS = 1000
"""Trials in the page's table; a larger one makes a browser slow."""


def best_configuration(configuration: Configuration, command: str) -> Markup:
    """The network that is exported, with the command that exports it.

    Args:
        configuration: with its provenance.
        command: what to type.
    """
    rows = [
        (name, *_size(configuration, name), f"{own.lr:.4g}", f"{own.momentum:.4g}", f"{own.l2:.4g}")
        for name, own in configuration.rates.items()
    ]
    return SECTIONS.best(configuration.provenance, configuration.network, rows, command)


def _size(configuration: Configuration, layer: str) -> tuple[str, str]:
    """What a layer is and what it hands on."""
    network = configuration.network
    if layer == "out":
        return "1 unit", "probability of the same character"
    if layer == "fc":
        return f"{network.fc_units} units", f"embedding of {network.fc_units}"
    index = int(layer.removeprefix("conv")) - 1
    one, side = network.convolutions[index], network.sides[index + 1]
    return f"{one.filters} filters {one.kernel}×{one.kernel}", f"{one.filters} × {side}×{side}"


def trials(those: pd.DataFrame, parameters: Iterable[str]) -> Markup:
    """Every trial as a row, the best first; a click on a header sorts.

    Args:
        those: the trials.
        parameters: names of its columns of search parameters.
    """
    if those.empty:
        return HTML.paragraph("There is no trial yet.")
    untrainable = (those["state"] == "complete") & ~those["trained"]
    # A pruned trial's lowest error is no rival of a complete one's.
    rank = those["state"].map({"complete": 0, "pruned": 1, "running": 2}).fillna(3)
    order = those.assign(rank=rank.mask(untrainable, 2)).sort_values(["rank", "error", "number"])
    back = (order["state"] == "fail") & order["fail_reason"].str.startswith(HANDED_BACK, na=False)
    shown = order.assign(state=order["state"].mask(back, "handed back")).head(MOST_ROWS)
    columns: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "number": ("trial", str),
        "error": ("error (%)", lambda v: f"{100 * v:.2f}"),
        "state": ("state", str),
        "best_epoch": ("best epoch", lambda v: str(v + 1)),
        "epochs": ("epochs", str),
        "seconds": ("seconds", lambda v: f"{v:.1f}"),
        "multiply_adds": ("multiply-adds (M)", lambda v: f"{v / 1e6:.2f}"),
        "weights": ("weights (M)", lambda v: f"{v / 1e6:.3f}"),
        "pairs_per_second": ("pairs/s", lambda v: f"{v:.0f}"),
        "peak_memory_mb": ("memory (MiB)", str),
        **{name: (name, lambda v: f"{v:.4g}") for name in parameters},
        "device": ("device", str),
        "precision": ("precision", str),
        "seed": ("seed", str),
        "started": ("started (UTC)", lambda v: f"{v:%Y-%m-%d %H:%M:%S}"),
        "retry_of": ("retry of", str),
        "fail_reason": ("reason", str),
    }
    cells = [
        [None if pd.isna(v) else show(v) for v in shown[name].tolist()]
        for name, (_, show) in columns.items()
    ]
    text_columns = {"state", "device", "precision", "started", "fail_reason"}
    words = [i for i, name in enumerate(columns) if name in text_columns]
    caption = f"All {len(order)} trials, the best first; a header sorts by its column"
    if len(shown) < len(order):
        caption = (
            f"The first {len(shown)} of {len(order)} trials, the best first; "
            "hpo report --csv FILE writes all"
        )
    header = [title for title, _ in columns.values()]
    return HTML.table(caption, header, zip(*cells, strict=True), words, sortable=True)
