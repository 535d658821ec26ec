"""How many threads of the CPU a training uses: as many as other processes leave it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

WINDOW_STEPS, WINDOW_SECONDS = 4, 0.5
"""Steps and seconds, at the least, that a pace is measured over."""
CROWDED, WINDOWS = 0.85, 2
"""Share of the threads' time below which other processes are taken to keep the cores busy, and
how often in a row it is measured before fewer threads are tried."""
BETTER = 1.05
"""How many times as fast a number of threads has to be to replace another."""
HOPELESS = 1.5
"""How many times as long as before a try may take before it is given up."""
SOON, LATE = 5.0, 60.0
"""Seconds until a try that brought nothing is repeated: first, and after it brought nothing
again and again."""


@dataclass(frozen=True)
class Threads:
    """How many are to be used.

    Attributes:
        most: fewer where other processes keep the cores busy.
        fixed: always this many, so that a training can be repeated exactly.
    """

    most: int = field(default_factory=torch.get_num_threads)
    fixed: int | None = None

    @property
    def number(self) -> int:
        """How many a training begins with."""
        return self.fixed or self.most


class FreeThreads:
    """Notices when cores are taken or given back, tries fewer or more threads, keeps the faster.

    PyTorch's threads wait for each other at the end of every operation. Where one of
    them has to share its core, all of them wait: two threads beside a busy process can be five
    times slower than one.

    Attributes:
        number: how many there are now.
        most: how many it began with, the most that there will be.
        fewest: the smallest number that was used, tries included.
    """

    def __init__(
        self,
        asked: Threads,
        wall: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.process_time,
        choose: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        """Set PyTorch to as many threads as a training begins with.

        Args:
            asked: how many are to be used.
            wall: a clock, in seconds.
            used: the time that the threads of this process have run, in seconds.
            choose: sets PyTorch to a number of threads.
        """
        self.most = self.fewest = self.number = asked.number
        choose(self.number)
        self._wall, self._used, self._choose = wall, used, choose
        self._adapts = asked.fixed is None and self.most > 1
        self._before: tuple[int, float] | None = None  # number and pace before a try
        self._crowded = 0  # measured paces in a row
        self._pause, self._next_try = SOON, 0.0
        self._measure_anew()
        self.begin()

    def begin(self) -> None:
        """Steps follow from here: what was done since the last one is no part of their pace."""
        self._last, self._last_used = self._wall(), self._used()

    def step_done(self) -> None:
        """Look at the pace once a step is done; change the number of threads where that pays."""
        if not self._adapts:
            return
        last, last_used = self._last, self._last_used
        self.begin()
        self._steps += 1
        self._taken += self._last - last
        self._ran += self._last_used - last_used
        hopeless = self._before and self._taken > HOPELESS * self._steps / self._before[1]
        if not hopeless and (self._steps < WINDOW_STEPS or self._taken < WINDOW_SECONDS):
            return
        pace = self._steps / self._taken
        crowded = self._ran < CROWDED * self.number * self._taken
        if self._before is None:
            self._crowded = self._crowded + 1 if crowded else 0
            self._try_another(pace)
        elif pace > BETTER * self._before[1]:
            self._before, self._pause, self._next_try = None, SOON, self._last + SOON
        elif crowded and 1 < self.number < self._before[0]:
            self._set(self.number // 2)
        else:
            self._go_back()
        self._measure_anew()

    def _measure_anew(self) -> None:
        self._steps, self._taken, self._ran = 0, 0.0, 0.0

    def _try_another(self, pace: float) -> None:
        """Fewer where the cores are shared, more where they were and may no longer be."""
        number = self.number
        if number > 1 and self._crowded:
            other = number // 2 if self._crowded >= WINDOWS else number
        else:
            other = min(2 * number, self.most)
        if other != number and self._last >= self._next_try:
            self._before = number, pace
            self._set(other)

    def _go_back(self) -> None:
        assert self._before
        number, self._before = self._before[0], None
        self._next_try, self._pause = self._last + self._pause, min(LATE, 2 * self._pause)
        self._set(number)

    def _set(self, number: int) -> None:
        self.number, self._crowded = number, 0
        self.fewest = min(self.fewest, number)
        self._choose(number)
