"""Draw the pictures of the README: ``python docs/draw_pictures.py``, in minutes, with Chromium.

A search of the study ``demo`` is shown on a terminal while it runs, and its report in a browser.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console

from hpo.study.storage import open_storage
from hpo.study.study import load
from hpo.view.terminal import StudyView

HERE = Path(__file__).parent
TRIALS, SHOWN = 20, 14
"""Trials of the search, and finished ones when it is looked at."""


def main() -> None:
    """Draw them."""
    os.environ.pop("HPO_STORAGE", None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        hpo = [sys.executable, "-m", "hpo"]
        search = subprocess.Popen([*hpo, "run", "demo", "--trials", str(TRIALS), "--workers", "2"])  # noqa: S603
        url = f"sqlite:///{Path('studies/demo/study.db').absolute()}"
        while not Path("studies/demo/study.db").exists():
            time.sleep(1)
        time.sleep(10)
        view = StudyView(load("demo", open_storage(url, create=False)))
        while view.standing.finished < SHOWN or not view.standing.running:
            time.sleep(0.5)
            view.read()
        console = Console(record=True, width=110, file=io.StringIO())
        console.print(view)
        console.save_svg(str(HERE / "live_view.svg"), title="hpo run demo --trials 20 --workers 2")
        search.wait()
        subprocess.run([*hpo, "report", "demo", "-o", "report.html"], check=True)  # noqa: S603
        with sync_playwright() as playwright:
            chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1000, "height": 900})
            page.goto(f"file://{folder}/report.html")
            page.wait_for_timeout(2000)
            page.screenshot(path=HERE / "report.png")
            browser.close()


if __name__ == "__main__":
    main()
