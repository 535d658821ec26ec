"""The study's network beside other systems, measured and published: nothing is measured here."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from hpo.paper.baselines import KeptScore
from hpo.paper.published import OMNIGLOT
from hpo.report.template import HTML, minute
from hpo.study.evaluations import Look
from hpo.view.format import percent

HEADER = ("system", "accuracy", "95 % interval", "tasks", "source", "published", "when (UTC)")
WORDS = (0, 2, 4, 6)
"""Columns of the table without numbers."""


def comparison(scores: Sequence[KeptScore], looks: Sequence[Look]) -> Markup:
    """The table of all systems on Omniglot's one-shot tasks.

    Args:
        scores: what `hpo baselines` measured.
        looks: of the study's networks, the oldest first.
    """
    rows = [_row(one.name, one, OMNIGLOT.get(one.name)) for one in scores]
    latest = {one.source: one for one in looks if _comparable(one.source)}
    rows += [_row(f"this study: {one.checkpoint}", one, None) for one in latest.values()]
    measured = {one.name for one in scores}
    rows += [
        (name, "not run", None, None, None, percent(share), None)
        for name, share in OMNIGLOT.items()
        if name not in measured
    ]
    said = (
        "Scores from different sources are not comparable: the published ones (Koch et al. 2015, "
        "table 2) are on the 400 tasks of the official runs, which are easier than random draws. "
        "Their affine model is not the affine alignment that is measured here, and their siamese "
        "networks are not those."
    )
    if not scores:
        said = "No other system has been measured here: `hpo baselines` does it. " + said
    if latest:
        said += " A row of this study is its last look at those tasks."
    return HTML.paragraph(said) + HTML.table(
        "Accuracy in 20-way one-shot tasks of the evaluation alphabets", HEADER, rows, WORDS
    )


def _row(name: str, one: KeptScore | Look, published: float | None) -> tuple[Any, ...]:
    low, high = (percent(share) for share in one.interval)
    return (
        name,
        percent(one.accuracy),
        f"{low} – {high}",
        one.tasks,
        one.source,
        None if published is None else percent(published),
        minute(one.when),
    )


def _comparable(source: str) -> bool:
    """Whether these are 20-way one-shot tasks of alphabets, and not of MNIST's digits."""
    return "official-format runs" in source or "20-way within one alphabet" in source
