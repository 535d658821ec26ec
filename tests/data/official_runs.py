"""Runs in the official format, written for tests."""

from pathlib import Path

from PIL import Image

from data.drawings import Drawings
from tests.data.ink import ink_of


def write_runs(folder: Path, drawings: Drawings, runs: int, way: int = 20) -> Path:
    """Official-format runs from a set at 105×105: a run an alphabet, two drawers.

    As in the official ones the lines follow the test images, which are of the classes in another
    order: that of 20 begins with the eighth, and the first seven come last.
    """
    for run in range(runs):
        here = folder / f"run{run + 1:02d}"
        (here / "training").mkdir(parents=True)
        (here / "test").mkdir()
        members = (drawings.alphabet_of == run % len(drawings.alphabets)).nonzero().flatten()
        lines = [""] * way
        for place, character in enumerate(members[:way].tolist(), start=1):
            item = (place - 8) % way + 1
            for name, drawer in ((f"training/class{place:02d}", 0), (f"test/item{item:02d}", 1)):
                paper = 255 - ink_of(drawings)[character, drawer].numpy()
                Image.fromarray(paper).convert("1").save(here / f"{name}.png")
            run_name = here.name
            lines[item - 1] = (
                f"{run_name}/test/item{item:02d}.png {run_name}/training/class{place:02d}.png"
            )
        (here / "class_labels.txt").write_text("\n".join(lines) + "\n")
    return folder
