from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution

from hpo.univariate import UnivariateTPE

SPACE = {name: FloatDistribution(0.0, 1.0) for name in "abcdefgh"}
STARTUP = 10


def distances(sampler: optuna.samplers.BaseSampler, trials: int) -> list[float]:
    """How far each proposal is from the point where all parameters are 0.8, per parameter."""
    study = optuna.create_study(sampler=sampler)
    for _ in range(trials):
        trial = study.ask(dict(SPACE))
        study.tell(trial, sum(abs(trial.params[n] - 0.8) for n in SPACE) / len(SPACE))
    return [trial.value for trial in study.trials if trial.value is not None]


@pytest.mark.parametrize("seed", range(3))
def test_it_comes_nearer_once_it_has_a_model(seed: int) -> None:
    found = distances(UnivariateTPE(STARTUP, seed), 60)
    assert sum(found[-20:]) < sum(found[:STARTUP]) * 20 / STARTUP * 0.7


def test_it_proposes_nothing_before_and_everything_after() -> None:
    study = optuna.create_study()
    sampler = UnivariateTPE(2, 0)
    trial = study.ask(dict(SPACE))
    frozen = study.trials[0]
    assert sampler.sample_relative(study, frozen, dict(SPACE)) == {}
    study.tell(trial, 0.5)
    for value in (0.4, 0.3):
        study.tell(study.ask(dict(SPACE)), value)
    proposed = sampler.sample_relative(study, study.trials[-1], dict(SPACE))
    assert proposed.keys() == SPACE.keys()
    assert all(0 <= value <= 1 for value in proposed.values())
