"""What `import hpo` offers and costs, and what a script's own modules beside it do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hpo
from hpo import api

ROOT = Path(__file__).parents[2]
LIGHT = """
import sys, hpo
assert {"train", "load_study"} <= set(dir(hpo))
print(*{"torch", "optuna", "numpy", "hpo.api"} & set(sys.modules))
"""


def python(folder: Path, *line: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *line],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_the_names_of_the_package_are_the_apis() -> None:
    assert hpo.__all__ == api.__all__
    assert set(hpo.__all__) <= set(dir(hpo))
    for name in hpo.__all__:
        assert getattr(hpo, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="has no attribute tain"):
        _ = hpo.tain


def test_the_import_alone_loads_nothing(tmp_path: Path) -> None:
    assert python(tmp_path, "-c", LIGHT).stdout == "\n"


@pytest.mark.parametrize("own", ["model.py", "data/__init__.py"])
def test_modules_that_stand_before_the_projects_own_are_named(tmp_path: Path, own: str) -> None:
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).write_text("")
    (tmp_path / "script.py").write_text("import hpo\nhpo.load_study('small')\n")
    name = own.removesuffix(".py").removesuffix("/__init__")
    sentence = (
        f"{tmp_path / own} stands in the place of hpo's own package {name}: rename it, or work in "
        "another folder"
    )
    script = python(tmp_path, "script.py")
    assert script.stderr.splitlines()[-1] == f"ImportError: {sentence}"
    command = python(tmp_path, "-m", "hpo", "--version")
    assert (command.returncode, command.stderr) == (2, f"hpo: {sentence}\n")


def test_a_folder_of_data_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.csv").write_text("")
    done = python(tmp_path, "-c", "from hpo import check_names; check_names(); import data.errors")
    assert (done.returncode, done.stderr) == (0, "")
