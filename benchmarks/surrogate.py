"""A stand-in for training: what a network of `small`'s space would report, learnt from a record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import spearmanr
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpo.study.space import SearchSpace, place_in_range
from model.configuration import DataChoice
from model.scoring import unpack

Floats = NDArray[np.float64]
FOLDS = 10
CHANCE = 0.95  # the error of a network that has learnt nothing, and of one that diverged


@dataclass(frozen=True)
class Fit:
    """How well the stand-in foretells networks that it has not seen, by ten-fold validation."""

    r2: float
    """Share of the variance of the lowest error that is explained."""
    rank: float
    """Spearman's correlation of the lowest errors."""
    rms: float
    """Root of the mean squared residual of the lowest error."""
    noise: float
    """Standard deviation of the lowest error between seeds of one network."""


@dataclass(frozen=True)
class Played:
    """A training as it might have been."""

    errors: Floats
    """(E,) after each epoch."""
    cost: float
    """In full trainings of a network of mean cost."""


class Surrogate:
    """Learns error curves and costs from a record, and plays trainings with their noise."""

    def __init__(self, record: pd.DataFrame, space: SearchSpace) -> None:
        """Learn.

        Args:
            record: as `benchmarks.record` writes it.
            space: of the study that it is of.
        """
        self._space = space
        self.epochs = [str(c) for c in record if str(c).startswith("error_")]
        points = record[list(space.distributions)].to_dict("records")
        inputs = np.stack([self._inputs({str(k): v for k, v in p.items()}) for p in points])
        curves = record[self.epochs].fillna(CHANCE).to_numpy()
        self._model = _regressor()
        folds = KFold(FOLDS, shuffle=True, random_state=0)
        foretold = cross_val_predict(self._model, inputs, curves, cv=folds)
        self._model.fit(inputs, curves)
        self._price = np.polyfit(record["multiply_adds"], record["seconds"], 1)
        drawn = record.loc[record["sampler"] == "random", "multiply_adds"]
        self._mean_price = float(np.polyval(self._price, drawn).mean())
        self._tasks = DataChoice(set="omniglot").validation_tasks
        self._difficulty = _difficulty(record, self._tasks)
        pairs = record["again"].dropna().str.split().map(lambda both: [float(e) for e in both])
        self.noise = float(np.sqrt(np.mean([np.var(both, ddof=1) for both in pairs])))
        lowest, guessed = curves.min(axis=1), foretold.min(axis=1)
        self.fit = Fit(
            r2=1 - float(np.var(lowest - guessed) / np.var(lowest)),
            rank=float(spearmanr(lowest, guessed).statistic),
            rms=float(np.sqrt(np.mean((lowest - guessed) ** 2))),
            noise=self.noise,
        )
        self._sharpness = self._sharp_enough(float(np.quantile(lowest, 0.1)))

    def curve(self, params: dict[str, Any]) -> Floats:
        """(E,) the expected error after each epoch."""
        return np.asarray(self._model.predict(self._inputs(params)[None])[0])

    def play(self, params: dict[str, Any], chance: np.random.Generator) -> Played:
        """A training with the luck of one seed."""
        # One draw a task for the whole training: what a network of this seed finds hard stays so.
        luck = chance.random(self._tasks)
        right = np.stack([luck < self._right(e, self._sharpness) for e in self.curve(params)])
        multiply_adds = self._space.architecture(params).multiply_adds
        cost = float(np.polyval(self._price, multiply_adds)) / self._mean_price
        return Played(1 - right.mean(axis=1), cost)

    def _inputs(self, params: dict[str, Any]) -> Floats:
        """Parameters from 0 to 1, and what follows from them: cost, and side of the last map."""
        scaled = [place_in_range(d)(params[name]) for name, d in self._space.distributions.items()]
        network = self._space.architecture(params)
        return np.array([*scaled, np.log(network.multiply_adds), network.sides[-1]])

    def _right(self, error: float, sharpness: float) -> Floats:
        """(T,) the probability of each task to be answered rightly, of the mean 1 - error."""
        share = float(np.clip(1 - error, 0.02, 0.98))

        def excess(ability: float) -> float:
            return float(expit(sharpness * (ability - self._difficulty)).mean()) - share

        ability = brentq(excess, -100, 100)
        return np.asarray(expit(sharpness * (ability - self._difficulty)))

    def _sharp_enough(self, error: float) -> float:
        """How strongly a task's difficulty decides, so that seeds differ by the record's noise."""

        def excess(log_sharpness: float) -> float:
            p = self._right(error, float(np.exp(log_sharpness)))
            return float(np.sqrt((p * (1 - p)).sum()) / self._tasks) - self.noise

        low, high = np.log(0.1), np.log(30)
        if excess(low) < 0:
            return 0.1
        return float(np.exp(brentq(excess, low, high))) if excess(high) < 0 else 30.0


def _regressor() -> TransformedTargetRegressor:
    """A Gaussian process on the logits of the errors; of what was tried it foretells best."""
    noise = WhiteKernel(0.04, "fixed")  # of the variance, as between seeds of one network
    kernel = ConstantKernel() * RBF(5.0) + noise
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    scaled = make_pipeline(StandardScaler(), process)
    return TransformedTargetRegressor(scaled, func=logit, inverse_func=expit, check_inverse=False)


def read_record(path: Path) -> pd.DataFrame:
    """The table that `benchmarks.record` wrote."""
    return pd.read_csv(path)


def _difficulty(record: pd.DataFrame, tasks: int) -> Floats:
    """(T,) how rarely the networks have each task right in the epoch that is kept, as a logit."""
    last = record["outcomes"].dropna().map(lambda texts: unpack(texts.split()[-1], tasks))
    share = (np.stack(list(last)).sum(axis=0) + 0.5) / (len(last) + 1)
    return np.asarray(np.log((1 - share) / share))
