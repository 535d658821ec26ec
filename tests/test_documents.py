"""What the documents say of the tests is so."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_tests_that_the_documents_name_are_where_they_say() -> None:
    texts = {
        file.as_posix(): file.read_text(encoding="utf-8")
        for file in (ROOT / "tests").rglob("test_*.py")
    }
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = {
        found
        for document in documents
        for found in re.findall(
            r"`([\w/]*test_\w+\.py)(?:::(\w+))?`", document.read_text(encoding="utf-8")
        )
    }
    assert len(named) > 30
    for file, test in named:
        there = [text for path, text in texts.items() if path.endswith(f"/{file}")]
        assert any(f"def {test}" in text for text in there), f"{file}::{test}"
