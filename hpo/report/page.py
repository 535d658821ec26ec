"""The page: its sections, styles, scripts and plots in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from string import Template

import pandas as pd

from hpo import __version__
from hpo.paper.baselines import KeptScore
from hpo.report import networks, summary
from hpo.report.comparison import comparison
from hpo.report.cost import COSTS, error_against
from hpo.report.course import error_over_compute, error_over_time, learning_curves, pruned_epochs
from hpo.report.markup import figure, paragraph, text
from hpo.report.parameters import by_layer, importances, parallel_coordinates
from hpo.report.plot import Plot
from hpo.report.spending import multiply_adds_spent
from hpo.results.export import export_best
from hpo.study.evaluations import evaluations
from hpo.study.study import StoredStudy
from hpo.study.trials import best_trial
from hpo.view.status import StatusReader, status


def make_page(
    stored: StoredStudy,
    table: pd.DataFrame,
    export_command: str,
    scores: Sequence[KeptScore] = (),
) -> str:
    """What a study found, as an HTML page that asks for nothing else.

    Args:
        stored: the study.
        table: its trials, as `trials_table` gives them.
        export_command: what a person types to export the best configuration.
        scores: of other systems, as `hpo.paper.baselines.kept_scores` gives them.
    """
    settings, name = stored.settings, stored.study.study_name
    trials = table.assign(spent=multiply_adds_spent(table, settings.training))
    distributions = stored.space.distributions
    best = best_trial(stored.study)
    plots = _Plots()
    sections = {
        "Summary": summary.summary(trials, settings, status(stored, StatusReader(stored).read())),
        "Evaluation": summary.evaluation(stored),
        **_compared(stored, scores),
        "Confirmation": summary.confirmation(stored),
        "Best configuration": networks.best_configuration(export_best(stored), export_command)
        if best
        else paragraph("No trial has been trained to its end yet."),
        "Progress": plots.add("two", [error_over_time(trials), error_over_compute(trials)]),
        "Cost": plots.add("two", [error_against(trials, cost) for cost in COSTS]),
        "Parameters": plots.add(
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
    return Template((parts / "page.html").read_text(encoding="utf-8")).substitute(
        scripts=f"{_allowed(plotly)} {_allowed(code)}",
        version=__version__,
        title=f"{text(name)} – hpo report",
        style=(parts / "page.css").read_text(encoding="utf-8"),
        name=text(name),
        description=text(settings.description),
        contents="".join(f'<li><a href="#{_id(t)}">{t}</a></li>' for t in sections),
        sections="\n".join(
            f'<section id="{_id(title)}" aria-labelledby="{_id(title)}-title">'
            f'<h2 id="{_id(title)}-title">{title}</h2>{content}</section>'
            for title, content in sections.items()
        ),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        figures=plots.as_json(),
        plotly=plotly,
        code=code,
    )


def _compared(stored: StoredStudy, scores: Sequence[KeptScore]) -> dict[str, str]:
    """A section, where the study's tasks are those of the published systems."""
    if stored.settings.data.set != "omniglot":
        return {}
    return {"Comparison": comparison(scores, evaluations(stored.study))}


class _Plots:
    """The plots in the order in which they stand on the page."""

    def __init__(self) -> None:
        self._plots: list[Plot] = []

    def add(self, columns: str, plots: Sequence[Plot]) -> str:
        """Keep plots, and give the HTML of their places: at most two or three beside another."""
        if not any(plot.traces for plot in plots):
            return "".join(paragraph(m) for m in dict.fromkeys(plot.missing for plot in plots))
        first = len(self._plots)
        self._plots += plots
        places = "".join(figure(plot, first + i) for i, plot in enumerate(plots))
        return f'<div class="plots {columns}">{places}</div>'

    def as_json(self) -> str:
        """What the page's script draws; nothing in it can end the script element."""
        drawn = [{"traces": p.traces, "layout": p.layout} for p in self._plots]
        plain = json.dumps(drawn, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return plain.replace("<", "\\u003c")


def _id(title: str) -> str:
    return title.lower().replace(" ", "-")


def _allowed(script: str) -> str:
    """A script's hash, by which the page's policy lets it run, and no other."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
