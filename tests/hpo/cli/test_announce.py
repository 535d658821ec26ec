"""What `hpo run` says of the cost before it begins."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from optuna.trial import TrialState, create_trial

from hpo.search.cost_estimate import Estimate
from hpo.workers.local import cores_for
from model.fast.threads import Threads
from tests.hpo.command import Hpo
from tests.hpo.tiny_study import open_tiny, write_tiny


@pytest.fixture
def estimate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mock:
    """A trial takes a minute and 10⁹ multiply-adds; no search follows."""
    made_up = Mock(return_value=Estimate(trial=60, step=1, multiply_adds=1e9))
    monkeypatch.setattr("hpo.cli.announce.estimate", made_up)
    monkeypatch.setattr("hpo.cli.run.search", Mock(return_value=None))
    workers = Mock()
    workers.return_value.run.return_value = None
    monkeypatch.setattr("hpo.cli.run.Workers", workers)
    monkeypatch.setattr("hpo.cli.run.run_on_ray", Mock(return_value=None))
    write_tiny(tmp_path / "studies")
    return made_up


def test_the_cost_is_estimated_with_workers_too(
    hpo: Hpo, estimate: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = hpo("run tiny --trials 5").err
    assert "5 left: up to 5.0 min, or 60 s a trial that is not pruned (1.0 s a step)" in alone
    monkeypatch.setattr("hpo.cli.run.find_device", lambda _: torch.device("cpu"))
    for more in ("", " --ray local"):
        two = hpo(f"run tiny --trials 5 --workers 2{more}").err
        assert "5 left: up to 3.0 min, or 60 s a trial" in two  # three rounds of two
        assert estimate.call_args.args[1].threads == Threads(cores_for(2))
    assert "device " in alone
    assert "device " not in two


def test_trials_elsewhere_are_not_timed_here(hpo: Hpo, estimate: Mock) -> None:
    url = "--storage postgresql://me@nowhere.invalid/hpo"
    assert hpo(f"run tiny --trials 5 --ray 10.0.0.1:6379 {url}").status == 2
    estimate.assert_not_called()


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("--budget 50s", "one trial may take 60 s, more than the whole budget: give a larger"),
        ("--budget 9e8", "one trial may take 1.00 × 10⁹ multiply-adds, more than the whole budget"),
        ("--budget 100s --workers 2", "the 2 trials that run at once may take 2.0 min, more than"),
        ("--budget 100s", None),
        ("--budget 3e9", None),
        ("--budget 3m --workers 2", None),
        ("--trials 1", None),
    ],
)
def test_a_budget_that_no_trial_fits_in_is_told(
    hpo: Hpo, estimate: Mock, limit: str, said: str | None
) -> None:
    outcome = hpo(f"run tiny --device cpu {limit}")
    assert outcome.status == 0
    assert ("more than the whole budget" in outcome.err) == (said is not None)
    assert said is None or said in outcome.err


def test_the_cost_of_a_study_that_goes_on_is_that_of_its_trials_so_far(
    hpo: Hpo, estimate: Mock, tmp_path: Path
) -> None:
    assert hpo("run tiny --trials 7 --workers 0").status == 0
    for seconds in (30, 90):
        ended = create_trial(state=TrialState.PRUNED, user_attrs={"seconds": seconds})
        open_tiny(tmp_path).study.add_trial(ended)
    each = "as the trials so far took 60 s each"
    for more in ("", " --device cpu --workers 2"):
        said = hpo(f"run tiny --trials 7{more}").err
        assert f"trials   2 finished, 5 left: about 5.0 min of work, {each}" in said
    said = hpo("run tiny --budget 1h").err
    assert "budget   2.0 min of 60 min spent, about 58 min of work left" in said
    assert f"trials   2 finished, 5 left: about 5.0 min of work, {each}" not in said
    estimate.assert_not_called()


def test_without_a_number_of_trials_the_cost_is_that_of_one(
    hpo: Hpo, estimate: Mock, tmp_path: Path
) -> None:
    said = hpo("run tiny --budget 1h").err
    assert "trials   0 finished: 60 s a trial that is not pruned (1.0 s a step)\n" in said
    ended = create_trial(state=TrialState.PRUNED, user_attrs={"seconds": 30})
    open_tiny(tmp_path).study.add_trial(ended)
    said = hpo("run tiny --budget 1h").err
    assert "trials   1 finished: the trials so far took 30 s each\n" in said


def test_workers_are_told_with_the_threads_of_each(hpo: Hpo, estimate: Mock) -> None:
    said = hpo("run tiny --trials 5 --device cpu --workers 3 --threads 7").err
    assert "\nworkers  3, 7 threads each\n" in said


def test_a_trial_of_hours_on_a_cpu_is_told_to_be_for_a_gpu(hpo: Hpo, estimate: Mock) -> None:
    told = "it is made for a GPU; for a CPU there is: hpo run small --trials 20\n"
    estimate.return_value = Estimate(trial=3600, step=1, multiply_adds=1e9)
    assert told not in hpo("run tiny --trials 5").err
    estimate.return_value = Estimate(trial=3601, step=1, multiply_adds=1e9)
    assert told in hpo("run tiny --trials 5").err


def test_a_network_that_does_not_fit_has_no_estimate(hpo: Hpo, estimate: Mock) -> None:
    estimate.side_effect = torch.OutOfMemoryError("9 GiB")
    said = hpo("run tiny --trials 5")
    assert said.status == 0
    assert "5 left: how long is unknown, as a network of mean cost does not fit the" in said.err
    estimate.side_effect = RuntimeError("a mistake of the program")
    with pytest.raises(RuntimeError, match="a mistake"):
        hpo("run tiny --trials 5")
