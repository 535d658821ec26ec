"""A command waits for no library that it does not use."""

import subprocess
import sys

import pytest

from hpo.cli import COMMANDS
from tests.hpo.command import Hpo, refused


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("hpo", "hpo.cli torch optuna typer"),
        ("hpo.cli", "torch optuna sqlalchemy numpy pydantic"),
        ("hpo.cli.status", "torch pandas plotly botorch scipy.stats"),
        ("hpo.cli.export", "torch pandas plotly botorch scipy.stats"),
    ],
)
def test_a_module_imports_none_of_these(module: str, absent: str) -> None:
    look = f"import sys, {module}; print(*set({absent.split()}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_the_help_names_every_command_in_a_line(hpo: Hpo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = hpo("--help")
    assert shown.status == 0
    lines = shown.out.splitlines()
    for name, does in COMMANDS.items():
        assert f"  {name:9}  {does}" in lines


def test_a_command_that_is_mistyped_is_told_of_with_the_nearest_one(hpo: Hpo) -> None:
    assert refused(hpo("stauts small"), "No such command 'stauts'", "Did you mean 'status'?")
    assert refused(hpo("data chekc"), "No such command 'chekc'", "--help")
