"""Reading the files of a folder or a zip alike, without ever extracting one."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.errors import DataError
from data.files import check_file

LARGEST = 2**26
"""Bytes of a file within a zip; those of the data sets are far smaller."""


@dataclass(frozen=True)
class Files:
    """The files of a folder or zip.

    Attributes:
        names: their paths inside it, with forward slashes.
        read: gives the bytes of one of them.
    """

    names: frozenset[str]
    read: Callable[[str], bytes]


@contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """Open a folder or a zip.

    Nothing is written, so a hostile name inside a zip can do no harm.

    Raises:
        DataError: the zip is cut short or damaged, or a file in it is.
        OSError: the path cannot be read.
    """
    check_file(path)
    if path.is_dir():
        names = (p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        yield Files(frozenset(names), lambda name: (path / name).read_bytes())
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError) as error:
        raise DataError(_broken(path, str(error))) from error
    with archive:

        def read(name: str) -> bytes:
            try:
                size = archive.getinfo(name).file_size
                if size > LARGEST:
                    raise DataError(_broken(path, f"{name} would take {size / 2**20:.0f} MiB"))
                return archive.read(name)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
                raise DataError(_broken(path, f"{name}: {error}")) from error

        yield Files(frozenset(n for n in archive.namelist() if not n.endswith("/")), read)


def _broken(path: Path, reason: str) -> str:
    return (
        f"{path} is cut short, damaged or no zip ({reason}): put a whole one in its place (those "
        "of Omniglot come with `hpo data download` once it is deleted)"
    )
