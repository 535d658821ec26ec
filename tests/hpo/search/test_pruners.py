from pathlib import Path
from typing import get_args

import optuna
import pytest
from optuna.trial import TrialState

from hpo.search.pruners import make_pruner
from hpo.study.settings import PrunerName
from tests.hpo.tiny_study import tiny_settings


def states(tmp_path: Path, name: PrunerName, epochs: int) -> list[TrialState]:
    """What becomes of 30 trials, each with a larger error than that before it."""
    settings = tiny_settings(
        tmp_path, f"search.pruner={name}", f"training.epochs={epochs}", "search.pruner_warmup=2"
    )
    study = optuna.create_study(pruner=make_pruner(settings))

    def objective(trial: optuna.Trial) -> float:
        for epoch in range(epochs):
            trial.report(trial.number / 30, epoch)
            if trial.should_prune():
                assert epoch >= 2, "pruned while warming up"
                raise optuna.TrialPruned
        return trial.number / 30

    study.optimize(objective, n_trials=30)
    return [t.state for t in study.trials]


@pytest.mark.parametrize("name", get_args(PrunerName))
def test_the_worse_are_pruned_after_the_warm_up(tmp_path: Path, name: PrunerName) -> None:
    found = states(tmp_path, name, epochs=20)
    assert found[0] == TrialState.COMPLETE
    assert (TrialState.PRUNED in found) == (name != "none")


@pytest.mark.parametrize("name", get_args(PrunerName))
def test_a_study_of_one_epoch_prunes_nothing(tmp_path: Path, name: PrunerName) -> None:
    assert set(states(tmp_path, name, epochs=1)) == {TrialState.COMPLETE}
