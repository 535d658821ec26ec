import math

import pytest

from hpo.study.confirmations import confirmed
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
