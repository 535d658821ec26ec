"""A budget that is used up while a trial runs."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from optuna.trial import TrialState

from hpo.search import objective
from hpo.search.observer import Observer
from hpo.search.overrun import BudgetWatch, OverBudget
from hpo.study.limits import Budget, set_limits
from hpo.study.study import StoredStudy
from hpo.study.trials import is_handed_back, record
from tests.hpo.command import Hpo
from tests.hpo.tiny_study import open_tiny, write_tiny


def spend(stored: StoredStudy, seconds: float) -> None:
    running = stored.study.ask()
    running.set_user_attr("seed", 1)
    running.set_user_attr("seconds", seconds)


def test_that_it_is_used_up_is_told_once_and_a_little_later_it_is_the_end(
    stored: StoredStudy,
) -> None:
    observer = Mock(spec=Observer)
    watch = BudgetWatch(stored, observer)
    watch.check()  # without a budget
    set_limits(stored.study, None, Budget(100, "seconds"))
    spend(stored, 99)
    watch.check()
    observer.budget_used_up.assert_not_called()
    spend(stored, 100)
    for _ in range(3):
        watch.check()
    observer.budget_used_up.assert_called_once_with(2)
    spend(stored, 1)  # as much again
    with pytest.raises(OverBudget, match="the end of the budget"):
        watch.check()
    set_limits(stored.study, None, Budget(200, "seconds"))
    watch.check()
    observer.budget_used_up.assert_called_once()


def test_nothing_is_told_where_nothing_runs(stored: StoredStudy) -> None:
    observer = Mock(spec=Observer)
    set_limits(stored.study, None, Budget(100, "seconds"))
    spend(stored, 300)
    stored.study.tell(0, 0.5)
    BudgetWatch(stored, observer).look()
    observer.budget_used_up.assert_not_called()


@pytest.mark.soak
def test_a_trial_is_handed_back_in_its_first_epoch_and_goes_on_with_a_larger_budget(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "studies", **{"steps = 4": "steps = 100"})
    whole = hpo("run tiny --trials 1 --storage sqlite:///whole.db").out.splitlines()
    with monkeypatch.context() as patch:
        patch.setattr(objective, "NEWS", 0.0)
        short = hpo("run tiny --budget 0.02s")
    assert short.status == 0, short.err
    assert short.err.count("budget used up, finishing 1 trial\n") == 1
    assert "spent; 1 unfinished: a larger --budget goes on with that" in short.err
    cut, waiting = open_tiny(tmp_path).study.trials
    assert (cut.state, waiting.state) == (TrialState.FAIL, TrialState.WAITING)
    assert record(cut).fail_reason == "interrupted by the end of the budget"
    assert is_handed_back(cut)
    assert not cut.intermediate_values
    assert 0.04 <= (record(cut).seconds or 0) < 2
    (kept,) = (tmp_path / "studies/tiny/snapshots").rglob("*.safetensors")

    again = hpo("run tiny --budget 0.02s")
    assert "none left" in again.err
    assert len(open_tiny(tmp_path).study.trials) == 2
    assert kept.exists()

    more = hpo("run tiny --trials 1 --budget 1h")
    assert more.status == 0
    assert "used up" not in more.err
    done = open_tiny(tmp_path).study.trials[1]
    assert (done.state, record(done).retry_of) == (TrialState.COMPLETE, 0)
    assert record(done).resumed_at == 0  # in the middle of the first epoch
    assert more.out.splitlines()[0].partition(":")[2] == whole[0].partition(":")[2]
    assert not kept.exists()
