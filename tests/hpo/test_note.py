from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from optuna_dashboard import get_note, save_note

from hpo.note import note, write_note
from hpo.settings import StudySettings
from hpo.study import StoredStudy
from tests.hpo.tiny_study import tiny_settings


def test_the_note_says_what_is_searched_and_is_not_written_over(
    tmp_path: Path, open_study: Callable[[StudySettings], StoredStudy]
) -> None:
    stored = open_study(tiny_settings(tmp_path))
    text = note("tiny", stored.settings, "strokes-1-0", "a CPU")
    for part in ("# tiny", "filters of 3 to 9", "strokes at 20×20", "a CPU", "hpo export tiny"):
        assert part in text
    write_note(stored.study, text)
    assert get_note(stored.study) == text
    save_note(stored.study, "changed by hand")
    write_note(stored.study, text)
    assert get_note(stored.study) == "changed by hand"
