"""Stopping a search in time: at a signal or at a timeout."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from model.history import Interrupted

SIGTERM_GRACE = 8.0
"""Seconds that a step may go on after SIGTERM: whoever sends it is about to kill."""
TIMEOUT = "the time is up"
"""The reason of a stop that is no failure: it was asked for when the search began."""


class Stop:
    """Stops a search at the next step after a signal or a timeout; a second Ctrl-C at once.

    Attributes:
        reason: why the search is to stop, or None.
    """

    def __init__(self, timeout: float | None, grace: float = SIGTERM_GRACE) -> None:
        """Set the timeout, in seconds from the start of `on_signals`, and the grace of SIGTERM."""
        self._timeout, self._grace = timeout, grace
        self.reason: str | None = None
        self._deadline: float | None = None

    def left(self) -> float | None:
        """Seconds until the timeout, if there is one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Do nothing, or raise `Interrupted`."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.reason = self.reason or TIMEOUT
        if self.reason:
            raise Interrupted(self.reason)

    def requested(self) -> bool:
        """Whether the search is to stop, so that there is no time to wait for anything."""
        return self.reason is not None or self.left() == 0.0

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Stop at the timeout, and at SIGINT and SIGTERM where signals can be had at all."""
        if self._timeout is not None:
            self._deadline = time.monotonic() + self._timeout
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}

        def request(number: int, _frame: FrameType | None) -> None:
            if self.reason and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.reason = self.reason or names[signal.Signals(number)]
            # A second SIGTERM, as where the whole process group gets one, is no news.
            if number == signal.SIGTERM and not signal.getitimer(signal.ITIMER_REAL)[0]:
                signal.setitimer(signal.ITIMER_REAL, self._grace)

        def late(_number: int, _frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        before = {number: signal.signal(number, request) for number in names}
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, late)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
