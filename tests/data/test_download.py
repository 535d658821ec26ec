from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest

from data import download as module
from data.errors import DataError


def test_no_network_says_where_to_put_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(module, "download_url", refuse)
    with pytest.raises(DataError, match="with no network, put images_background.zip and"):
        module.download(tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept_and_what_breaks_off_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images_background.zip").write_text("kept")
    asked: list[str] = []

    def fetch(url: str, root: str, name: str, md5: str | None) -> None:
        asked.append(url)
        (Path(root) / name).write_text("half")
        if "all_runs" in url:
            raise RuntimeError("File not found or corrupted.")
        assert md5 is not None

    monkeypatch.setattr(module, "download_url", fetch)
    said: list[str] = []
    module.download(tmp_path, said.append)
    assert [url.rpartition("/")[2] for url in asked] == ["images_evaluation.zip", "all_runs.zip"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "images_background.zip",
        "images_evaluation.zip",
    ]
    assert (tmp_path / "images_background.zip").read_text() == "kept"
    assert any("without the official one-shot runs" in line for line in said)
