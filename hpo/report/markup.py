"""Pieces of HTML. Whatever comes from a study is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from hpo.report.plot import Plot

NOTHING = "–"


def text(value: Any) -> str:
    """A value as text of the page."""
    return NOTHING if value is None else escape(str(value))


def paragraph(sentence: str) -> str:
    """A paragraph of plain text; what stands between two ` is what a person types."""
    typed = re.sub("`([^`]+)`", r"<code>\1</code>", text(sentence))
    return f"<p>{typed}</p>"


def facts(pairs: Iterable[tuple[str, Any]], heading: str = "") -> str:
    """A list of names with what they stand for, under a heading if there is one."""
    above = f"<h3>{text(heading)}</h3>" if heading else ""
    rows = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in pairs)
    return f'{above}<dl class="facts">{rows}</dl>'


def tiles(triples: Iterable[tuple[str, str, str]]) -> str:
    """The few figures that matter most: what it is, the figure, a remark."""
    rows = "".join(
        f'<div class="tile"><dt>{text(name)}</dt><dd><b>{text(figure)}</b>'
        f"<span>{text(remark)}</span></dd></div>"
        for name, figure, remark in triples
    )
    return f'<dl class="tiles">{rows}</dl>'


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    words: Iterable[int] = (),
    sortable: bool = False,
) -> str:
    """A table in a box of its own, which scrolls sideways.

    Args:
        caption: says what the table shows.
        header: a name for each column.
        rows: the cells; None is a dash.
        words: which columns, from 0, hold no numbers.
        sortable: whether a click on a header sorts the rows.
    """
    left = set(words)
    heads = []
    for i, name in enumerate(header):
        inner = f'<button type="button">{text(name)}</button>' if sortable else text(name)
        heads.append(f'<th scope="col"{" class=t" if i in left else ""}>{inner}</th>')
    opening = ["<td class=t>" if i in left else "<td>" for i in range(len(header))]
    # HTML lets a cell and a row end where the next begins, which halves a big table.
    body = "".join(
        "<tr>" + "".join(o + text(c) for o, c in zip(opening, row, strict=True)) for row in rows
    )
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="box" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table{kind}><caption><span>{text(caption)}</span></caption><thead><tr>{''.join(heads)}</thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(plot: Plot, number: int) -> str:
    """The place of a plot, which the page's script draws, or the sentence instead of it.

    Args:
        plot: to be shown.
        number: its place in the list that the script reads.
    """
    heading = f"<h3>{text(plot.title)}</h3>"
    if not plot.traces:
        return f'<figure>{heading}<p class="missing">{text(plot.missing)}</p></figure>'
    note = f"<figcaption>{text(plot.note)}</figcaption>" if plot.note else ""
    return (
        f'<figure>{heading}<div class="plot" id="plot-{number}" role="img" '
        f'aria-label="{text(plot.shows)}" data-height="{plot.height}"></div>{note}</figure>'
    )
