"""Writing a file so that no reader ever sees half of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one move, with its folder; whatever goes wrong, nothing half-written stays.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        # Where not even this is allowed, nothing was written either.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
