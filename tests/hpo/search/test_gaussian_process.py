from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
from botorch.exceptions.errors import ModelFittingError
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search import posterior
from hpo.search.gaussian_process import KEPT, GaussianProcess
from hpo.search.posterior import MOST, Known, Posterior, known_of
from hpo.study.space import Params, SearchSpace, place_in_range
from tests.hpo.tiny_study import tiny_settings

TASKS = 320


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    return SearchSpace(tiny_settings(tmp_path))


def trained(*errors: float, **given: object) -> FrozenTrial:
    return create_trial(
        value=min(errors),
        intermediate_values=dict(enumerate(errors)),
        **given,  # type: ignore[arg-type]
    )


def pruned(*errors: float, **given: object) -> FrozenTrial:
    return create_trial(
        state=TrialState.PRUNED,
        value=errors[-1],
        intermediate_values=dict(enumerate(errors)),
        **given,  # type: ignore[arg-type]
    )


def numbered(*trials: FrozenTrial) -> list[FrozenTrial]:
    for number, trial in enumerate(trials):
        trial.number = number
    return list(trials)


def logit(error: float) -> float:
    return float(np.log(error / (1 - error)))


def test_a_trained_trial_is_known_but_for_the_chance_of_the_tasks() -> None:
    (one,) = known_of(numbered(trained(0.5, 0.2, 0.3)), TASKS)
    assert one.logit == pytest.approx(logit(0.2))
    assert one.variance == pytest.approx(1 / (TASKS * 0.2 * 0.8))


def test_a_pruned_trial_would_have_changed_as_the_trained_ones_did() -> None:
    trials = numbered(trained(0.8, 0.6, 0.4), trained(0.8, 0.7, 0.7), pruned(0.9, 0.8))
    one = known_of(trials, TASKS)[2]
    changes = [logit(0.4) - logit(0.6), 0.0]
    mean = sum(changes) / 2
    doubt = (sum((c - mean) ** 2 for c in changes) + (mean / 2) ** 2) / 2
    assert one.logit == pytest.approx(logit(0.8) + mean)
    assert one.variance == pytest.approx(1 / (TASKS * 0.8 * 0.2) + doubt)


def test_a_pruned_trial_that_nothing_compares_with_tells_nothing() -> None:
    assert known_of(numbered(pruned(0.5, 0.4)), TASKS) == []
    longer = known_of(numbered(trained(0.5), pruned(0.5, 0.4)), TASKS)
    assert [one.trial.number for one in longer] == [0]


def test_a_network_that_could_not_be_trained_counts_by_its_mark_and_teaches_no_change() -> None:
    broken = create_trial(
        value=1.0,
        intermediate_values={0: 0.3, 1: 1.0},
        user_attrs={"fail_reason": "diverged: loss nan"},
    )
    first, *others = known_of(numbered(broken, pruned(0.5)), TASKS)
    assert first.logit == pytest.approx(logit(posterior.CHANCE))
    assert others == []


def at(space: SearchSpace, params: Params, **given: object) -> dict[str, object]:
    return {"params": params, "distributions": space.distributions, **given}


def quality(space: SearchSpace, params: Params) -> float:
    """The error of a configuration: low where the first learning rate and momentum are high."""
    names = ("conv1_lr", "conv1_momentum", "fc_momentum")
    places = [place_in_range(space.distributions[n])(params[n]) for n in names]
    return 0.8 - 0.2 * sum(places)


def mean_quality(space: SearchSpace, trials: list[FrozenTrial], proposals: int = 8) -> float:
    """Of what is proposed after these trials, from several seeds."""
    study = optuna.create_study()
    study.add_trials(trials)
    trial = study.ask()
    found = [
        GaussianProcess(space, 4, seed).sample_relative(
            study, study.trials[trial.number], space.distributions
        )
        for seed in range(proposals)
    ]
    return float(np.mean([quality(space, params) for params in found]))


@pytest.mark.soak
def test_what_is_proposed_follows_the_trials_the_pruned_ones_too(space: SearchSpace) -> None:
    chance = np.random.default_rng(0)
    drawn = [space.draw(chance) for _ in range(40)]
    whole = [trained(0.9, quality(space, p), **at(space, p)) for p in drawn]
    cut = [
        trained(0.9, 0.7, **at(space, p)) if i < 2 else pruned(quality(space, p), **at(space, p))
        for i, p in enumerate(drawn)
    ]
    at_random = float(np.mean([quality(space, p) for p in drawn]))
    assert mean_quality(space, whole) < at_random - 0.12
    assert mean_quality(space, cut) < at_random - 0.12
    assert mean_quality(space, cut[:2] * 3) > at_random - 0.1  # without them nothing is known


def test_it_begins_among_the_neighbours_of_the_best(
    space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, centres = np.random.default_rng(0), list[np.ndarray]()
    drawn = [space.draw(chance) for _ in range(30)]
    neighbours = GaussianProcess._neighbours

    def seen(sampler: GaussianProcess, around: np.ndarray, *rest: Any) -> np.ndarray:
        centres.append(around)
        return neighbours(sampler, around, *rest)

    monkeypatch.setattr(GaussianProcess, "_neighbours", seen)
    errors = [quality(space, p) for p in drawn]
    trials = [trained(e, **at(space, p)) for e, p in zip(errors, drawn, strict=True)]
    mean_quality(space, trials, proposals=1)
    columns = [list(space.distributions).index(n) for n in ("conv1_lr", "fc_momentum")]
    places = [[place_in_range(d)(p[n]) for n, d in space.distributions.items()] for p in drawn]
    assert len(centres[0]) == KEPT
    assert centres[0][:, columns].mean() > np.array(places)[:, columns].mean() + 0.1


def test_the_proposal_promises_more_than_any_of_many_random_ones(space: SearchSpace) -> None:
    chance, study = np.random.default_rng(0), optuna.create_study()
    drawn = [space.draw(chance) for _ in range(12)]
    study.add_trials([trained(quality(space, p), **at(space, p)) for p in drawn])
    number = study.ask().number
    proposed = GaussianProcess(space, 4, 0).sample_relative(
        study, study.trials[number], space.distributions
    )
    found = Posterior(space.distributions, known_of(study.trials[:12], TASKS))
    random = [space.draw(chance) for _ in range(200)]
    promises = found.expected(found.inputs([proposed, *random]))
    assert promises[0] > promises[1:].max()


def test_nothing_is_proposed_in_the_beginning(space: SearchSpace) -> None:
    study = optuna.create_study()
    params = space.draw(np.random.default_rng(0))
    study.add_trials([trained(0.5, **at(space, params))] * 3)
    trial = study.ask()
    sampler = GaussianProcess(space, 4, 0)
    assert sampler.sample_relative(study, study.trials[trial.number], space.distributions) == {}


def test_where_a_trial_runs_less_is_to_be_gained(space: SearchSpace) -> None:
    chance = np.random.default_rng(0)
    drawn = [space.draw(chance) for _ in range(12)]
    known = known_of(numbered(*(trained(quality(space, p), **at(space, p)) for p in drawn)), TASKS)
    found = Posterior(space.distributions, known)
    running = space.draw(chance)
    place = found.inputs([running])
    before = found.model.posterior(place)
    found.expect([running])
    after = found.model.posterior(place)
    assert after.variance.item() < 0.7 * before.variance.item()
    assert after.mean.item() == pytest.approx(before.mean.item(), abs=0.05)


def test_what_runs_already_is_not_proposed_by_another_worker(space: SearchSpace) -> None:
    chance, study = np.random.default_rng(0), optuna.create_study()
    drawn = [space.draw(chance) for _ in range(12)]
    study.add_trials([trained(quality(space, p), **at(space, p)) for p in drawn])
    asked = study.ask()

    def proposed() -> Params:
        sampler = GaussianProcess(space, 4, seed=0)
        trial = study.trials[asked.number]
        return sampler.sample_relative(study, trial, space.distributions)

    first = proposed()
    assert proposed() == first
    study.add_trial(
        create_trial(state=TrialState.RUNNING, params=first, distributions=space.distributions)
    )
    assert proposed() != first


def test_of_many_trials_the_best_and_the_newest_are_fitted(
    space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posterior, "_fit", lambda model: None)
    chance = np.random.default_rng(0)
    errors = chance.uniform(0.2, 0.8, 3 * MOST)
    known = known_of(
        numbered(*(trained(e, **at(space, space.draw(chance))) for e in errors)), TASKS
    )
    kept = {one.trial.number for one in Posterior(space.distributions, known).known}
    assert len(kept) == MOST
    assert set(np.argsort(errors)[: MOST // 2]) <= kept
    assert set(range(3 * MOST - MOST // 2, 3 * MOST)) <= kept


def test_an_optimizer_that_fails_is_no_error(
    space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(0)
    drawn = [space.draw(chance) for _ in range(8)]
    failing = Mock(side_effect=ModelFittingError("all attempts failed"))
    monkeypatch.setattr("botorch.fit.fit_gpytorch_mll", failing)
    trials = [trained(quality(space, p), **at(space, p)) for p in drawn]
    assert mean_quality(space, trials, proposals=1) < 0.8
    assert failing.called


def test_trials_that_all_ended_alike_are_no_error(space: SearchSpace) -> None:
    chance = np.random.default_rng(0)
    alike = [trained(0.95, **at(space, space.draw(chance))) for _ in range(5)]
    assert 0 < mean_quality(space, alike, proposals=1) < 1


def test_what_counts_of_a_trial_is_its_lowest_error_and_not_its_last() -> None:
    one = known_of(numbered(trained(0.8, 0.4, 0.6), pruned(0.5, 0.7)), TASKS)[1]
    assert one.logit == pytest.approx(0)  # of 0.5: the trained one became no better
    assert one.variance == pytest.approx(1 / 80)


def test_errors_and_doubts_are_in_the_unit_of_the_model(
    space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posterior, "_fit", lambda model: None)
    chance = np.random.default_rng(0)
    good, poor = numbered(*(trained(0.5, **at(space, space.draw(chance))) for _ in range(2)))
    model = Posterior(space.distributions, [Known(good, -1, 0.8), Known(poor, 3, 1.6)]).model
    assert model.train_targets.flatten().tolist() == [1, -1]
    assert model.likelihood.noise.flatten().tolist() == pytest.approx([0.2, 0.4])
