"""The study's network beside other systems, measured and published: nothing is measured here."""

from collections.abc import Sequence

from markupsafe import Markup

from hpo.paper.baselines import KeptScore
from hpo.paper.published import OMNIGLOT
from hpo.report.template import SECTIONS
from hpo.study.evaluations import Look

HEADER = ("system", "accuracy", "95 % interval", "tasks", "source", "published", "when (UTC)")


def comparison(scores: Sequence[KeptScore], looks: Sequence[Look]) -> Markup:
    """The table of all systems on Omniglot's one-shot tasks.

    Args:
        scores: what `hpo baselines` measured.
        looks: of the study's networks, the oldest first.
    """
    latest = {one.source: one for one in looks if _comparable(one.source)}
    return SECTIONS.comparison(HEADER, scores, list(latest.values()), OMNIGLOT)


def _comparable(source: str) -> bool:
    """Whether these are 20-way one-shot tasks of alphabets, and not of MNIST's digits."""
    return "official-format runs" in source or "20-way within one alphabet" in source
