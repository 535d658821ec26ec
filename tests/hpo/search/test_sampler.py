from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any, get_args
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from syrupy.assertion import SnapshotAssertion

from hpo.search import sampler
from hpo.search.pruners import make_pruner
from hpo.search.sampler import BuildableSampler, SpaceUsedUp, UnivariateTPE, inner_sampler
from hpo.study.settings import SamplerName, StudySettings, read_settings
from hpo.study.space import SearchSpace
from tests.hpo.fixture_types import Open
from tests.hpo.tiny_study import tiny_settings

PAPER = read_settings(Path(__file__).parents[3] / "studies/paper.toml")
STARTUP = 10
SAMPLERS = [
    pytest.param(name, marks=pytest.mark.soak if name == "gp" else ())  # the slowest by far
    for name in get_args(SamplerName)
]


def wrapped(
    name: SamplerName, space: SearchSpace, seed: int, study: optuna.Study
) -> BuildableSampler:
    return BuildableSampler(partial(inner_sampler, name, space, STARTUP), space, seed, study)


def search(
    settings: StudySettings, name: SamplerName, trials: int, seed: int = 0, restart: int = 0
) -> optuna.Study:
    """Ask for trials whose error is least at large kernels, where few proposals fit.

    If it is given, the sampler is made anew after every ``restart`` trials, as by a new process.
    """
    space = SearchSpace(settings)
    study = optuna.create_study(pruner=make_pruner(settings))
    study.sampler = wrapped(name, space, seed, study)
    for number in range(trials):
        if restart and number % restart == 0:
            study.sampler = wrapped(name, space, seed, study)
        trial = study.ask()
        params = space.suggest(trial)
        error = 1 - sum(params[k] for k in space.kernels) / 80 + abs(params["fc_momentum"] - 0.5)
        if number % 4 == 3:
            trial.report(error, 0)
            trial.should_prune()  # Hyperband makes its brackets when it is first asked
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, error)
    return study


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("random", 300),
        ("tpe", 120),
        ("tpe-univariate", 50),
        ("gp", 15),
        pytest.param("random", 1000, marks=pytest.mark.soak),
        pytest.param("tpe", 400, marks=pytest.mark.soak),
        pytest.param("tpe-univariate", 200, marks=pytest.mark.soak),
        pytest.param("gp", 25, marks=pytest.mark.soak),
    ],
)
def test_every_proposal_is_buildable_new_and_in_the_space(name: SamplerName, trials: int) -> None:
    space = SearchSpace(PAPER)
    study = search(PAPER, name, trials)
    assert len(study.trials) == trials
    for trial in study.trials:
        assert trial.distributions == space.distributions
        assert space.fits([trial.params[k] for k in space.kernels])
        for parameter, value in trial.params.items():
            assert space.distributions[parameter]._contains(value), (parameter, value)
        space.configuration(trial.params, 0)
    assert len({tuple(t.params.items()) for t in study.trials}) == trials
    kernels = {tuple(t.params[k] for k in space.kernels) for t in study.trials}
    assert len(kernels) > trials / 100 + STARTUP  # proposals do not collapse onto the border


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_proposal_costs_more_than_the_study_allows(tmp_path: Path, name: SamplerName) -> None:
    free, chance = SearchSpace(tiny_settings(tmp_path)), np.random.default_rng(0)
    drawn = [free.architecture(free.draw(chance)).multiply_adds for _ in range(60)]
    limit = sorted(drawn)[30]
    cheap = tiny_settings(tmp_path, f"space.multiply_adds={limit}")
    space = SearchSpace(cheap)
    study = search(cheap, name, 30)
    found = [space.architecture(t.params).multiply_adds for t in study.trials]
    assert max(found) <= limit
    assert len(set(found)) > 10
    for trial in study.trials:
        assert trial.distributions == free.distributions


def test_a_size_that_is_not_searched_counts_too(tmp_path: Path) -> None:
    fixed = "space.filters={ low = 32, high = 32 }"
    free = SearchSpace(tiny_settings(tmp_path, fixed))
    smallest = {name: sizes.low for name, sizes in free.sizes.items()}
    limit = free.architecture(smallest).multiply_adds
    settings = tiny_settings(tmp_path, fixed, f"space.multiply_adds={limit}")
    study = search(settings, "tpe", STARTUP + 10)
    found = [free.architecture(trial.params).multiply_adds for trial in study.trials]
    assert max(found) <= limit
    assert len(set(found)) > 3


def test_what_a_trial_was_enqueued_with_is_kept_and_the_rest_goes_with_it(tmp_path: Path) -> None:
    free = SearchSpace(tiny_settings(tmp_path))
    given = {"conv1_filters": 32, "conv2_filters": 32, "fc_units": 256}
    cheapest = {"conv1_kernel": 3, "conv2_kernel": 3, **given}
    limit = free.architecture(cheapest).multiply_adds
    settings = tiny_settings(tmp_path, f"space.multiply_adds={limit}")
    space = SearchSpace(settings)
    study = optuna.create_study()
    study.sampler = wrapped("tpe", space, 0, study)
    for _ in range(20):
        study.enqueue_trial(given)
        params = space.suggest(study.ask())
        assert given.items() <= params.items()
        assert space.affordable(params)


@pytest.mark.parametrize(
    ("name", "trials"), [("tpe", 100), pytest.param("gp", 25, marks=pytest.mark.soak)]
)
def test_the_model_finds_what_chance_does_not(name: SamplerName, trials: int) -> None:
    assert search(PAPER, name, trials, seed=1).best_value < search(PAPER, "random", 100).best_value


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_restart_changes_nothing(tmp_path: Path, name: SamplerName) -> None:
    settings = tiny_settings(tmp_path)
    whole = search(settings, name, 16)
    broken = search(settings, name, 16, restart=3)
    assert [t.params for t in whole.trials] == [t.params for t in broken.trials]
    other = search(settings, name, 4, seed=9)
    assert [t.params for t in whole.trials[:4]] != [t.params for t in other.trials]


@pytest.mark.parametrize("name", ["tpe", "tpe-univariate", "random"])
def test_a_seed_proposes_what_it_always_has(
    tmp_path: Path, name: SamplerName, snapshot: SnapshotAssertion
) -> None:
    trials = search(tiny_settings(tmp_path), name, 13).trials
    shown = [
        " ".join(f"{key}={value:.4g}" for key, value in trial.params.items())
        for trial in (trials[0], trials[STARTUP], trials[-1])
    ]
    assert shown == snapshot


def test_every_trial_has_a_sampler_of_its_own_which_is_told_of_it(tmp_path: Path) -> None:
    space, study, made = SearchSpace(tiny_settings(tmp_path)), optuna.create_study(), []
    seeds = list[int]()

    def make(seed: int) -> Mock:
        seeds.append(seed)
        made.append(Mock(wraps=optuna.samplers.RandomSampler(seed)))
        return made[-1]

    study.sampler = BuildableSampler(make, space, 7, study)
    for number in range(300):
        study.tell(study.ask(), number / 1000)
    assert len(set(seeds)) == 300
    assert 0 <= min(seeds) < 2**30 < max(seeds) < 2**31
    last = study.trials[-1]
    (asked_of, begun), (told_of, *ended) = (
        getattr(made[-1], call).call_args.args for call in ("before_trial", "after_trial")
    )
    assert asked_of.study_name == told_of.study_name == study.study_name
    assert begun.number == ended[0].number == last.number
    assert ended[1:] == [TrialState.COMPLETE, [0.299]]


def test_another_seed_of_a_study_is_another_search(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    first = [
        search(settings, "random", 1, seed).trials[0].params
        for seed in (0, 1, 126, 2**32, 2**63 - 1)
    ]
    assert all(one != other for one, other in combinations(first, 2))


@pytest.mark.soak
def test_startup_is_uniform_over_what_fits() -> None:
    space = SearchSpace(PAPER)
    fitting = [k for k in product(range(3, 21), repeat=4) if space.fits(k)]
    drawn = [
        tuple(t.params[k] for k in space.kernels) for t in search(PAPER, "random", 1000).trials
    ]
    for layer in range(4):
        for kernel in (3, 10, 20):
            expected = sum(k[layer] == kernel for k in fitting) / len(fitting)
            found = sum(k[layer] == kernel for k in drawn) / len(drawn)
            assert found == pytest.approx(expected, abs=0.04)


def discrete(tmp_path: Path, pruner: str) -> StudySettings:
    """A space of 2 × 2 kernels alone."""
    return tiny_settings(
        tmp_path,
        f"search.pruner={pruner}",
        "space.kernel={ low = 3, high = 4 }",
        "space.filters={ low = 16, high = 16 }",
        "space.fc_units={ low = 128, high = 128 }",
        "space.lr={ low = 0.1, high = 0.1 }",
        "space.momentum={ low = 0.5, high = 0.5 }",
        "space.l2={ low = 0, high = 0 }",
    )


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
@pytest.mark.parametrize("name", ["tpe", "random"])
def test_no_configuration_is_proposed_twice_and_an_empty_space_is_said(
    tmp_path: Path, name: SamplerName, pruner: str
) -> None:
    settings = discrete(tmp_path, pruner)
    study = search(settings, name, 4, restart=1)
    assert len({(t.params["conv1_kernel"], t.params["conv2_kernel"]) for t in study.trials}) == 4
    with pytest.raises(SpaceUsedUp) as refused:
        SearchSpace(settings).suggest(study.ask())
    assert str(refused.value) == (
        "every configuration that the sampler finds is in the study already: "
        "widen the ranges of the study file, or stop here"
    )


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_nor_is_one_that_still_runs(tmp_path: Path, name: SamplerName) -> None:
    space, study = SearchSpace(discrete(tmp_path, "none")), optuna.create_study()
    study.sampler = wrapped(name, space, 0, study)
    asked = [space.suggest(study.ask()) for _ in range(4)]  # none of which is told
    assert len({(params["conv1_kernel"], params["conv2_kernel"]) for params in asked}) == 4
    with pytest.raises(SpaceUsedUp):
        space.suggest(study.ask())


@pytest.mark.parametrize("seed", range(4))
def test_nor_is_one_that_another_worker_has_chosen_and_not_yet_written(
    tmp_path: Path, seed: int
) -> None:
    space, study = SearchSpace(discrete(tmp_path, "none")), optuna.create_study()
    study.sampler = wrapped("random", space, seed, study)
    first, second = study.ask(), study.ask()
    assert first.relative_params.keys() == second.relative_params.keys()  # both have chosen
    params = [space.suggest(first)]
    study.tell(second, state=TrialState.FAIL)
    params += [space.suggest(study.ask()) for _ in range(3)]
    assert len({(one["conv1_kernel"], one["conv2_kernel"]) for one in params}) == 4


def test_the_trials_of_all_brackets_count_as_startup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings(tmp_path, "search.pruner=hyperband", "training.epochs=27")
    seen = list[int]()

    class Counting(UnivariateTPE):
        def sample_relative(self, study: optuna.Study, *rest: Any) -> dict[str, Any]:
            seen.append(len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))))
            return super().sample_relative(study, *rest)

    monkeypatch.setattr(sampler, "UnivariateTPE", Counting)
    search(settings, "tpe-univariate", STARTUP)
    assert seen == list(range(STARTUP))


def test_a_study_has_the_sampler_and_the_startup_that_its_file_names(
    open_study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Mock(wraps=UnivariateTPE)
    monkeypatch.setattr(sampler, "UnivariateTPE", made)
    stored = open_study("search.sampler=tpe-univariate", "search.startup_trials=4")
    stored.space.suggest(stored.study.ask())
    assert made.call_args.args[0] == 4


@pytest.mark.parametrize("name", get_args(SamplerName))
def test_a_parameter_that_is_not_the_spaces_is_left_to_the_sampler_within(
    name: SamplerName,
) -> None:
    study = search(PAPER, name, trials=1)
    trial = study.ask()
    assert 7 <= trial.suggest_float("another", 7, 9) <= 9
    assert trial.distributions["another"] == FloatDistribution(7, 9)
