"""Which trials are pruned, stopped ones among them, and when."""

from itertools import count
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
import torch
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from data.pairs import PairBatch
from hpo.search import loop
from hpo.search.objective import Objective
from hpo.study.study import StoredStudy
from hpo.study.trials import finished
from hpo.view.terminal import PlainLines
from model.history import Interrupted
from model.inputs import Inputs
from model.training import Trainer
from tests.hpo.fixture_types import Open, Run


class _Always(NopPruner):
    """Prunes at every epoch from one on."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.asked: list[int] = []

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        assert trial.last_step is not None
        self.asked.append(trial.last_step)
        return trial.last_step >= self._first


@pytest.mark.parametrize(("first", "epochs", "state"), [(2, 3, "COMPLETE"), (1, 2, "PRUNED")])
def test_a_trial_is_not_pruned_where_no_epoch_is_left(
    stored: StoredStudy,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
    epochs: int,
    state: str,
) -> None:
    pruner = _Always(first)
    monkeypatch.setattr(loop, "make_pruner", lambda settings: pruner)
    run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.state.name == state
    assert list(trial.intermediate_values) == pruner.asked == list(range(epochs))


def test_nor_is_one_that_was_stopped_after_its_last_epoch(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruner = _Always(2)
    monkeypatch.setattr(loop, "make_pruner", lambda settings: pruner)
    with monkeypatch.context() as patch:
        patch.setattr(pruner, "prune", Mock(side_effect=[False, False, Interrupted("a reboot")]))
        run(stored, 1)
    run(stored, 1)
    stopped, again = stored.study.trials
    assert (stopped.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert again.user_attrs["resumed_at"] == 3
    assert pruner.asked == [0, 1, 2]


def test_one_that_was_stopped_is_pruned_as_soon_as_its_epochs_are_told(
    open_study: Open,
    run: Run,
    small_inputs: Inputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = open_study("training.epochs=4")
    errors = iter([0.4, 0.2, 0.3])
    monkeypatch.setattr(Trainer, "validate", lambda trainer: next(errors))
    pruner = _Always(1)
    monkeypatch.setattr(loop, "make_pruner", lambda settings: pruner)
    with monkeypatch.context() as patch:
        patch.setattr(pruner, "prune", Mock(side_effect=[False, False, Interrupted("a reboot")]))
        run(stored, 1)
    objective = Objective(
        stored, small_inputs, tmp_path / "results", PlainLines(stored), lambda: None
    )
    with pytest.raises(optuna.TrialPruned, match=r"^after 3 epochs at error 0\.300$"):
        objective(stored.study.ask())
    assert pruner.asked == [0, 1, 2]


def test_one_that_was_stopped_in_its_first_epoch_is_not_pruned_for_it(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Trainer._backward
    done = count()

    def stopped(self: Trainer, batch: PairBatch) -> torch.Tensor:
        if next(done) == 2:
            self.partial.seconds += 1000
            raise Interrupted("a reboot")
        return plain(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", stopped)
        run(stored, 1)
    run(stored, 1)
    _, again = stored.study.trials
    assert (again.state, again.user_attrs["resumed_at"]) == (TrialState.COMPLETE, 0)
    assert 1000 < again.user_attrs["seconds"] < 1100  # those of the part of an epoch count


def test_nor_is_one_that_stopped_early(
    open_study: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a patience of one epoch it ends at the first error that is no lower."""
    errors = iter([0.5, 0.5])
    monkeypatch.setattr(Trainer, "validate", lambda trainer: next(errors))
    monkeypatch.setattr(loop, "make_pruner", lambda settings: _Always(1))
    stored = open_study("training.patience=1")
    run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 0.5


def test_poor_trials_are_pruned_and_count_as_finished(open_study: Open, run: Run) -> None:
    stored = open_study("search.pruner=halving", "search.pruner_factor=4")
    run(stored, 6)
    states = [t.state for t in stored.study.trials]
    assert TrialState.PRUNED in states
    assert finished(stored.study) == len(states) == 6
    for trial in stored.study.trials:
        assert list(trial.intermediate_values) == list(range((trial.last_step or 0) + 1))
        assert {"best_error", "seconds", "pairs_per_second"} <= set(trial.user_attrs)
