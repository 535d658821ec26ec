"""Imports run one way: hpo → model → data."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "data": {"model", "hpo", "optuna", "sqlalchemy", "typer", "rich"},
    "model": {"hpo", "optuna", "sqlalchemy", "typer", "rich"},
    "hpo": {"tests", "benchmarks"},
}


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_import_against_the_arrows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        assert not imported(file) & FORBIDDEN[package], file


def test_only_the_command_line_and_the_terminal_view_print() -> None:
    for package in FORBIDDEN:
        for file in (ROOT / package).rglob("*.py"):
            calls = {
                node.func.id
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            if file.parent.name != "cli" and file.name != "terminal.py":
                assert "print" not in calls, file
