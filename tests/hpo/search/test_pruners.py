from pathlib import Path
from typing import get_args

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hpo.search.pruners import make_pruner
from hpo.study.settings import PrunerName
from tests.hpo.tiny_study import tiny_settings


def states(tmp_path: Path, name: PrunerName, epochs: int, *changes: str) -> list[TrialState]:
    """What becomes of 30 trials, each with a larger error than that before it."""
    return [trial.state for trial in trials(tmp_path, name, epochs, *changes)]


def trials(tmp_path: Path, name: PrunerName, epochs: int, *changes: str) -> list[FrozenTrial]:
    """Those trials."""
    how = (f"search.pruner={name}", f"training.epochs={epochs}", "search.pruner_warmup=2")
    settings = tiny_settings(tmp_path, *how, *changes)
    study = optuna.create_study(study_name="of worse ones", pruner=make_pruner(settings))

    def objective(trial: optuna.Trial) -> float:
        for epoch in range(epochs):
            trial.report(trial.number / 30, epoch)
            if trial.should_prune():
                assert epoch >= 2, "pruned while warming up"
                raise optuna.TrialPruned
        return trial.number / 30

    study.optimize(objective, n_trials=30)
    return study.trials


@pytest.mark.parametrize("name", get_args(PrunerName))
def test_the_worse_are_pruned_after_the_warm_up(tmp_path: Path, name: PrunerName) -> None:
    found = states(tmp_path, name, epochs=20)
    assert found[0] == TrialState.COMPLETE
    assert (TrialState.PRUNED in found) == (name != "none")


@pytest.mark.parametrize("name", get_args(PrunerName))
def test_a_study_of_one_epoch_prunes_nothing(tmp_path: Path, name: PrunerName) -> None:
    assert set(states(tmp_path, name, epochs=1)) == {TrialState.COMPLETE}


@pytest.mark.parametrize("name", ["hyperband", "halving"])
@pytest.mark.parametrize(("factor", "rungs"), [(2, 4), (4, 2), (5, 2)])
def test_the_rungs_lie_so_many_times_as_far_apart(
    tmp_path: Path, name: PrunerName, factor: int, rungs: int
) -> None:
    """After the epochs 2, 4, 8 and 16; or after 2 and 8, or 2 and 10."""
    found = trials(tmp_path, name, 20, f"search.pruner_factor={factor}")
    passed = [sum("completed_rung" in key for key in trial.system_attrs) for trial in found]
    assert max(passed) == rungs


@pytest.mark.parametrize("name", ["hyperband", "halving"])
def test_trials_that_run_at_once_are_pruned_before_any_has_ended(
    tmp_path: Path, name: PrunerName
) -> None:
    how = (f"search.pruner={name}", "training.epochs=20", "search.pruner_warmup=2")
    pruner = make_pruner(tiny_settings(tmp_path, *how))
    study = optuna.create_study(study_name="at once", pruner=pruner)
    running = [study.ask() for _ in range(12)]
    to_be_pruned = set()
    for epoch in range(8):
        for trial in running:
            trial.report(trial.number / 12, epoch)
            if trial.should_prune():
                to_be_pruned.add(trial.number)
    assert to_be_pruned
    assert 0 not in to_be_pruned
