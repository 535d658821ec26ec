"""A command waits for no library that it does not use."""

import subprocess
import sys

import pytest

from hpo.cli import COMMANDS, load
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


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_own_help_begins_as_the_list_has_it(name: str) -> None:
    assert load(name).help.splitlines()[0] == COMMANDS[name]


def test_a_command_that_is_mistyped_is_told_of_with_the_nearest_one(hpo: Hpo) -> None:
    assert refused(hpo("stauts small"), "No such command 'stauts'", "Did you mean 'status'?")
    assert refused(hpo("data chekc"), "No such command 'chekc'", "--help")
