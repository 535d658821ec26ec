"""How many threads of the CPU a training uses: fewer while other processes keep cores busy."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

WINDOW_STEPS, WINDOW_SECONDS = 4, 0.5
"""Steps and seconds, at the least, that a pace is measured over."""
LOST, WINDOWS = 0.3, 2
"""Cores that threads have to lose to other processes before fewer are tried, and how often in a
row that has to be measured."""
BETTER = 1.05
"""How many times as fast a number of threads has to be to replace another."""
HOPELESS = 1.5
"""How many times as long as before a try may take before it is given up."""
SOON, LATE = 5.0, 60.0
"""Seconds until a try that brought nothing is repeated: first, and after it brought nothing
again and again."""
SHARE = 20
"""How many times as long as it took it is not repeated, at the least."""


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
        fewest, highest: the smallest and the largest number that was used, tries included.
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
        self._wall, self._used, self._choose = wall, used, choose
        self._most = self.fewest = self.highest = asked.number
        self._adapts = asked.fixed is None and self._most > 1
        self._before: tuple[int, float] | None = None  # number and pace before a try
        self._crowded = 0  # measured paces in a row
        self._pause, self._next_try, self._tried = SOON, 0.0, 0.0
        self._is_new = False
        self._set(self._most)
        self.begin()

    def remember(self, fewest: int, highest: int) -> None:
        """Count the numbers that an earlier part of the training used."""
        self.fewest, self.highest = min(self.fewest, fewest), max(self.highest, highest)

    def end(self) -> None:
        """Set PyTorch back to what the training began with."""
        self._choose(self._most)

    def begin(self) -> None:
        """Steps follow from here: what was done since the last one is no part of their pace."""
        self._last, self._last_used = self._wall(), self._used()

    def step_done(self) -> None:
        """Look at the pace once a step is done; change the number of threads where that pays."""
        if not self._adapts:
            return
        last, last_used = self._last, self._last_used
        self.begin()
        if self._is_new:  # the first step with another number prepares what all later ones use
            self._is_new = False
            return
        self._steps += 1
        self._taken += self._last - last
        self._ran += self._last_used - last_used
        hopeless = self._before and self._taken > HOPELESS * self._steps / self._before[1]
        if not hopeless and (self._steps < WINDOW_STEPS or self._taken < WINDOW_SECONDS):
            return
        pace, had = self._steps / self._taken, self._ran / self._taken
        fewer = max(1, min(int(had), self.number - 1)) if self.number - had > LOST else self.number
        self._measure_anew()
        if self._before is None:
            self._try_another(pace, fewer)
        elif pace > BETTER * self._before[1]:
            self._before, self._pause, self._next_try = None, SOON, self._last + SOON
        elif fewer < self.number < self._before[0]:
            self._set(fewer)
        else:
            self._go_back()

    def _measure_anew(self) -> None:
        self._steps, self._taken, self._ran = 0, 0.0, 0.0

    def _try_another(self, pace: float, fewer: int) -> None:
        """Fewer where cores are lost, more where they were and may no longer be."""
        crowded = fewer < self.number
        self._crowded = self._crowded + 1 if crowded else 0
        more = min(self._most, self.number + max(1, self.number // 4))
        other = fewer if crowded else more
        if other == self.number or 0 < self._crowded < WINDOWS or self._last < self._next_try:
            return
        self._before, self._tried = (self.number, pace), self._last
        self._set(other)

    def _go_back(self) -> None:
        assert self._before
        number, self._before = self._before[0], None
        pause = max(self._pause, SHARE * (self._last - self._tried))
        self._next_try, self._pause = self._last + pause, min(LATE, 2 * self._pause)
        self._set(number)

    def _set(self, number: int) -> None:
        self.number, self._crowded, self._is_new = number, 0, True
        self.remember(number, number)
        self._choose(number)
        self._measure_anew()


def use_threads(asked: int | None) -> Threads:
    """The threads of the CPU for each training: always this many, or as PyTorch has it, or fewer.

    PyTorch is set to the number that was asked for, so that all that follows has it.
    """
    if asked:
        torch.set_num_threads(asked)
    return Threads(fixed=asked)
