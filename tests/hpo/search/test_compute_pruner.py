from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.compute_pruner import ComputePruner

PRUNER = ComputePruner(first=4, factor=2)  # rungs at 4, 8, 16, … epochs of the first network


def trained(cost: float | None, *errors: float) -> FrozenTrial:
    """A trial that ended after some epochs of such a network."""
    return create_trial(
        state=TrialState.PRUNED,
        intermediate_values=dict(enumerate(errors)),
        user_attrs={} if cost is None else {"multiply_adds": cost},
    )


def pruned(others: list[FrozenTrial], cost: float | None, *errors: float) -> bool:
    """Whether a trial that runs beside these is, after its last epoch."""
    study = optuna.create_study()
    study.add_trials(others)
    study.add_trial(trained(cost, *errors))
    return PRUNER.prune(study, study.trials[-1])


GOOD = trained(100, 0.5, 0.4, 0.3, 0.2)


def test_of_equal_cost_it_is_halving_by_epochs() -> None:
    assert not pruned([GOOD], 100, 0.9, 0.9, 0.9)
    assert pruned([GOOD], 100, 0.9, 0.9, 0.9, 0.9)
    assert not pruned([GOOD], 100, 0.9, 0.9, 0.9, 0.1)
    assert not pruned([GOOD], 100, 0.9, 0.9, 0.9, 0.9, 0.9)  # past one rung, before the next
    assert not pruned([GOOD], 100, *[0.9] * 8)  # none has come to this rung


def test_of_several_the_better_half_is_let_past() -> None:
    others = [trained(100, *[e] * 4) for e in (0.1, 0.2, 0.5, 0.6, 0.7)]
    assert not pruned(others, 100, *[0.3] * 4)
    assert pruned(others, 100, *[0.55] * 4)


def test_the_lowest_error_counts_not_the_last() -> None:
    assert not pruned([GOOD], 100, 0.9, 0.1, 0.9, 0.9)


def test_a_dear_network_is_judged_after_fewer_epochs() -> None:
    # Two epochs of a network of twice the cost, against four of the first.
    assert not pruned([GOOD], 200, 0.25)
    assert pruned([GOOD], 200, 0.25, 0.25)
    assert not pruned([GOOD], 200, 0.25, 0.15)


def test_a_cheap_network_is_judged_after_more_epochs() -> None:
    assert not pruned([GOOD], 25, *[0.9] * 15)
    assert pruned([GOOD], 25, *[0.9] * 16)


def test_what_others_reached_later_does_not_count() -> None:
    late = trained(100, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1)
    assert not pruned([late], 100, 0.8, 0.8, 0.8, 0.8)


def test_one_epoch_past_several_rungs_is_judged_at_the_last_of_them() -> None:
    dear = trained(1700, 0.2)
    assert pruned([trained(100, 0.5), dear], 1700, 0.3)  # 17 units, past the rung of 16
    assert not pruned([trained(100, *[0.2] * 8)], 1700, 0.3)  # the others ended before it


def test_without_costs_nothing_is_pruned() -> None:
    assert not pruned([GOOD], None, *[0.9] * 4)
    assert pruned([trained(None, 0.1), GOOD], 100, *[0.9] * 4)


def test_an_error_that_is_no_number_is_behind_all() -> None:
    assert pruned([GOOD], 100, *[float("nan")] * 4)
