from pathlib import Path

import pytest

from tests.hpo.command import Hpo
from tests.hpo.tiny_study import write_tiny


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("hpo run ", ["classic", "demo", "images", "mine", "modern", "paper", "small"]),
        ("hpo status m", ["mine", "modern"]),
        ("hpo stat", ["status"]),
        ("hpo export none", []),
    ],
)
def test_a_shell_completes_the_names_of_studies(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, names: list[str]
) -> None:
    write_tiny(tmp_path / "studies", "mine")
    monkeypatch.setenv("_HPO_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    asked = hpo("")
    assert (asked.status, asked.out.split()) == (0, names)


def test_the_completion_of_a_shell_is_shown(hpo: Hpo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = hpo("--show-completion bash")
    assert shown.status == 0
    assert "_HPO_COMPLETE=complete_bash" in shown.out
