"""Reading files, and writing them so that no reader ever sees half of one."""

import contextlib
import errno
import glob
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from data.errors import UserError

LEFT = 3600
"""Seconds after which a file that is half written is taken for a dead process's."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one move, with its folder; whatever goes wrong, nothing half-written stays.

    What a process that was killed left of the same file is deleted.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.parent / f"{path.name}.{os.getpid()}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
            with contextlib.suppress(FileNotFoundError):  # another process has just moved its own
                if time.time() - left.stat().st_mtime > LEFT:
                    left.unlink()
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        # Where not even this is allowed, nothing was written either.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path, advice: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """Say in one sentence why a file cannot be written, if it cannot.

    Args:
        path: of the file.
        advice: what to do then.
        kind: of the error.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"{path} cannot be written ({error.strerror or error}): {advice}") from error


def state_of(path: Path, name: str) -> bytes:
    """A line that is another one once the file of this name is replaced, for a digest."""
    state = path.stat()
    line = f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n"
    return line.encode(errors="surrogateescape")  # a name need not be UTF-8


def check_file(path: Path) -> None:
    """See that what is read is a file, or nothing: reading a pipe or a device may never end.

    Raises:
        OSError: it is something else.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))


def read_text(path: Path, advice: str, kind: type[UserError] = UserError) -> str:
    """The text of a file; if it cannot be read, that is said in one sentence, as by `writing`."""
    try:
        check_file(path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise kind(f"{path} cannot be read ({reason}): {advice}") from error


def check_writable(path: Path) -> None:
    """Find out, before long work for it, whether a file can be written there.

    Raises:
        OSError: it cannot.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass
