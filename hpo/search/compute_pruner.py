"""Successive halving by compute: what a trial has reached for what it has spent.

Networks of one space differ a hundredfold in cost. At equal epochs a dear network is compared with
cheap ones that had a fraction of its compute; here all are compared at equal compute, so that the
cheap ones come to more epochs before they are judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from hpo.study.trials import finite_errors


class ComputePruner(BasePruner):
    """Lets one trial in so many past each rung; the rungs are amounts of compute.

    The unit is an epoch of the study's first network. The first rung is at so many units, and each
    of the others at ``factor`` times the one before (Li et al. 2018 have epochs there).
    """

    def __init__(self, first: int, factor: int) -> None:
        """Prepare to prune.

        Args:
            first: units of compute up to the first rung.
            factor: one trial in so many is let past a rung.
        """
        self._first, self._factor = first, factor

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial, which has reported its last epoch, shall end here."""
        epoch, cost = trial.last_step, _cost(trial)
        if epoch is None or cost is None:
            return False
        trials = study.get_trials(deepcopy=False)
        others = [t for t in trials if t.number != trial.number]
        unit = next(filter(None, map(_cost, trials)), cost)
        rung = self._rung_passed(epoch * cost / unit, (epoch + 1) * cost / unit)
        if rung is None:
            return False
        own = _lowest(trial, epoch + 1)
        reached = [own, *_reached(others, rung * unit)]
        let_past = max(len(reached) // self._factor, 1)
        return not own <= sorted(reached)[let_past - 1]

    def _rung_passed(self, before: float, now: float) -> float | None:
        """The last rung that an epoch has brought a trial to; both in units."""
        if now < self._first:
            return None
        # In whole steps: a logarithm of a power of the factor may be a hair too small.
        rung = float(self._first)
        while rung * self._factor <= now:
            rung *= self._factor
        return rung if before < rung else None


def _cost(trial: FrozenTrial) -> float | None:
    """Multiply-adds of an image; epochs have equally many images in all trials of a study."""
    cost = trial.user_attrs.get("multiply_adds")
    return None if cost is None else float(cost)


def _reached(trials: list[FrozenTrial], compute: float) -> Iterator[float]:
    """The lowest error of each of the trials that have spent so much, by then."""
    for trial in trials:
        cost = _cost(trial)
        epochs = 0 if cost is None else math.ceil(compute / cost)  # the last one passes it
        if 0 < epochs <= len(trial.intermediate_values):
            yield _lowest(trial, epochs)


def _lowest(trial: FrozenTrial, epochs: int) -> float:
    """The lowest error of the first so many epochs; what is no number is the worst."""
    reported = finite_errors(trial).items()
    return min((error for epoch, error in reported if epoch < epochs), default=math.inf)
