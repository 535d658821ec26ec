"""What a person is told, and what a terminal never gets."""

import pytest

from data.errors import DataError, UserError, first_line, in_a_line, printable


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x1b", "\n", "\x7f", "\x9b", "\N{RIGHT-TO-LEFT OVERRIDE}", "\u200b", "\ud800"],
)
def test_a_terminal_gets_nothing_that_it_would_obey(character: str) -> None:
    assert printable(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_all_else_is_shown_as_it_is() -> None:
    text = "Ünïcode, 日本, ×, – and ☃"
    assert printable(text) == text


def test_an_error_is_told_in_a_line() -> None:
    long = ValueError("no number\nand a page of advice")
    assert in_a_line(long) == "ValueError: no number"
    assert first_line(long) == "no number"
    assert in_a_line(KeyError()) == "KeyError: "
    assert first_line(KeyError()) == "KeyError"


def test_advice_ends_the_sentence() -> None:
    class Advised(UserError):
        advice = "name another"

    assert Advised("it is not there").sentence == "it is not there: name another"
    assert DataError("it is not there").sentence == "it is not there"
