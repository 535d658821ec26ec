"""A pruner that compares a trial with the best one, task by task."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from hpo.search.outcomes import outcomes_at
from hpo.study.confirmations import chance_to_trail
from hpo.study.trials import best_trial

P = 0.1
"""The chance at or above which a trial that is behind goes on.

Lower, and poor trials go on for long: where two networks differ on 60 of 320 tasks, one has to be
behind by 12 of them already, 3.8 points of error. Higher, and too many good trials are lost: as it
is, chance alone puts one in ten of those that equal the best so far behind, at any one epoch.
"""


class PairedPruner(BasePruner):
    """Prunes a trial that is behind the best complete one, on the same tasks at the same epoch.

    The tasks that both have right, or both wrong, say nothing of which is the better; of those
    on which they differ, a trial as good as the best has half. So far fewer tasks settle
    it than if the errors alone were compared. The test is the sign test, which Wilcoxon's
    signed-rank test is where there is but right and wrong. (Optuna's own pruner of that name
    takes every report for a task of its own; here a report is an epoch.)
    """

    def __init__(self, warmup: int) -> None:
        """Prepare to prune.

        Args:
            warmup: the epoch, counted from 0, after which a trial can first be pruned.
        """
        self._warmup = warmup

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial, which has reported its last epoch, shall end here."""
        epoch, best = trial.last_step, best_trial(study)
        if epoch is None or epoch < self._warmup or best is None:
            return False
        # The value of a trial is its lowest error, so this one may be the new best already.
        if best.value is None or min(trial.intermediate_values.values()) <= best.value:
            return False
        own, others = outcomes_at(trial, epoch), outcomes_at(best, epoch)
        if own is None or others is None or own.shape != others.shape:
            return False
        return chance_to_trail(own.astype(np.int64) - others) < P
