"""The study in words and figures: what is searched, what came of it, what it cost."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from hpo.report.table import trained
from hpo.report.template import HTML
from hpo.results.significance import compare_best
from hpo.study.confirmations import confirmed
from hpo.study.evaluations import evaluations
from hpo.study.settings import StudySettings
from hpo.study.study import StoredStudy
from hpo.view.format import duration, magnitude, percent
from model.scoring import wilson_interval


def summary(trials: pd.DataFrame, settings: StudySettings, figures: Mapping[str, Any]) -> Markup:
    """The first section.

    Args:
        trials: the table of trials.
        settings: of the study.
        figures: as `hpo.view.status.as_json` gives them.
    """
    return (
        HTML.tiles(_headline(trials, settings, figures))
        + _caution(trials, settings)
        + HTML.facts(_searched(settings), "What is searched")
        + HTML.facts(_ran(trials, figures), "How it ran")
    )


def _headline(
    trials: pd.DataFrame, settings: StudySettings, figures: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    ranked = trained(trials)
    error, accuracy, found = "–", "–", "no complete trial yet"
    if not ranked.empty:
        best = ranked.iloc[0]
        error, accuracy = percent(best["error"]), percent(1 - best["error"])
        found = f"trial {best['number']}, on {settings.data.validation_tasks} tasks"
    states = ", ".join(f"{count} {state}" for state, count in figures["trials"].items() if count)
    began, ended = trials["started"].min(), trials["ended"].max()
    wall = duration((ended - began).total_seconds()) if pd.notna(ended - began) else "–"
    return [
        ("Best error", error, found),
        ("Accuracy", accuracy, "one-shot, validation"),
        ("Trials", _count(figures), states or "none yet"),
        (
            "Training time",
            duration(float(trials["seconds_spent"].sum())),
            f"{wall} from first to last",
        ),
        (
            "Compute",
            magnitude(float(trials["multiply_adds_spent"].sum())),
            "multiply-adds, forward",
        ),
    ]


def _count(figures: Mapping[str, Any]) -> str:
    done, wanted = figures["finished"], figures["wanted"]
    return str(done) if wanted is None else f"{done} of {wanted}"


def _caution(trials: pd.DataFrame, settings: StudySettings) -> Markup:
    ranked, tasks = trained(trials), settings.data.validation_tasks
    if ranked.empty:
        return Markup()
    low, high = wilson_interval(float(ranked["error"].iloc[0]), tasks)
    return HTML.paragraph(
        f"{tasks} tasks leave an error of one network uncertain: here 95 % lie between "
        f"{percent(low)} and {percent(high)}. The lowest of {len(ranked)} such errors is low by "
        "luck too; `hpo confirm` tells by how much."
    )


def _searched(settings: StudySettings) -> list[tuple[str, Any]]:
    network, space, training = settings.network, settings.space, settings.training
    log = {name: " log" if getattr(space, name).log else "" for name in ("lr", "momentum", "l2")}
    return [
        ("Data", f"{settings.data.set} at {network.image_size}×{network.image_size}"),
        ("Convolutions", network.convolutions),
        ("Sampler", f"{settings.search.sampler}, {settings.search.startup_trials} at random first"),
        ("Pruner", settings.search.pruner),
        ("Epochs", f"up to {training.epochs}, patience {training.patience}"),
        ("Pairs", training.sampling.kind),
        ("Filter size", f"{space.kernel.low} – {space.kernel.high}"),
        ("Filters", f"{space.filters.low} – {space.filters.high}"),
        ("Fully connected units", f"{space.fc_units.low} – {space.fc_units.high}"),
        ("Learning rate", f"{space.lr.low:g} – {space.lr.high:g}{log['lr']}"),
        ("Momentum", f"{space.momentum.low:g} – {space.momentum.high:g}{log['momentum']}"),
        ("L2 penalty", f"{space.l2.low:g} – {space.l2.high:g}{log['l2']}"),
    ]


def _ran(trials: pd.DataFrame, figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    devices = trials["device"].value_counts()
    begun = trials["started"].min()
    return [
        ("Devices", ", ".join(f"{d} ({n} trials)" for d, n in devices.items()) or None),
        ("Precision", ", ".join(sorted(trials["precision"].dropna().unique())) or None),
        ("Began", f"{begun:%Y-%m-%d %H:%M} UTC" if pd.notna(begun) else None),
        ("Could not be trained", figures["untrainable"]),
        ("Data's content", figures["data_fingerprint"]),
    ]


def confirmation(stored: StoredStudy) -> Markup:
    """What new seeds and fresh tasks said of the best trials; empty if they were not asked."""
    ranked = confirmed(stored.study)
    if not ranked:
        return HTML.paragraph(
            "The best trials have not been trained again from new seeds yet: "
            f"`hpo confirm {stored.study.study_name}` does it."
        )
    rows = [
        (
            one.rank,
            one.trial,
            percent(one.search_error),
            percent(one.mean),
            None if math.isnan(one.spread) else f"± {percent(one.spread)}",
            ", ".join(percent(e) for e in one.errors),
            one.tasks,
        )
        for one in ranked
    ]
    header = ("rank", "trial", "in the search", "mean", "spread", "by seed", "tasks")
    caption = "Errors of the best trials, trained again from new seeds, on fresh tasks"
    ahead = compare_best(ranked)
    said = f"{str(ahead).capitalize()}." if ahead else ""
    return HTML.table(caption, header, rows, words=(5,)) + (HTML.paragraph(said) if said else "")


def evaluation(stored: StoredStudy) -> Markup:
    """Every look at the evaluation set; who looks often and keeps the best has tuned on it."""
    looks = evaluations(stored.study)
    if not looks:
        return HTML.paragraph("The evaluation tasks have not been looked at.")
    times = "once" if len(looks) == 1 else f"{len(looks)} times"
    rows = [
        (
            one.when[:16].replace("T", " "),
            one.checkpoint,
            percent(one.accuracy),
            percent(1 - one.accuracy),
            f"{percent(one.interval[0])} – {percent(one.interval[1])}",
            one.tasks,
            one.source,
        )
        for one in looks
    ]
    header = (
        "when (UTC)",
        "checkpoint",
        "accuracy",
        "error",
        "95 % interval",
        "tasks",
        "source",
    )
    said = HTML.paragraph(f"The evaluation tasks were looked at {times}.")
    return said + HTML.table("Looks at the evaluation tasks", header, rows, words=(0, 1, 4, 6))
