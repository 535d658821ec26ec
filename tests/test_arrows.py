"""The house keeps its order: imports run one way, and things are where their names say."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo.cli import COMMANDS, load

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "data": {"model", "hpo", "optuna", "sqlalchemy", "typer", "rich"},
    "model": {"hpo", "optuna", "sqlalchemy", "typer", "rich"},
    "hpo": {"tests", "benchmarks"},
}
FLOORS = (
    {"study"},
    {"search"},
    {"results", "view"},
    {"workers", "paper"},
    {"report"},
    {"cli", "api"},
)
"""The rooms of `hpo`: each imports from floors before its own, and from itself."""
MOST = 15  # modules of a folder


def files_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Full names of the modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_import_against_the_arrows(package: str) -> None:
    assert files_of(package)
    for file in files_of(package):
        tops = {name.partition(".")[0] for name in imported(file)}
        assert not tops & FORBIDDEN[package], file


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_the_rooms_import_from_floors_below_alone(floor: int) -> None:
    below = set().union(*FLOORS[:floor])
    for room in FLOORS[floor]:
        for file in files_of(f"hpo/{room}"):
            parts = [name.split(".") for name in imported(file)]
            rooms = {part[1] for part in parts if part[0] == "hpo" and len(part) > 1}
            assert rooms - {"__version__"} <= below | {room}, file


def test_every_file_of_the_house_is_in_a_room_that_is_not_full() -> None:
    assert sorted(file.name for file in (ROOT / "hpo").glob("*.py")) == [
        "__init__.py",
        "__main__.py",
    ]
    assert {
        p.name for p in (ROOT / "hpo").iterdir() if (p / "__init__.py").is_file()
    } == set().union(*FLOORS)
    for package in FORBIDDEN:
        for folder in {file.parent for file in files_of(package)}:
            modules = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
            assert len(modules) <= MOST or folder.name == "cli", folder


@pytest.mark.parametrize("name", COMMANDS)
def test_the_file_of_a_command_has_its_name(name: str) -> None:
    command = load(name)
    commands = getattr(command, "commands", {name: command})
    for one in commands.values():
        assert inspect.unwrap(one.callback).__module__ == f"hpo.cli.{name}"


def test_torchvision_is_for_downloads_alone() -> None:
    """So that all else works with a PyTorch for CPUs, which PyPI's torchvision does not."""
    users = [
        file.relative_to(ROOT).as_posix()
        for package in FORBIDDEN
        for file in files_of(package)
        if any(name.partition(".")[0] == "torchvision" for name in imported(file))
    ]
    assert users == ["data/sources/download.py"]


def test_only_the_command_line_prints() -> None:
    for package in FORBIDDEN:
        for file in files_of(package):
            calls = {
                node.func.id
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert file.parent.name == "cli" or "print" not in calls, file


def test_no_test_module_imports_from_another() -> None:
    for file in files_of("tests"):
        assert not [name for name in imported(file) if ".test_" in name], file
