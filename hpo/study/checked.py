"""What a database holds, checked before it is used: whoever may write there can write anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError

from data.errors import UserError, first_line, printable
from model.configuration import first_problem

Kind = TypeVar("Kind")


class BrokenStudy(UserError):
    """Something in a database that this program did not write so; one sentence says what."""

    advice = "somebody changed the database; restore a backup of it, or start another study"


Text = Annotated[str, AfterValidator(printable)]
"""A text that may be shown."""


def checked(kind: TypeAdapter[Kind], value: Any, what: str) -> Kind:
    """A value of this kind.

    Args:
        kind: what it has to be.
        value: from a database.
        what: its name in the message.

    Raises:
        BrokenStudy: it is none.
    """
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise BrokenStudy(f"{what} is not as it was written ({first_problem(error)})") from error


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn what Optuna raises over rows that it did not write so into a `BrokenStudy`.

    Args:
        what: its name in the message.
    """
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, KeyError) and "Record does not exist" in str(error):
            raise  # Optuna's way to say that there is no such study or trial
        reason = first_problem(error) if isinstance(error, ValidationError) else first_line(error)
        raise BrokenStudy(f"{what} cannot be read ({printable(reason)})") from error
