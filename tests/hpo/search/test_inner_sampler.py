"""The models behind the proposals: when they begin, what they come to, and what they see."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from hpo.search.sampler import UnivariateTPE, inner_sampler
from hpo.study.settings import SamplerName
from hpo.study.space import SearchSpace
from tests.hpo.tiny_study import tiny_settings

STARTUP = 10
SPACE = {name: FloatDistribution(0.0, 1.0) for name in "abcdefgh"}


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


def test_it_has_a_model_as_soon_as_so_many_have_finished() -> None:
    found = distances(UnivariateTPE(4, 0), 9)
    again = distances(UnivariateTPE(9, 0), 9)
    assert found[:4] == again[:4]
    assert found[4:] != again[4:]  # nine by chance: Optuna's own start-up would be ten


@pytest.mark.parametrize("name", ["tpe", "tpe-univariate", "gp"])
def test_it_proposes_nothing_before_so_many_have_finished_and_everything_then(
    tmp_path: Path, name: SamplerName
) -> None:
    space, chance = SearchSpace(tiny_settings(tmp_path)), np.random.default_rng(0)
    study, asked = optuna.create_study(), dict(space.distributions)
    study.add_trial(create_trial(state=TrialState.FAIL))
    proposed = []
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE, None):
        study.ask()  # a trial that only runs counts as little as one that failed
        made = inner_sampler(name, space, 3, seed=0)
        proposed.append(made.sample_relative(study, study.trials[-1], asked))
        if state:
            params = space.draw(chance)
            error = params["fc_momentum"]
            finished = create_trial(
                state=state,
                value=error,
                params=params,
                distributions=asked,
                intermediate_values={0: error},
            )
            study.add_trial(finished)
    assert proposed[:3] == [{}] * 3
    assert proposed[3].keys() == asked.keys()
    assert all(asked[parameter]._contains(v) for parameter, v in proposed[3].items())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["tpe", "tpe-univariate"])
def test_what_runs_already_is_not_where_the_model_looks_next(
    tmp_path: Path, name: SamplerName, seed: int
) -> None:
    space = SearchSpace(tiny_settings(tmp_path))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    for _ in range(STARTUP):
        trial = study.ask(dict(SPACE))
        study.tell(trial, sum(trial.params.values()))
    study.add_trial(create_trial(state=TrialState.RUNNING))
    asking = study.trials[-1]

    def proposed() -> dict[str, float]:
        made = inner_sampler(name, space, STARTUP, seed)
        return made.sample_relative(study, asking, dict(SPACE))

    first = proposed()
    assert proposed() == first
    running = create_trial(state=TrialState.RUNNING, params=first, distributions=dict(SPACE))
    study.add_trial(running)
    assert proposed() != first
