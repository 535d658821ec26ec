"""A mistake of the user, told as a script shows it: by the error's text alone."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from data.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")


def in_a_sentence(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose errors say what to do next in their own text."""

    @wraps(function)
    def told(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except UserError as error:
            error.args, error.advice = (error.sentence,), ""
            raise

    return told
