"""What the documents show runs as it stands there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.hpo.command import Hpo
from tests.hpo.tiny_study import write_tiny

ROOT = Path(__file__).parents[3]


def blocks(document: str) -> list[str]:
    """The Python blocks of a page."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found: list[str] = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return found


def code_cells(notebook: str) -> Iterator[str]:
    """The cells of a notebook that are run, which are stored without what they gave."""
    for cell in json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            yield "".join(cell["source"])


def run_all(codes: list[str]) -> dict[str, Any]:
    """Run them one after the other, and give the names that they leave."""
    names: dict[str, Any] = {}
    for code in codes:
        exec(code, names)
    return names


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_the_examples_of_a_page_run(command: Hpo, tmp_path: Path, document: str) -> None:
    write_tiny(tmp_path / "studies", "small")
    assert command("run small --trials 2").status == 0
    for place, letter in enumerate("abc"):  # which README.md names
        picture = Image.new("L", (40, 40), "white")
        picture.paste("black", (10, 10, 14, 20 + place))
        picture.save(f"{letter}.png")
    names = run_all(blocks(document))
    assert len(names["table"]) == 2
    assert Path("best.safetensors").is_file()


@pytest.mark.soak
def test_the_notebook_runs(command: Hpo, capsys: pytest.CaptureFixture[str]) -> None:
    cells = list(code_cells("docs/notebook.ipynb"))
    for line in (cell for cell in cells if cell.startswith("!hpo ")):
        done = command(line.removeprefix("!hpo "))
        assert done.status == 0, done.err
    names = run_all([cell for cell in cells if not cell.startswith("!")])
    assert len(names["table"]) == 2
    assert "epoch 3: 0." in capsys.readouterr().out
