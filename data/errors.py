"""The errors that a person can put right, and how a terminal may show them."""

import unicodedata


class UserError(Exception):
    """Something that a person can put right: the message is one sentence that says what to do next.

    Attributes:
        advice: what to do, where the message alone does not say it.
    """

    advice = ""

    @property
    def sentence(self) -> str:
        """The message with the advice."""
        return f"{self}: {self.advice}" if self.advice else str(self)


def in_a_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says: some add a page of advice."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def printable(text: str) -> str:
    """A text without what a terminal would obey: control characters, and marks of direction."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c
        for c in text
    )


class DataError(UserError):
    """Data that is missing, broken or too small for what was asked."""
