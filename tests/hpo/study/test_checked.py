"""What a database holds that the program did not write so is one sentence."""

import pytest
from pydantic import TypeAdapter

from hpo.study.checked import BrokenStudy, Text, checked, readable


def test_a_value_of_its_kind_is_given_and_another_is_named() -> None:
    assert checked(TypeAdapter(int), 3, "a number") == 3
    with pytest.raises(BrokenStudy) as broken:
        checked(TypeAdapter(int), "three", "a number")
    said = broken.value.sentence
    assert said.startswith("a number is not as it was written ('three': ")
    assert said.endswith("restore a backup of it, or start another study")


def test_a_text_may_be_shown() -> None:
    assert checked(TypeAdapter(Text), "a\x1b[2Jb", "a text") == "a\N{REPLACEMENT CHARACTER}[2Jb"


@pytest.mark.parametrize("kind", [LookupError, ValueError, TypeError, AttributeError])
def test_what_is_raised_over_a_row_is_told_without_power_over_a_terminal(
    kind: type[Exception],
) -> None:
    shown = "^a trial cannot be read \\(no \N{REPLACEMENT CHARACTER}"
    with pytest.raises(BrokenStudy, match=shown), readable("a trial"):
        raise kind("no \x1b\nand more")


def test_what_is_absent_and_what_is_no_row_pass_through() -> None:
    with pytest.raises(KeyError), readable("a trial"):
        raise KeyError("Record does not exist.")
    with pytest.raises(BrokenStudy), readable("a trial"):
        raise KeyError("state")
    with pytest.raises(OSError, match="disk"), readable("a trial"):
        raise OSError("disk")
