"""The page's template and its macros, in Jinja2, which escapes whatever comes from a study."""

from collections.abc import Callable
from typing import Protocol, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Macro = Callable[..., Markup]


class Macros(Protocol):
    """The macros of ``macros.html``, which says what each is for."""

    paragraph: Macro
    typed: Macro
    facts: Macro
    tiles: Macro
    table: Macro
    plots: Macro


_ENVIRONMENT = Environment(
    loader=PackageLoader("hpo.report", ""), autoescape=True, undefined=StrictUndefined
)
_ENVIRONMENT.filters["anchor"] = lambda title: title.lower().replace(" ", "-")

PAGE = _ENVIRONMENT.get_template("page.html")
HTML = cast(Macros, _ENVIRONMENT.get_template("macros.html").module)
