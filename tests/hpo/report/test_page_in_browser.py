"""The report in a real browser, with no network."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from hpo.report.page import make_page
from hpo.report.table import trained, trials_table
from tests.hpo.big_study import big_study
from tests.hpo.browser import browser, complaints, overflow, screenshots

__all__ = ["browser", "screenshots"]

pytestmark = pytest.mark.soak
Scheme = Literal["light", "dark"]
MARKS = ".points path, .lines path, .box, .scatterlayer path, .barlayer path"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study of 60 made-up trials."""
    folder = tmp_path_factory.mktemp("report")
    stored = big_study(f"sqlite:///{folder / 'study.db'}", trials=60, epochs=9)
    file = folder / "report.html"
    file.write_text(make_page(stored, trials_table(stored), "hpo export"), encoding="utf-8")
    (folder / "best").write_text(str(trained(trials_table(stored))["number"].iloc[0]))
    return file


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that is off the network."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_offline(True)
    yield context.new_page()
    context.close()


def open_report(page: Page, report: Path, scheme: Scheme, width: int) -> list[str]:
    """Open the page and wait until all is drawn; gives what went wrong."""
    found = complaints(page)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(report.as_uri())
    page.wait_for_selector(f"body[data-drawn={scheme}]", timeout=120_000)
    return found


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (400, "dark"),
        (1280, "dark"),
        (400, "light"),
    ],
)
def test_every_plot_is_drawn_and_nothing_overflows(
    page: Page, report: Path, screenshots: Path, scheme: Scheme, width: int
) -> None:
    found = open_report(page, report, scheme, width)
    plots = page.locator(".plot").all()
    assert len(plots) == 14
    for plot in plots:
        assert plot.locator(".main-svg").count() > 0
        assert plot.locator(MARKS).count() > 0, plot.get_attribute("aria-label")
        box = plot.bounding_box()
        assert box is not None
        assert 200 < box["width"] <= width
        svg = plot.locator(".main-svg").first.bounding_box()
        assert svg is not None
        assert svg["width"] == pytest.approx(box["width"], abs=2)
    assert overflow(page) <= 0
    page.locator("#trials").scroll_into_view_if_needed()  # it is laid out when it is near
    page.screenshot(path=screenshots / f"report-{width}-{scheme}.png", full_page=True)
    assert found == []


def test_plots_follow_the_scheme_and_the_width(page: Page, report: Path) -> None:
    found = open_report(page, report, "light", 1280)
    label = page.locator("#plot-0 .xtick text").first
    light = label.evaluate("e => getComputedStyle(e).fill")
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("body[data-drawn=dark]", timeout=120_000)
    assert label.evaluate("e => getComputedStyle(e).fill") != light
    page.set_viewport_size({"width": 400, "height": 900})
    drawing = page.locator("#plot-0 .main-svg").first
    for _ in range(300):  # a minute at most
        if float(drawing.get_attribute("width") or 0) < 400:
            break
        page.wait_for_timeout(200)
    assert float(drawing.get_attribute("width") or 0) < 400
    assert overflow(page) <= 0
    assert found == []


def test_the_table_sorts_by_click_and_by_key(page: Page, report: Path) -> None:
    found = open_report(page, report, "light", 1280)

    def column(number: int) -> list[str]:
        return page.locator(f"#trials tbody td:nth-child({number})").all_text_contents()

    assert column(1)[0] == (report.parent / "best").read_text()
    head = page.get_by_role("columnheader", name="trial", exact=True)
    button = head.get_by_role("button")
    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(1) == [str(n) for n in range(60)]
    button.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(1) == [str(n) for n in reversed(range(60))]

    retries = page.get_by_role("columnheader", name="reason").get_by_role("button")
    retries.click()
    reasons = column(page.locator("#trials th").count())
    told = [r for r in reasons if r != "–"]
    assert told == sorted(told)
    assert reasons == told + ["–"] * (60 - len(told))  # what is missing stands last
    assert page.locator("#trials th[aria-sort]").count() == 1
    assert found == []


def test_words_are_there_for_those_who_see_no_plots(page: Page, report: Path) -> None:
    open_report(page, report, "light", 1280)
    for plot in page.locator(".plot").all():
        assert len(plot.get_attribute("aria-label") or "") > 20
    assert page.locator("table caption").count() == page.locator("table").count()
    levels = [
        int(h[1]) for h in page.eval_on_selector_all("h1,h2,h3", "l => l.map(e => e.tagName)")
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
