"""Studies, trials and processes that tests make up."""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from statistics import mean

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console, RenderableType

from hpo.search.stopping import Stop
from hpo.study.confirmations import keep_result
from hpo.study.owner import Owner, owner
from hpo.study.study import StoredStudy
from hpo.study.trials import FINISHED, is_handed_back, trained_trials
from hpo.view.status import StatusReader
from model.history import Interrupted
from model.training import Trainer


def study_with(*errors: float) -> optuna.Study:
    """A study in memory whose complete trials have these errors."""
    study = optuna.create_study()
    for error in errors:
        study.add_trial(create_trial(value=error))
    return study


def keep(study: optuna.Study, trial: int, *errors: float, tasks: int = 100) -> None:
    for k, error in enumerate(errors):
        keep_result(study, trial, k, {"error": error, "tasks": tasks})


def gone() -> Owner:
    """The owner of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return {**owner(), "pid": process.pid}


def check_standing(stored: StoredStudy) -> None:
    """What is read from the tables is what Optuna's own reading gives."""
    now, trials = StatusReader(stored).read(), stored.study.get_trials(deepcopy=False)
    assert now.states == {s: sum(t.state == s for t in trials) for s in TrialState}
    assert [t.number for t in now.leaders] == [t.number for t in trained_trials(stored.study)[:5]]
    ended = [t for t in trials if t.datetime_complete]
    ended.sort(key=lambda t: (t.datetime_complete, t.number))
    assert [t.number for t in now.recent] == [t.number for t in ended[-8:]]
    assert [t.number for t in now.running] == [
        t.number for t in trials if t.state == TrialState.RUNNING
    ]
    took = [t.user_attrs["seconds"] for t in trials if t.state in FINISHED]
    assert (now.seconds is None) == (not took)
    assert now.seconds is None or abs(now.seconds - mean(took)) < 1e-9
    back = {t.number for t in trials if is_handed_back(t)}
    assert now.handed_back == len(back)
    assert now.retried == len({t.user_attrs.get("retry_of") for t in trials} - back - {None})
    untrainable = [
        t for t in trials if t.state == TrialState.COMPLETE and "fail_reason" in t.user_attrs
    ]
    assert now.untrainable == len(untrainable)


def drawn(view: RenderableType, width: int = 140, colours: bool = False) -> str:
    screen = io.StringIO()
    console = Console(
        file=screen,
        width=width,
        force_terminal=colours,
        color_system="standard" if colours else None,
        no_color=not colours,
    )
    console.print(view)
    return screen.getvalue()


def by_error(stored: StoredStudy) -> list[int]:
    trials = stored.study.get_trials(states=(TrialState.COMPLETE,))
    return [t.number for t in sorted(trials, key=lambda t: (t.value, t.number))]


@contextmanager
def killed_at(validation: int) -> Iterator[None]:
    """Ends whatever runs in the block before this validation (from 1), as good as dead."""
    plain, calls = Trainer.validate, count(1)

    def validate(trainer: Trainer) -> float:
        if next(calls) == validation:
            raise KeyboardInterrupt  # nobody catches it
        return plain(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "validate", validate)
        yield


@contextmanager
def stopped_at(look: int) -> Iterator[list[int]]:
    """Stops whatever runs in the block with Ctrl-C, at this look (from 1) whether it is to stop.

    Gives a list whose only number counts the looks.
    """
    looks = [0]

    def check(stop: Stop) -> None:
        looks[0] += 1
        if looks[0] == look:
            stop.reason = "Ctrl-C"
            raise Interrupted("Ctrl-C")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stop, "check", check)
        yield looks
