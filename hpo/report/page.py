"""The page: its sections, styles, scripts and plots in one file."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files

import pandas as pd
from markupsafe import Markup

from hpo import __version__
from hpo.paper.baselines import KeptScore
from hpo.report import networks, summary
from hpo.report.comparison import comparison
from hpo.report.cost import COSTS, error_against
from hpo.report.course import error_over_compute, error_over_time, learning_curves, pruned_epochs
from hpo.report.parameters import by_layer, importances, parallel_coordinates
from hpo.report.plot import Plot
from hpo.report.template import HTML, PAGE
from hpo.results.export import export_best
from hpo.study.evaluations import evaluations
from hpo.study.study import StoredStudy
from hpo.study.trials import best_trial, record
from hpo.view.status import StatusReader, as_json


def make_page(
    stored: StoredStudy,
    trials: pd.DataFrame,
    export_command: str,
    scores: Sequence[KeptScore] = (),
) -> str:
    """What a study found, as an HTML page that asks for nothing else.

    Args:
        stored: the study.
        trials: its trials, as `trials_table` gives them.
        export_command: what a person types to export the best configuration.
        scores: of other systems, as `hpo.paper.baselines.kept_scores` gives them.
    """
    settings, distributions = stored.settings, stored.space.distributions
    best = best_trial(stored.study)
    plots, reader = _Plots(), StatusReader(stored)
    figures = as_json(stored, reader.read())
    sections = {
        "Summary": summary.summary(
            trials,
            settings,
            figures,
            record(best).outcomes if best else None,
        ),
        "Evaluation": summary.evaluation(stored),
        **_compared(stored, scores),
        "Confirmation": summary.confirmation(stored),
        "Best configuration": networks.best_configuration(export_best(stored), export_command)
        if best
        else HTML.paragraph("No trial has been trained to its end yet."),
        "Progress": plots.add("two", [error_over_time(trials), error_over_compute(trials)]),
        "Cost": plots.add("two", [error_against(trials, cost) for cost in COSTS]),
        "Parameters": summary.bounds(reader.bindings())
        + plots.add(
            "two", [importances(stored.study, trials), parallel_coordinates(trials, distributions)]
        ),
        "Layers": plots.add("three", by_layer(trials, distributions)),
        "Pruning": plots.add(
            "two",
            [
                learning_curves(
                    stored.study.get_trials(deepcopy=False), best.number if best else None
                ),
                pruned_epochs(trials),
            ],
        ),
        "Trials": networks.trials(trials, distributions),
    }
    parts = files("hpo.report")
    code = (parts / "page.js").read_text(encoding="utf-8")
    # Loading the library's Python side takes a while, and only this file of it is wanted.
    plotly = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return PAGE.render(
        scripts=f"{_allowed(plotly)} {_allowed(code)}",
        version=__version__,
        style=(parts / "page.css").read_text(encoding="utf-8"),
        name=stored.study.study_name,
        description=settings.description,
        sections=sections,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        figures=plots.as_json(),
        plotly=plotly,
        code=code,
    )


def _compared(stored: StoredStudy, scores: Sequence[KeptScore]) -> dict[str, Markup]:
    """A section, where the study's tasks are those of the published systems."""
    if stored.settings.data.set != "omniglot":
        return {}
    return {"Comparison": comparison(scores, evaluations(stored.study))}


class _Plots:
    """The plots in the order in which they are on the page."""

    def __init__(self) -> None:
        self._plots: list[Plot] = []

    def add(self, columns: str, plots: Sequence[Plot]) -> Markup:
        """Keep plots, and give the HTML of their boxes: at most two or three side by side."""
        if not any(plot.traces for plot in plots):
            missing = dict.fromkeys(plot.missing for plot in plots)
            return Markup("").join(map(HTML.paragraph, missing))
        first = len(self._plots)
        self._plots += plots
        return HTML.plots(columns, plots, first)

    def as_json(self) -> str:
        """What the page's script draws; nothing in it can end the script element."""
        drawn = [{"traces": p.traces, "layout": p.layout} for p in self._plots]
        plain = json.dumps(drawn, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return plain.replace("<", "\\u003c")


def _allowed(script: str) -> str:
    """A script's hash, by which the page's policy lets it run, and no other."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
