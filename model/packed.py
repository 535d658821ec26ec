"""Which tasks a network answered rightly, a bit each, as text that JSON and a database can keep."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray


def pack(right: NDArray[np.bool_]) -> str:
    """The bits as base64: 54 characters for 320 tasks.

    Args:
        right: (N,) bool, by task.
    """
    return base64.b64encode(np.packbits(right).tobytes()).decode().rstrip("=")


def unpack(text: str, count: int | None = None) -> NDArray[np.bool_]:
    """What was packed.

    Args:
        text: from `pack`.
        count: how many tasks there were. Left out, tasks that nobody answered fill the last byte,
            which is all the same to a comparison of two networks.

    Returns:
        (N,) bool, by task.
    """
    kept = base64.b64decode(text + "=" * (-len(text) % 4))
    return np.unpackbits(np.frombuffer(kept, np.uint8), count=count).astype(np.bool_)
