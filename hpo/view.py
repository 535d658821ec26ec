"""A study as it stands, drawn on a terminal again and again."""

from __future__ import annotations

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

from hpo.space import SearchSpace
from hpo.status import Standing, StatusReader
from hpo.study import StoredStudy
from hpo.wording import duration, lowest_error, outcome, percent, shape, sparkline
from model.architecture import Architecture

READING = 1.0  # seconds between two reads of the study


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
        budget = [Text(f"{spent} spent", no_wrap=True)] if spent else []
        return Group(self._heading(), *budget, Text(), self._table())

    def _heading(self) -> Table:
        now = self.standing
        pruned, failed = now.states[TrialState.PRUNED], now.states[TrialState.FAIL] - now.retried
        counts = [f"{pruned} pruned", f"{failed} failed"]
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
            lowest_error(trial),
            f"{len(errors)} / {self._epochs}",
            sparkline(errors),
            shape(network) if network else "",
            last,
            style=style,
        )

    def _network(self, trial: FrozenTrial) -> Architecture | None:
        if "weights" not in trial.user_attrs:  # its parameters are not all drawn yet
            return None
        return self._space.configuration(trial.params, 0).network

    def _pace(self, trial: FrozenTrial) -> str:
        left = seconds_left(trial, self._epochs, datetime.now())
        if left is None:
            return "starting"
        pace = trial.user_attrs.get("pairs_per_second")
        return (f"{pace:,.0f} pairs/s, " if pace else "") + f"{duration(left)} left"


def seconds_left(trial: FrozenTrial, epochs: int, now: datetime) -> float | None:
    """How long a running trial goes on if nothing cuts it short; None before its first epoch.

    Args:
        trial: the trial.
        epochs: of a trial that is not cut short.
        now: local time, as Optuna gives a trial's start.
    """
    done = len(trial.intermediate_values)
    here = done - int(trial.user_attrs.get("resumed_at", 0))
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
            with suppress(StorageInternalError, SQLAlchemyError):
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
                with suppress(StorageInternalError, SQLAlchemyError):
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
            lowest_error(trial),
            str(trial.user_attrs["best_epoch"]),
            shape(network),
            rates,
            f"{network.weights / 1e6:.2f}",
            f"{network.multiply_adds / 1e6:.1f}",
        )
    return table
