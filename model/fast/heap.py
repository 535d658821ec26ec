"""What this process does with memory that is freed, and with garbage."""

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

COMPILED = 128
"""Operations whose compiled kernels are kept: more than any one network needs, and not those of
dozens, at a third of a megabyte each."""
_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")  # oneDNN's, and PyTorch's of it
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def keep_freed() -> None:
    """Let this process keep memory that it frees, for the next step, until `release_memory`.

    By default glibc gives every large tensor back to the system when it is freed, and a training
    step then spends more time on getting zeroed pages again than on elementwise arithmetic.

    The kernels that oneDNN compiled for the networks of earlier trials are freed all the same,
    if it has compiled none yet.
    """
    for cache in _CACHES:
        os.environ.setdefault(cache, str(COMPILED))
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def spare_the_living() -> None:
    """Leave what is alive now out of all later collections of garbage, for good.

    Each trial ends with a collection (`model.fast.memory.release_memory`), and what the program
    imported takes it a quarter of a second each time. For a process that does nothing but search.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # Triton complains on stderr of what is not collected in the end


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Hold back Python's collector of garbage in the block."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
