"""Runs in the official format, written for tests."""

from pathlib import Path

from PIL import Image

from data.drawings import Drawings
from tests.data.ink import ink_of


def write_runs(folder: Path, drawings: Drawings, runs: int, way: int = 20) -> Path:
    """Official-format runs from a set at 105×105: a run an alphabet, two drawers."""
    for run in range(runs):
        here = folder / f"run{run + 1:02d}"
        (here / "training").mkdir(parents=True)
        (here / "test").mkdir()
        members = (drawings.alphabet_of == run % len(drawings.alphabets)).nonzero().flatten()
        lines = []
        for place, character in enumerate(members[:way].tolist(), start=1):
            item = way + 1 - place
            for name, drawer in ((f"training/class{place:02d}", 0), (f"test/item{item:02d}", 1)):
                paper = 255 - ink_of(drawings)[character, drawer].numpy()
                Image.fromarray(paper).convert("1").save(here / f"{name}.png")
            run_name = here.name
            lines.append(
                f"{run_name}/test/item{item:02d}.png {run_name}/training/class{place:02d}.png"
            )
        (here / "class_labels.txt").write_text("\n".join(lines) + "\n")
    return folder
