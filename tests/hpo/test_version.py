import subprocess
import sys
import tomllib
from pathlib import Path

import hpo

ROOT = Path(__file__).parents[2]
UNINSTALLED = """
from importlib import metadata
def version(name): raise metadata.PackageNotFoundError(name)
metadata.version = version
import hpo
print(hpo.__version__)
"""


def test_a_checkout_that_is_not_installed_knows_its_version() -> None:
    given = [sys.executable, "-c", UNINSTALLED]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=True)
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert done.stdout.strip() == stated == hpo.__version__
