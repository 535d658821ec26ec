"""Running a command line in this process, and what it left."""

import shlex
import sys
from collections.abc import Callable

import pytest

from hpo import cli


class Outcome:
    """What a command left: exit status, stdout, stderr."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


Hpo = Callable[[str], Outcome]


def refused(outcome: Outcome, *parts: str) -> bool:
    """Whether the command ended as a person's mistake does: one sentence, exit status 2."""
    lines = outcome.err.strip().splitlines()
    assert outcome.status == 2, outcome.err
    assert outcome.out == ""
    assert lines[-1].startswith("hpo: ")
    assert all(not line.startswith(("hpo: ", "Traceback")) for line in lines[:-1])
    for part in parts:
        assert part in lines[-1]
    return True


def run_command(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Outcome:
    """Runs a command line as a shell would in the current folder."""
    monkeypatch.setattr(sys, "argv", ["hpo", *shlex.split(line)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return Outcome(int(ended.value.code or 0), printed.out, printed.err)
