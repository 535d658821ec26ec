"""What the trials of a study say of a configuration: a Gaussian process on their final errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hpo.study.space import place_in_range
from hpo.study.trials import finite_errors, is_trained

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP

Floats = NDArray[np.float64]
MOST = 200
"""Trials that the process is fitted to: its time grows with the cube of their number."""
STEPS = 50
"""Of the optimizer that finds the process's scales."""
CHANCE = 0.95
"""The highest error that is told from others: that of one in twenty, guessed."""
LEAST = 0.01
"""The lowest, likewise: beyond it a logit would leave all others behind."""


@dataclass(frozen=True)
class Known:
    """What is known of the error that a trial has, or would have had, at its end.

    Attributes:
        trial: that is meant.
        logit: of the error that is expected.
        variance: of the logit, by the tasks' chance and by what a pruned trial had left to do.
    """

    trial: FrozenTrial
    logit: float
    variance: float


def known_of(trials: Sequence[FrozenTrial], tasks: int) -> list[Known]:
    """What the finished trials of a study tell of their final errors, in their order.

    A trial that was pruned after some epochs would have improved from there on as those that were
    trained to the end did, in logits, give or take as much as they differ. One that no trained
    trial can be compared with tells nothing and is left out.

    Args:
        trials: finished ones.
        tasks: that an error is a share of.
    """
    lowest = [_lowest_so_far(trial) for trial in trials]
    ends = [_logits(e) for trial, e in zip(trials, lowest, strict=True) if is_trained(trial)]

    @cache
    def rest(epochs: int) -> tuple[float, float] | None:
        """What those that trained on changed after this many epochs: mean and variance."""
        changes = np.array([e[-1] - e[epochs - 1] for e in ends if len(e) >= epochs])
        if not len(changes):
            return None
        mean = float(changes.mean())
        # As if one more had changed by half as much: few say little of how much they differ.
        return mean, (float(np.sum((changes - mean) ** 2)) + (mean / 2) ** 2) / len(changes)

    found = list[Known]()
    for trial, so_far in zip(trials, lowest, strict=True):
        error, (change, doubt) = trial.value or 0.0, (0.0, 0.0)
        if trial.state == TrialState.PRUNED:
            to_come = rest(len(so_far))
            if to_come is None:
                continue
            error, (change, doubt) = so_far[-1], to_come
        error = float(np.clip(error, LEAST, CHANCE))
        chance = 1 / (tasks * error * (1 - error))  # of a logit, by the delta method
        found.append(Known(trial, float(_logits(error)) + change, doubt + chance))
    return found


def _lowest_so_far(trial: FrozenTrial) -> Floats:
    """(E,) the lowest error up to each epoch, if it was told of any."""
    return np.minimum.accumulate(list(finite_errors(trial).values()))


def _logits(errors: Floats | float) -> Floats:
    kept = np.clip(errors, LEAST, CHANCE)
    return np.asarray(np.log(kept / (1 - kept)))


class Posterior:
    """A Gaussian process on the logits of the final errors, whose noise is known of each trial.

    Its kernel is BoTorch's: a squared exponential with a length scale of its own for each
    parameter, under a prior that grows with the number of parameters (Hvarfner et al. 2024,
    "Vanilla Bayesian Optimization Performs Great in High Dimensions").

    Attributes:
        known: of the trials that it is fitted to.
        model: BoTorch's; its values are logits below the mean, in standard deviations of all.
    """

    def __init__(
        self, distributions: Mapping[str, BaseDistribution], known: Sequence[Known]
    ) -> None:
        """Fit.

        Args:
            distributions: of the parameters that vary.
            known: of finished trials, at least one; where there are more than `MOST`, the best half
                of that number and the newest.
        """
        self._places = {name: place_in_range(d) for name, d in distributions.items()}
        if len(known) > MOST:
            best = sorted(known, key=lambda one: one.logit)[: MOST // 2]
            kept = {one.trial.number for one in best}
            newest = [one for one in known if one.trial.number not in kept][-MOST // 2 :]
            known = [*best, *newest]
        self.known = known
        logits = np.array([one.logit for one in known])
        scale = float(logits.std()) or 1.0
        self._inputs = self.inputs([one.trial.params for one in known])
        self._targets = torch.from_numpy((logits.mean() - logits) / scale)  # higher is better
        self._noise = torch.tensor([one.variance for one in known], dtype=torch.double) / scale**2
        self.model = _process(self._inputs, self._targets, self._noise)
        _fit(self.model)

    def expect(self, running: Sequence[Mapping[str, Any]]) -> None:
        """Add configurations that are being trained, as if each ended with its expected error."""
        if not running:
            return
        inputs = self.inputs(running)
        targets = torch.cat((self._targets, self.expected(inputs)))
        noise = torch.cat((self._noise, self._noise.min().expand(len(inputs))))
        scales = self.model.state_dict()
        self.model = _process(torch.cat((self._inputs, inputs)), targets, noise)
        self.model.load_state_dict(scales)

    def inputs(self, configurations: Sequence[Mapping[str, Any]]) -> torch.Tensor:
        """(N, P) the places of the parameters in their ranges, from 0 to 1."""
        rows = [[place(c[name]) for name, place in self._places.items()] for c in configurations]
        return torch.tensor(rows, dtype=torch.double)

    def expected(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N,) what is expected of (N, P) inputs, in the model's own unit: higher is better."""
        with torch.no_grad():
            return self.model.posterior(inputs).mean[:, 0]


def _process(inputs: torch.Tensor, targets: torch.Tensor, noise: torch.Tensor) -> SingleTaskGP:
    # Not with this module: BoTorch takes seconds, and nothing else needs it.
    from botorch import settings
    from botorch.models import SingleTaskGP

    with settings.validate_input_scaling(False):  # it would ask for a scale that is exactly 1
        return SingleTaskGP(inputs, targets[:, None], noise[:, None], outcome_transform=None)


def _fit(model: SingleTaskGP) -> None:
    """Find its scales; where the optimizer fails, those that it began with stand."""
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from gpytorch.mlls import ExactMarginalLogLikelihood

    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    with suppress(ModelFittingError):
        fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": STEPS}})
