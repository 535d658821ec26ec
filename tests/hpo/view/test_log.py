"""What the program says beside its results goes to stderr, plainly."""

import logging

import pytest

from hpo.view.log import log_to_stderr


@pytest.mark.parametrize("package", ["hpo", "model", "data"])
def test_what_any_part_of_the_program_tells_is_shown_once(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        log_to_stderr()
    logger = logging.getLogger(f"{package}.within")
    logger.debug("a detail")
    logger.info("fetching %s\nfrom \x1b[2Jelsewhere", "a file")
    shown = capsys.readouterr()
    assert shown.err == "fetching a file\nfrom \N{REPLACEMENT CHARACTER}[2Jelsewhere\n"
    assert shown.out == ""
