"""A folder and a zip of the same files are read alike."""

import zipfile
from pathlib import Path

import pytest

from data.errors import DataError
from data.sources import archive
from data.sources.archive import open_files

CONTENT = {"a/one.txt": b"1", "a/b/two.txt": b"22", "three.txt": b""}


def as_folder(root: Path) -> Path:
    for name, content in CONTENT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def as_zip(file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("a/", "")
        for name, content in CONTENT.items():
            opened.writestr(name, content)
    return file


@pytest.mark.parametrize("packed", [False, True])
def test_names_and_contents_are_those_of_the_files(tmp_path: Path, packed: bool) -> None:
    path = as_zip(tmp_path / "all.zip") if packed else as_folder(tmp_path / "all")
    with open_files(path) as files:
        assert files.names == set(CONTENT)
        assert {name: files.read(name) for name in files.names} == CONTENT


def test_a_file_may_be_as_large_as_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST", 2)
    with open_files(as_zip(tmp_path / "all.zip")) as files:
        assert files.read("a/b/two.txt") == b"22"
        monkeypatch.setattr(archive, "LARGEST", 1)
        with pytest.raises(DataError, match=r"all\.zip is .*\(a/b/two\.txt would take 0 MiB\)"):
            files.read("a/b/two.txt")


def test_a_zip_with_a_password_is_named(tmp_path: Path) -> None:
    path = as_zip(tmp_path / "all.zip")
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of every file, "encrypted"
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)
    with open_files(path) as files, pytest.raises(DataError, match=r"all\.zip is .*three\.txt"):
        files.read("three.txt")


def test_what_is_no_zip_is_named_and_what_is_absent_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(b"PK")
    named = pytest.raises(DataError, match=r"all\.zip is cut short, damaged or no zip")
    with named, open_files(tmp_path / "all.zip"):
        pass
    with pytest.raises(FileNotFoundError), open_files(tmp_path / "absent.zip"):
        pass
