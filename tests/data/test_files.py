import errno
import os
import time
from pathlib import Path

import pytest

from data.errors import DataError, UserError
from data.files import LEFT, check_file, check_writable, read_text, write_whole, writing
from tests.conftest import ordinary_user


def test_what_a_killed_process_left_half_written_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "a[1].toml"
    old, young, other = (
        tmp_path / name for name in ("a[1].toml.77.partial", "a[1].toml.78.partial", "a1.toml.9")
    )
    for one in (old, young, other):
        one.write_text("half")
    long_ago = time.time() - LEFT - 1
    os.utime(old, (long_ago, long_ago))
    write_whole(path, b"whole")
    assert {p.name for p in tmp_path.iterdir()} == {path.name, young.name, other.name}
    assert path.read_bytes() == b"whole"


def test_another_process_may_write_the_same_file_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, theirs = tmp_path / "cache.npz", tmp_path / "cache.npz.77.partial"
    theirs.write_bytes(b"theirs")
    found = list(tmp_path.glob("*.partial"))
    theirs.rename(path)
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter(found))
    write_whole(path, b"whole")
    assert path.read_bytes() == b"whole"


def test_two_processes_that_write_one_file_at_once_do_not_share_the_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = tmp_path / "cache.npz", Path.write_bytes

    def write_bytes(file: Path, content: bytes) -> None:
        plain(file, content)
        if content == b"ours":
            with monkeypatch.context() as patch:
                patch.setattr(os, "getpid", lambda: -1)
                write_whole(path, b"theirs")
            assert path.read_bytes() == b"theirs"

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    write_whole(path, b"ours")
    assert path.read_bytes() == b"ours"


def test_a_write_that_fails_half_way_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.toml"
    path.write_bytes(b"old")

    def write_half(file: Path, content: bytes) -> None:
        with file.open("wb") as opened:
            opened.write(content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"whole")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_or_a_device_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="cannot be read .*a pipe or a device.*: do so"):
            read_text(path, "do so")


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("a = 1")
    (tmp_path / "link.toml").symlink_to("study.toml")
    assert read_text(tmp_path / "link.toml", "do so") == "a = 1"
    (tmp_path / "folder").symlink_to(tmp_path)
    check_file(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(OSError, match="a pipe or a device"):
        check_file(tmp_path / "link")


def test_a_file_that_is_no_text_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"study\.toml cannot be read \(not text\): name another"):
        read_text(path, "name another")


def test_a_text_is_read_and_written_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new/within/study.toml"
    write_whole(path, "ä = 1\n".encode())
    assert read_text(path, "do so") == "ä = 1\n"
    with pytest.raises(UserError, match=r"absent\.toml cannot be read \(No such file.*\): do so$"):
        read_text(tmp_path / "absent.toml", "do so")
    with pytest.raises(DataError):
        read_text(tmp_path / "absent.toml", "do so", DataError)


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    named = r"best\.toml cannot be written \({}\): do so$"
    full = pytest.raises(DataError, match=named.format("No space left"))
    with full, writing(path, "do so", DataError):
        raise OSError(errno.ENOSPC, "No space left")
    with pytest.raises(UserError, match=named.format("no reason")), writing(path, "do so"):
        raise OSError("no reason")


def test_whether_a_file_can_be_written_is_known_before_it_is(tmp_path: Path) -> None:
    path = tmp_path / "new/within/best.toml"
    check_writable(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("kept")
    check_writable(path)
    assert path.read_text() == "kept"
    with pytest.raises(IsADirectoryError, match="Is a directory") as caught:
        check_writable(path.parent)
    assert caught.value.filename == str(path.parent)
    path.parent.chmod(0o500)
    with ordinary_user(tmp_path), pytest.raises(PermissionError):
        check_writable(path)
    with pytest.raises(OSError, match="Not a directory|File exists"):
        check_writable(path / "below.toml")
