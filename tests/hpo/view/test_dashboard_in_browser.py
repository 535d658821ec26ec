"""`hpo dashboard` as a person sees it: a real process, a real browser."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hpo.view.dashboard import note, write_note
from tests.hpo.browser import browser, complaints, screenshots
from tests.hpo.fixture_types import Open, Run
from tests.hpo.tiny_study import write_tiny

__all__ = ["browser", "screenshots"]  # fixtures
TRIALS = 6


@pytest.fixture
def address(tmp_path: Path, database: str, open_study: Open, run: Run) -> Iterator[str]:
    """Of the dashboard on a finished study."""
    write_tiny(tmp_path / "studies")
    stored = open_study()
    write_note(stored.study, note("tiny", stored.settings, "strokes-1-0", "a CPU"))
    run(stored, TRIALS)
    command = (
        "dashboard", "tiny", "--storage", database, "--results", str(tmp_path / "results"),
        "--port", "0", "--no-browser",
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", "from hpo.cli import main; main()", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait()


@pytest.mark.soak
def test_the_study_is_shown_with_its_note_trials_curves_and_pictures(
    address: str, browser: Browser, screenshots: Path
) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    found = complaints(page)

    page.goto(f"{address}/note")
    expect(page.get_by_role("heading", name="tiny").first).to_be_visible()
    expect(page.get_by_text("hpo export tiny -o best.toml")).to_be_visible()
    page.screenshot(path=screenshots / "dashboard-note.png")

    page.goto(address)
    curves = page.locator("#graph-intermediate-values .scatterlayer .trace")
    expect(curves).to_have_count(TRIALS)
    page.screenshot(path=screenshots / "dashboard-study.png")

    page.goto(f"{address}/trials?numbers=2")
    expect(page.get_by_text(f"{TRIALS} Trials")).to_be_visible()
    expect(page.get_by_role("button").filter(has_text=re.compile("^Trial [0-9]"))).to_have_count(
        TRIALS
    )
    pictures = page.locator("img[src*='/artifacts/']")
    expect(pictures).to_have_count(3)
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        assert drawn(page, picture.get_attribute("src") or "")
    expect(page.get_by_text("mistakes.png").first).to_be_visible()
    page.screenshot(path=screenshots / "dashboard-trial.png", full_page=True)
    assert not [one for one in found if "error" in one.lower()], found


def drawn(page: Page, source: str) -> bool:
    """Whether the browser could decode a picture."""
    return bool(
        page.evaluate(
            "async (src) => { const i = new Image(); i.src = src; await i.decode(); "
            "return i.naturalWidth > 100 }",
            source,
        )
    )
