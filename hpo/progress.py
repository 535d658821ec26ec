"""What a search says while it runs: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.goal import spending
from hpo.ranking import best_trial
from hpo.study import StoredStudy, finished, wanted
from hpo.view import live_view
from hpo.wording import duration, how_far, lowest_error, outcome, percent, shape
from hpo.worker import TrialsWatcher, Unwatched
from model.config import Configuration
from model.history import History


def hush_optuna() -> None:
    """Leave the telling to this program: no log lines and no notes on experimental features."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def tell(text: str) -> None:
    """Say a line, on stderr."""
    print(text, file=sys.stderr, flush=True)


class PlainLines:
    """Plain lines on stderr: one for a trial's start, one for its end."""

    def __init__(self, stored: StoredStudy) -> None:
        """Begin with what the study holds already."""
        self._stored, best = stored, best_trial(stored.study)
        self._total, self._done = wanted(stored.study), finished(stored.study)
        self._best = (best.number, best.value) if best and best.value is not None else None

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """Say what the trial trains."""
        network = configuration.network
        millions = network.multiply_adds / 1e6
        tell(f"trial {number} started: {shape(network)}, {millions:.1f} M multiply-adds")

    def epoch_done(self, number: int, history: History) -> None:
        """An epoch alone is no line: the study keeps them all."""

    def trial_finished(self, trial: FrozenTrial) -> None:
        """Say how the trial ended and what is the best so far."""
        self._done += trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        trained = trial.state == TrialState.COMPLETE and "fail_reason" not in trial.user_attrs
        if trained and trial.value is not None and (not self._best or trial.value < self._best[1]):
            self._best = trial.number, trial.value
        best = f"; best {percent(self._best[1])} (trial {self._best[0]})" if self._best else ""
        tell(
            f"trial {trial.number} {outcome(trial)}: error {lowest_error(trial)} "
            f"in {duration(trial.user_attrs.get('seconds', 0))}; "
            f"{how_far(self._done, self._total, spending(self._stored))}{best}"
        )


@contextmanager
def make_progress(stored: StoredStudy) -> Iterator[TrialsWatcher]:
    """What suits where stderr goes: the view of the study, shown inside the block, or lines."""
    if not sys.stderr.isatty():
        yield PlainLines(stored)
        return
    with live_view(stored, sys.stderr):
        yield Unwatched()
