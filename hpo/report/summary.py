"""The study in words and figures: what is searched, what came of it, what it cost."""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from hpo.report.table import trained
from hpo.report.template import SECTIONS
from hpo.results.significance import compare_best
from hpo.search.bounds import Binding
from hpo.study.confirmations import confirmed
from hpo.study.evaluations import evaluations
from hpo.study.settings import StudySettings
from hpo.study.study import StoredStudy
from model.configuration import DataChoice
from model.scoring import interval_over_draws, unpack


def summary(
    trials: pd.DataFrame,
    settings: StudySettings,
    figures: Mapping[str, Any],
    outcomes: str | None,
) -> Markup:
    """The first section.

    Args:
        trials: the table of trials.
        settings: of the study.
        figures: as `hpo.view.status.as_json` gives them.
        outcomes: of the best trial, if there is one and it has kept them.
    """
    ranked, devices = trained(trials), trials["device"].value_counts()
    began, ended = trials["started"].min(), trials["ended"].max()
    best = None if ranked.empty else ranked.iloc[0]
    error = None if best is None else float(best["error"])
    return SECTIONS.summary(
        settings=settings,
        figures=figures,
        best=None if best is None else best["number"],
        error=error,
        interval=_interval(error, outcomes, settings.data),
        trained=len(ranked),
        wall=(ended - began).total_seconds() if pd.notna(ended - began) else None,
        seconds=float(trials["seconds_spent"].sum()),
        multiply_adds=float(trials["multiply_adds_spent"].sum()),
        devices=", ".join(f"{d} ({n} trials)" for d, n in devices.items()) or None,
        precisions=", ".join(sorted(trials["precision"].dropna().unique())) or None,
        began=f"{began:%Y-%m-%d %H:%M} UTC" if pd.notna(began) else None,
    )


def _interval(
    error: float | None, outcomes: str | None, data: DataChoice
) -> tuple[float, float] | None:
    """Of the error; None where ties at the top count for a part of it, which is not kept."""
    if error is None or not outcomes:
        return None
    wrong = (~unpack(outcomes, data.validation_tasks)).reshape(-1, data.way).astype(float)
    same = math.isclose(float(wrong.mean()), error, abs_tol=1e-6)
    return interval_over_draws(wrong) if same else None


def bounds(binding: Sequence[Binding]) -> Markup:
    """At which bounds of the ranges the best trials lie, if they do."""
    return Markup("").join(map(SECTIONS.bound, binding))


def confirmation(stored: StoredStudy) -> Markup:
    """What new seeds and fresh tasks said of the best trials, as trials and trained in full."""
    name, ranked = shlex.quote(stored.study.study_name), confirmed(stored.study)
    way = stored.settings.data.way
    parts = [SECTIONS.confirmation(name, ranked, compare_best(ranked, way), "")]
    if in_full := confirmed(stored.study, full=True):
        parts.append(SECTIONS.confirmation(name, in_full, compare_best(in_full, way), ", in full"))
    return Markup("").join(parts)


def evaluation(stored: StoredStudy) -> Markup:
    """Every look at the evaluation set; who looks often and keeps the best has tuned on it."""
    return SECTIONS.evaluation(evaluations(stored.study))
