"""What several commands say: the lines to type next."""

import html
from pathlib import Path

import pytest

from hpo.cli.steps import passed_over, typed
from hpo.study.storage import open_storage
from tests.hpo.command import Hpo, refused
from tests.hpo.tiny_study import write_tiny


def test_a_study_is_typed_as_a_shell_takes_it() -> None:
    assert typed("small", None) == "small"
    assert typed("studies/my study.toml", None) == "'studies/my study.toml'"
    there = "postgresql://me:secret@host/my hpo"
    assert typed("small", there) == "small --storage 'postgresql://me:***@host/my hpo'"


@pytest.mark.parametrize(
    "named", ["tiny", "'studies/my study.toml'", "tiny --storage sqlite:///a.db"]
)
def test_a_study_that_is_not_there_says_how_to_start_one(
    hpo: Hpo, tmp_path: Path, named: str
) -> None:
    for name in ("tiny", "my study"):
        write_tiny(tmp_path / "studies", name)
    line = f"start one with `hpo run {named} --trials 20`"
    absent = hpo(f"status {named}")
    assert refused(absent, "there is no study in ", line)
    assert absent.err.endswith(f"{line}\n")
    open_storage("sqlite:///a.db", create=True)
    assert refused(
        hpo("status tiny --storage sqlite:///a.db"), "no study tiny in sqlite", "a.db --t"
    )


def test_every_line_to_type_next_quotes_names_and_paths(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies", name="my study")
    made = hpo("run 'my study' --trials 2 --workers 0")
    there = "--storage 'sqlite:///studies/my study/study.db'"
    assert made.out == f"join it with: hpo worker 'my study' {there}\n"
    assert refused(hpo("export 'my study'"), "go on with `hpo run 'my study' --trials 20`")
    ran = hpo(f"run 'my study' --trials 2 {there}")
    assert f"its configuration: hpo export 'my study' {there}\n" in ran.out
    assert f"all trials in a browser: hpo dashboard 'my study' {there}\n" in ran.out
    exported = hpo("export 'my study' -o 'the best.toml'")
    assert "`hpo confirm 'my study'` tells how far to trust it" in exported.err
    assert "train it with: hpo train 'the best.toml'" in exported.err
    assert hpo("report 'my study' -o report.html").status == 0
    page = html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "hpo export 'my study' -o best.toml" in page
    assert "<code>hpo confirm 'my study'</code> does it" in page


def test_of_many_files_that_are_passed_over_five_are_named() -> None:
    files = [Path(f"{number}.txt") for number in range(7)]
    begins = "passed over, as no image by its name: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt"
    assert passed_over(files[:5]) == begins
    assert passed_over(files) == f"{begins} and 2 more"
