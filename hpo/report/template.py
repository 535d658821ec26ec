"""The page's templates and their macros, in Jinja2, which escapes whatever comes from a study."""

from collections.abc import Callable
from typing import Protocol, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hpo.study.settings import IntRange
from hpo.view.format import duration, magnitude, percent
from hpo.view.status import counted


class Macros(Protocol):
    """The macros of a template, by name; the template says what each is for."""

    def __getattr__(self, name: str) -> Callable[..., Markup]:
        """One of them."""


def _dashed(text: Callable[[float], str]) -> Callable[[float | None], str]:
    """The same, with a dash for what is not known."""
    return lambda value: "–" if value is None else text(value)


def _range(limits: IntRange) -> str:
    return f"{limits.low:g} – {limits.high:g}{' log' if getattr(limits, 'log', False) else ''}"


_FILTERS: dict[str, Callable[..., str]] = {
    "anchor": lambda title: title.lower().replace(" ", "-"),
    "counted": counted,
    "duration": _dashed(duration),
    "magnitude": magnitude,
    "minute": lambda when: when[:16].replace("T", " "),
    "percent": _dashed(percent),
    "range": _range,
}
_ENVIRONMENT = Environment(
    loader=PackageLoader("hpo.report", ""), autoescape=True, undefined=StrictUndefined
)
_ENVIRONMENT.filters |= _FILTERS

PAGE = _ENVIRONMENT.get_template("page.html")
HTML = cast(Macros, _ENVIRONMENT.get_template("macros.html").module)
SECTIONS = cast(Macros, _ENVIRONMENT.get_template("sections.html").module)
