"""Pages of studies that tests make up, and what they hold."""

import json
import re
from html.parser import HTMLParser
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.report.page import make_page
from hpo.report.table import trials_table
from hpo.study.study import StoredStudy
from hpo.study.trials import Record

VOID = {"meta", "link", "br"}


class Shape(HTMLParser):
    """Which elements a page has, and whether each that must be closed is."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href") and v]
        if tag not in VOID | {"tr", "td"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def shape_of(page: str) -> Shape:
    shape = Shape()
    shape.feed(page)
    assert shape.open == []
    return shape


def page_of(stored: StoredStudy) -> str:
    return make_page(stored, trials_table(stored), "hpo export tiny -o best.toml")


def figures_of(page: str) -> list[dict[str, Any]]:
    found = re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)
    assert found
    figures: list[dict[str, Any]] = json.loads(found[1])
    return figures


def words_of(page: str) -> str:
    """What a person reads, without the scripts."""
    return re.sub(r"<[^>]+>", " ", page[page.index("<body>") : page.index("<noscript>")])


def a_trial(
    stored: StoredStudy, error: float | None, state: TrialState, **more: Any
) -> FrozenTrial:
    space = stored.space
    params = {n: d.low for n, d in space.distributions.items()}  # type: ignore[attr-defined]
    kept = Record(seed=1, weights=1000, multiply_adds=50_000, device="CPU", precision="fp32")
    return create_trial(
        state=state,
        value=error if state.is_finished() and state != TrialState.FAIL else None,
        params=params,
        distributions=space.distributions,
        intermediate_values={} if error is None else {0: error},
        user_attrs=kept.attributes | {"best_epoch": 0, "seconds": 2.0} | more,
    )


def plot_titled(page: str, title: str) -> dict[str, Any]:
    """The figure of this title."""
    return figures_of(page)[re.findall(r"<figure><h3>(.*?)</h3>", page).index(title)]
