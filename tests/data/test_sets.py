"""Where data is looked for, and where what is packed is kept."""

from pathlib import Path

import pytest

from data.sets import default_folder, packed_folder


def test_the_folders_are_those_that_are_named_else_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", None):
        for name in ("XDG_CACHE_HOME", "HPO_CACHE"):
            if unset is None:
                monkeypatch.delenv(name)
            else:
                monkeypatch.setenv(name, unset)
        assert default_folder() == packed_folder() == tmp_path / ".cache/hpo"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == packed_folder() == tmp_path / "xdg/hpo"
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "packed"))
    assert default_folder() == tmp_path / "xdg/hpo"
    assert packed_folder() == tmp_path / "packed"
