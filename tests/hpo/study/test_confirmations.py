import math

import pytest

from hpo.study.checked import BrokenStudy
from hpo.study.confirmations import (
    confirmed,
    fresh_task_seed,
    is_done,
    keep_result,
    leading,
    new_seed,
)
from hpo.study.trials import derived_seed
from tests.hpo.made_up import keep, study_with


def test_the_mean_ranks_and_not_the_luckiest_seed() -> None:
    study = study_with(0.10, 0.12, 0.14)
    keep(study, 0, 0.10, 0.30)
    keep(study, 1, 0.18, 0.20)
    keep(study, 2, 0.50, 0.50)
    first, second, third = confirmed(study)
    assert (first.trial, second.trial, third.trial) == (1, 0, 2)
    assert first.mean == pytest.approx(0.19)
    assert first.spread == pytest.approx(math.sqrt(0.0002))
    assert first.flattered == pytest.approx(0.07)
    assert (first.search_error, first.errors, first.tasks) == (0.12, (0.18, 0.20), 100)


def test_fewer_seeds_or_other_tasks_come_last_however_low() -> None:
    study = study_with(0.1, 0.1, 0.1, 0.1)
    keep(study, 0, 0.3, 0.3, 0.3)
    keep(study, 1, 0.1)
    keep(study, 2, 0.2, 0.2, 0.2)
    keep(study, 3, 0.1, 0.1, 0.1, tasks=80)
    assert [c.trial for c in confirmed(study)] == [2, 0, 3, 1]
    assert [c.rank for c in confirmed(study)] == [1, 2, 3, 4]
    keep(study, 1, 0.1, 0.5, 0.2, 0.3)
    assert confirmed(study)[0].trial == 1
    keep(study, 0, 0.9, tasks=400)  # begun anew with more tasks: two of the old ones still count
    assert next(c for c in confirmed(study) if c.trial == 0).errors == (0.3, 0.3)


def test_the_tenth_seed_comes_after_the_second() -> None:
    study = study_with(0.1)
    keep(study, 0, *(k / 100 for k in range(12)))
    assert confirmed(study)[0].errors == tuple(k / 100 for k in range(12))


def test_those_that_were_trained_in_full_lead() -> None:
    study = study_with(0.1, 0.2)
    keep(study, 0, 0.3)
    assert [c.trial for c in leading(study)] == [0]
    keep_result(study, 1, 0, {"error": 0.4, "tasks": 100}, full=True)
    assert [c.trial for c in leading(study)] == [1]
    assert [c.trial for c in confirmed(study, full=True)] == [1]
    assert [c.trial for c in confirmed(study)] == [0]


def test_answers_count_where_every_seed_has_them() -> None:
    study = study_with(0.1)
    for k, answers in enumerate(({"outcomes": "AA"}, {"outcomes": "gQ"}, {})):
        keep_result(study, 0, k, {"error": 0.3, "tasks": 10, **answers})
        assert confirmed(study)[0].outcomes == (("AA",), ("AA", "gQ"), ())[k]


def test_what_is_done_is_that_retraining_on_so_many_tasks() -> None:
    study = study_with(0.1)
    keep_result(study, 0, 1, {"error": 0.3, "tasks": 100}, full=True)
    assert is_done(study, 0, 1, 100, full=True)
    assert not is_done(study, 0, 1, 200, full=True)
    assert not is_done(study, 0, 1, 100, full=False)
    assert not is_done(study, 0, 0, 100, full=True)
    assert not is_done(study, 1, 1, 100, full=True)
    study.set_user_attr("full-confirmation:0:1", {"error": 0.3})
    with pytest.raises(BrokenStudy, match="the full-confirmation:0:1"):
        is_done(study, 0, 1, 100, full=True)


def test_no_retraining_has_the_seed_of_a_trial_or_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds = [new_seed(7, trial, k) for trial in range(5) for k in range(4)]
    trials = [derived_seed(study, trial, 1) for study in (7, 8) for trial in range(100)]
    others = [new_seed(8, trial, k) for trial in range(5) for k in range(4)]
    assert len({*seeds, *trials, *others}) == 20 + 200 + 20
    assert new_seed(7, 0, 0) == 1917650034  # no study is confirmed twice in two ways
    assert [fresh_task_seed(s) for s in (0, 1)] == [1306511473, 2005377912]
    monkeypatch.setattr("hpo.study.confirmations.derived_seed", lambda *_: 5)
    assert (fresh_task_seed(4), fresh_task_seed(5)) == (5, 6)


def test_the_answers_are_those_to_the_tasks_that_count() -> None:
    study = study_with(0.1)
    for k, (tasks, answers) in enumerate(((10, "AA"), (20, "AAAA"), (10, "gQ"))):
        keep_result(study, 0, k, {"error": 0.3, "tasks": tasks, "outcomes": answers})
    assert confirmed(study)[0].outcomes == ("AA", "gQ")
