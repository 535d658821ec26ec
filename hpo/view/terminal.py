"""A study on a terminal while it runs: a live view, or plain lines where nobody watches."""

import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TextIO

from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from hpo.search.observer import Observer
from hpo.study.checked import BrokenStudy
from hpo.study.limits import spending_of, wanted_trials
from hpo.study.space import SearchSpace
from hpo.study.study import StoredStudy
from hpo.study.trials import best_trial, finished, record
from hpo.view.format import (
    amount,
    duration,
    how_far,
    outcome,
    percent,
    shape,
    shown_error,
    sparkline,
)
from hpo.view.status import Standing, StatusReader
from model.architecture import Architecture
from model.configuration import Configuration

READING = 1.0  # seconds between two reads of the study
ABSENT = (StorageInternalError, SQLAlchemyError, BrokenStudy)
"""What a read of the study may raise; the search itself says so if it has to end."""

logger = logging.getLogger(__name__)


class StudyView:
    """The trials that run and those that ended last, whichever process runs them."""

    def __init__(self, stored: StoredStudy) -> None:
        """Read the study for the first time."""
        self._space, self._reader = stored.space, StatusReader(stored)
        self._epochs = stored.settings.training.epochs
        self.standing = self._reader.read()

    def read(self) -> Standing:
        """Read the study again."""
        self.standing = self._reader.read()
        return self.standing

    def __rich__(self) -> Group:
        """Draw what was read last."""
        spent = self.standing.spending
        budget = [Text(f"{amount(spent)} spent", no_wrap=True)] if spent else []
        return Group(self._heading(), *budget, Text(), self._table())

    def _heading(self) -> Table:
        now = self.standing
        failed = now.states[TrialState.FAIL] - now.handed_back - now.retried
        counts = [f"{now.states[TrialState.PRUNED]} pruned", f"{failed} failed"]
        if now.retried:
            counts.append(f"{now.retried} retried")
        best = now.best and now.best.value is not None
        trials = now.finished if now.wanted is None else f"{now.finished} / {now.wanted}"
        grid = Table.grid(padding=(0, 2))
        grid.add_row(
            Text(f"{trials} trials", no_wrap=True),
            ProgressBar(total=1, completed=now.share, width=24),
            Text(f"best {percent(now.best.value)} (trial {now.best.number})" if best else ""),  # type: ignore[arg-type, union-attr]
            Text(", ".join(counts)),
            Text(f"about {duration(now.seconds_left)} left" if now.seconds_left else ""),
        )
        return grid

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("trial", "error", "epochs"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("by epoch", no_wrap=True)
        table.add_column("network", no_wrap=True, overflow="ellipsis")
        table.add_column("outcome", no_wrap=True, overflow="ellipsis", ratio=1)
        best = self.standing.best
        for trial in self.standing.recent:
            green = best is not None and trial.number == best.number
            self._add(table, trial, outcome(trial), "green" if green else "")
        for trial in self.standing.running:
            self._add(table, trial, self._pace(trial), "bold")
        return table

    def _add(self, table: Table, trial: FrozenTrial, last: str, style: str) -> None:
        errors = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
        network = self._network(trial)
        table.add_row(
            str(trial.number),
            shown_error(trial),
            f"{len(errors)} / {self._epochs}",
            sparkline(errors),
            shape(network) if network else "",
            Text(last),  # not markup
            style=style,
        )

    def _network(self, trial: FrozenTrial) -> Architecture | None:
        if record(trial).weights is None:  # its parameters are not all drawn yet
            return None
        return self._space.configuration(trial.params, 0).network

    def _pace(self, trial: FrozenTrial) -> str:
        left = seconds_left(trial, self._epochs, datetime.now())
        if left is None:
            return "starting"
        pace = record(trial).pairs_per_second
        return (f"{pace:,.0f} pairs/s, " if pace else "") + f"{duration(left)} left"


def seconds_left(trial: FrozenTrial, epochs: int, now: datetime) -> float | None:
    """How long a running trial goes on if nothing cuts it short; None before its first epoch.

    Args:
        trial: the trial.
        epochs: of a trial that is not cut short.
        now: local time, as Optuna gives a trial's start.
    """
    done = len(trial.intermediate_values)
    here = done - (record(trial).resumed_at or 0)
    if here <= 0 or trial.datetime_start is None:
        return None
    each = (now - trial.datetime_start).total_seconds() / here
    return max(0.0, each * (epochs - done))


@contextmanager
def live_view(stored: StoredStudy, stream: TextIO) -> Iterator[StudyView]:
    """Show a study on a terminal while the block runs.

    It is read in a thread of its own: a database that is away stops the view, not the search.
    """
    view, over = StudyView(stored), threading.Event()

    def read() -> None:
        while not over.wait(READING):
            with suppress(*ABSENT):
                view.read()

    reader = threading.Thread(target=read, daemon=True)
    with Live(get_renderable=lambda: view, console=Console(file=stream), refresh_per_second=2):
        reader.start()
        try:
            yield view
        finally:
            over.set()
            reader.join(timeout=2 * READING)
            if not reader.is_alive():
                with suppress(*ABSENT):
                    view.read()


def best_table(space: SearchSpace, leaders: Sequence[FrozenTrial]) -> Table:
    """The best trials with their main settings.

    Args:
        space: of the study.
        leaders: the best first.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("best", "trial", "error", "epoch"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("network", no_wrap=True)
    table.add_column("learning rates", no_wrap=True)
    table.add_column("M weights", justify="right", no_wrap=True)
    table.add_column("M multiply-adds", justify="right", no_wrap=True)
    for place, trial in enumerate(leaders, 1):
        network = space.configuration(trial.params, 0).network
        rates = " ".join(f"{trial.params[f'{layer}_lr']:.2g}" for layer in network.layers)
        table.add_row(
            str(place),
            str(trial.number),
            shown_error(trial),
            str((record(trial).best_epoch or 0) + 1),
            shape(network),
            rates,
            f"{network.weights / 1e6:.2f}",
            f"{network.multiply_adds / 1e6:.1f}",
        )
    return table


class BudgetLine(Observer):
    """Logs a line when the budget is used up while trials run."""

    def budget_used_up(self, running: int) -> None:
        """Say that they are finished."""
        trials = "1 trial" if running == 1 else f"{running} trials"
        logger.info("budget used up, finishing %s", trials)


class PlainLines(BudgetLine):
    """Logs a line for a trial's start and one for its end; an epoch alone is no line."""

    def __init__(self, stored: StoredStudy) -> None:
        self._stored = stored

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """Say what the trial trains."""
        network = configuration.network
        logger.info(
            "trial %d started: %s, %.1f M multiply-adds",
            number,
            shape(network),
            network.multiply_adds / 1e6,
        )

    def trial_finished(self, trial: FrozenTrial) -> None:
        """Say how the trial ended, and where the study stands, other processes' trials included."""
        study = self._stored.study
        lowest = best_trial(study)
        best = f"; best {percent(lowest.value)} (trial {lowest.number})" if lowest else ""  # type: ignore[arg-type]
        logger.info(
            "trial %d %s: error %s in %s; %s%s",
            trial.number,
            outcome(trial),
            shown_error(trial),
            duration(record(trial).seconds or 0),
            how_far(finished(study), wanted_trials(study), spending_of(self._stored)),
            best,
        )


@contextmanager
def show_progress(stored: StoredStudy) -> Iterator[Observer]:
    """What suits where stderr goes: the view of the study, shown inside the block, or lines."""
    if not sys.stderr.isatty():
        yield PlainLines(stored)
        return
    with live_view(stored, sys.stderr):
        yield BudgetLine()
