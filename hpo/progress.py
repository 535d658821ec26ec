"""What a search shows while it runs: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from model.config import Configuration
from model.training import History


def hush_optuna() -> None:
    """Leave the telling to this program: no log lines and no notes on experimental features."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


BARS = "▁▂▃▄▅▆▇█"
RECENT = 8  # trials in the live view


def percent(share: float) -> str:
    """0.1234 → 12.3 %."""
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 7 min, 3.5 h, 12 days, 4 years."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            amount = seconds / unit
            return f"{amount:.1f} {name}" if amount < 10 else f"{amount:.0f} {name}"
    days = seconds / 86_400
    return f"{days:.0f} days" if days < 730 else f"{days / 365:.0f} years"


def shape(configuration: Configuration) -> str:
    """The layers of a network in short: 64@10 128@7 128@4 256@4 fc 4096."""
    layers = [f"{c.filters}@{c.kernel}" for c in configuration.network.convolutions]
    return " ".join([*layers, "fc", str(configuration.network.fc_units)])


def outcome(trial: FrozenTrial) -> str:
    """How a trial ended, in a few words."""
    reason = trial.user_attrs.get("fail_reason")
    if reason:
        return str(reason)
    if trial.state == TrialState.PRUNED:
        return f"pruned after epoch {trial.last_step}"
    if trial.state == TrialState.FAIL:
        return "failed without a sign of life"
    return trial.state.name.lower()


def _lowest(trial: FrozenTrial) -> str:
    """The lowest error of any epoch, for pruned trials too."""
    errors = trial.intermediate_values.values()
    return percent(min(errors)) if errors else "–"


def sparkline(errors: list[float]) -> str:
    """A curve of errors as a row of bars; a full bar is an error of one."""
    return "".join(BARS[min(int(e * len(BARS)), len(BARS) - 1)] for e in errors)


class Progress:
    """Plain lines on stderr: one for a trial's start, one for its end.

    Attributes:
        total: finished trials that the study shall hold.
        done: those that it has.
        best: number and error of its best trial, or None.
    """

    def __init__(self, total: int, done: int, best: tuple[int, float] | None) -> None:
        self.total, self.done, self.best = total, done, best

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """Say what the trial trains."""
        millions = configuration.network.multiply_adds / 1e6
        tell(f"trial {number} started: {shape(configuration)}, {millions:.1f} M multiply-adds")

    def epoch_done(self, number: int, history: History) -> None:
        """An epoch alone is no line: the study keeps them all."""

    def trial_finished(self, trial: FrozenTrial) -> None:
        """Say how the trial ended and what is the best so far."""
        self._count(trial)
        tell(
            f"trial {trial.number} {outcome(trial)}: error {_lowest(trial)} "
            f"in {duration(trial.user_attrs.get('seconds', 0))}; "
            f"{self.done} of {self.total} trials{self._best_so_far('; ')}"
        )

    def _count(self, trial: FrozenTrial) -> None:
        self.done += trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        trained = trial.state == TrialState.COMPLETE and "fail_reason" not in trial.user_attrs
        if trained and trial.value is not None and (not self.best or trial.value < self.best[1]):
            self.best = trial.number, trial.value

    def _best_so_far(self, before: str = "") -> str:
        return f"{before}best {percent(self.best[1])} (trial {self.best[0]})" if self.best else ""


class LiveProgress(Progress):
    """A view on the terminal that is drawn anew after every epoch.

    Attributes:
        live: the view; it shows while it is entered.
    """

    def __init__(self, total: int, done: int, best: tuple[int, float] | None) -> None:
        super().__init__(total, done, best)
        self._first, self._started = done, time.monotonic()
        self._shapes: dict[int, str] = {}
        self._recent: list[FrozenTrial] = []
        self._running: tuple[int, Configuration, History] | None = None
        self.live = Live(self._view(), console=Console(stderr=True), refresh_per_second=4)

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """Show the new trial."""
        self._shapes[number] = shape(configuration)
        self._running = number, configuration, History()
        self.live.update(self._view())

    def epoch_done(self, number: int, history: History) -> None:
        """Show the trial's newest epoch."""
        if self._running:
            self._running = number, self._running[1], history
        self.live.update(self._view())

    def trial_finished(self, trial: FrozenTrial) -> None:
        """Move the trial to the list of those that ended."""
        self._count(trial)
        self._recent = [*self._recent, trial][-RECENT:]
        self._running = None
        self.live.update(self._view())

    def _view(self) -> Group:
        heading = Table.grid(padding=(0, 2))
        spent, ran = time.monotonic() - self._started, self.done - self._first
        left = f"about {duration(spent / ran * (self.total - self.done))} left" if ran else ""
        bar = ProgressBar(total=max(self.total, 1), completed=self.done, width=30)
        heading.add_row(f"{self.done} / {self.total} trials", bar, self._best_so_far(), left)

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("trial", "error", "epochs", "by epoch", "network", "outcome"):
            table.add_column(name, justify="right" if name in ("trial", "error") else "left")
        for trial in self._recent:
            errors = list(trial.intermediate_values.values())
            table.add_row(
                str(trial.number),
                _lowest(trial),
                str(len(errors)),
                sparkline(errors),
                self._shapes.get(trial.number, ""),
                outcome(trial),
                style="green" if self.best and trial.number == self.best[0] else "",
            )
        if self._running:
            number, configuration, history = self._running
            errors = [epoch.error for epoch in history.epochs]
            table.add_row(
                str(number),
                percent(min(errors)) if errors else "…",
                f"{len(errors)} / {configuration.training.epochs}",
                sparkline(errors),
                shape(configuration),
                f"{history.pairs_per_second:,.0f} pairs/s" if errors else "starting",
                style="bold",
            )
        return Group(heading, Text(), table)


def tell(text: str) -> None:
    """Say a line, on stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def make_progress(total: int, done: int, best: FrozenTrial | None) -> Iterator[Progress]:
    """The view that suits where stderr goes, shown inside the block.

    Args:
        total: finished trials that the study shall hold.
        done: those that it has.
        best: the best of them.
    """
    known = (best.number, best.value) if best and best.value is not None else None
    if not sys.stderr.isatty():
        yield Progress(total, done, known)
        return
    view = LiveProgress(total, done, known)
    with view.live:
        yield view
