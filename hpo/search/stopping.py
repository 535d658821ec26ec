"""Ending a search in time: at a signal, at a deadline, or when the program above is gone."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE = 8.0
"""Seconds that a step may go on after SIGTERM: whoever sends it is about to kill."""


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or the end of --timeout, noticed between two training steps."""


class Brake:
    """Ends a search at the next step after a signal or a deadline; a second Ctrl-C ends it at once.

    Attributes:
        reason: why it is pulled, or None.
    """

    def __init__(self, timeout: float | None, patience: float = PATIENCE) -> None:
        """Set the deadline, in seconds from now, or none; and how long SIGTERM may be delayed."""
        self._patience = patience
        self.reason: str | None = None
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def check(self) -> None:
        """Do nothing, or raise `Interrupted`."""
        if self._deadline and time.monotonic() > self._deadline:
            self.reason = self.reason or "the time is up"
        if self.reason:
            raise Interrupted(self.reason)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Be pulled by SIGINT and SIGTERM inside this block, where signals can be had at all."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}

        def pull(number: int, _frame: FrameType | None) -> None:
            if self.reason and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.reason = self.reason or names[signal.Signals(number)]
            # A second SIGTERM, as where the whole process group gets one, is no news.
            if number == signal.SIGTERM and not signal.getitimer(signal.ITIMER_REAL)[0]:
                signal.setitimer(signal.ITIMER_REAL, self._patience)

        def late(_number: int, _frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        before = {number: signal.signal(number, pull) for number in names}
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, late)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
