"""Stand-ins for training: what a network of `small`'s space would report, learnt from a record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

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

from hpo.search.bounds import EDGE
from hpo.study.space import SearchSpace, place_in_range
from model.configuration import DataChoice
from model.scoring import unpack

Floats = NDArray[np.float64]
FOLDS = 10
CHANCE = 0.95  # the error of a network that has learnt nothing, and of one that diverged
SHARE = 0.8  # of the record, that a world is learnt from
BEST = 5  # a fifth of the networks: those foretold to be best
TRIES = 4000  # changes of one parameter, on the way to the trend's optimum
LATE = 3  # epochs after which the errors fall slowly, so that luck is most of what moves them


@dataclass(frozen=True)
class Fit:
    """How well a stand-in foretells networks that it has not seen, by ten-fold validation."""

    r2: float
    """Share of the variance of the lowest error that is explained."""
    rank: float
    """Spearman's correlation of the lowest errors."""
    rms: float
    """Root of the mean squared residual of the lowest error."""
    best_r2: float
    """As `r2`, among the fifth of the networks that are foretold to be best."""
    best_rank: float
    """As `rank`, among those."""
    noise: float
    """Standard deviation of the lowest error between seeds of one network."""
    rough: float
    """Standard deviation, in logits, of what a network has of its own beside that noise."""
    fresh: float
    """Share of the luck that each epoch of a training has to itself."""


@dataclass(frozen=True)
class Played:
    """A training as it might have been."""

    errors: Floats
    """(E,) after each epoch."""
    cost: float
    """In full trainings of a network of mean cost."""


class Surrogate:
    """A world: error curves and costs learnt from a part of a record, played with their noise.

    A world has the record's trend, and for each configuration something of its own that nobody can
    foretell, as large as what the trend leaves unexplained. Another world has another part of the
    record, and other particulars.
    """

    def __init__(self, record: pd.DataFrame, space: SearchSpace, world: int) -> None:
        """Learn.

        Args:
            record: as `benchmarks.record` writes it.
            space: of the study that it is of.
            world: which one; from 0.
        """
        self._space, self._world = space, world
        self.epochs = [str(c) for c in record if str(c).startswith("error_")]
        points = record[list(space.distributions)].to_dict("records")
        inputs = np.stack([self._inputs({str(k): v for k, v in p.items()}) for p in points])
        curves = record[self.epochs].fillna(CHANCE).to_numpy()
        self._price = np.polyfit(record["multiply_adds"], record["seconds"], 1)
        drawn = record.loc[record["sampler"] == "random", "multiply_adds"]
        self._mean_price = float(np.polyval(self._price, drawn).mean())
        self._tasks = DataChoice(set="omniglot").validation_tasks
        self._difficulty = _difficulty(record, self._tasks)
        pairs = record["again"].dropna().str.split()
        self._again = [[float(error) for error in both] for both in pairs]
        self._noise = _deviation(self._again)
        self._sharpness = self._sharp_enough(float(np.quantile(curves.min(axis=1), 0.1)))
        self.fit = self._judged(inputs, curves)
        part = np.random.default_rng(world).permutation(len(inputs))[: round(SHARE * len(inputs))]
        self._model = _regressor().fit(inputs[part], curves[part])

    def curve(self, params: Mapping[str, Any]) -> Floats:
        """(E,) the expected error after each epoch."""
        values = np.array([params[name] for name in self._space.distributions], float)
        own = np.random.default_rng([self._world, crc32(values.tobytes())]).normal()
        trend = self._model.predict(self._inputs(params)[None])[0]
        return np.asarray(expit(logit(trend) + self.fit.rough * own))

    def play(self, params: Mapping[str, Any], chance: np.random.Generator) -> Played:
        """A training with the luck of one seed."""
        errors = self._with_luck(self.curve(params), self.fit.fresh, chance)
        return Played(errors, self.cost(params))

    def cost(self, params: Mapping[str, Any]) -> float:
        """In full trainings of a network of mean cost."""
        multiply_adds = self._space.architecture(params).multiply_adds
        return float(np.polyval(self._price, multiply_adds)) / self._mean_price

    def corner(self, chance: np.random.Generator) -> float:
        """The share of the parameters that lie at the edge of their ranges at the trend's optimum.

        The optimum is sought by changing one parameter at a time for the better.
        """
        distributions = self._space.distributions
        best = min((self._space.draw(chance) for _ in range(TRIES // 20)), key=self._trend)
        lowest = self._trend(best)
        for _ in range(TRIES):
            name = str(chance.choice(list(distributions)))
            other = {**best, name: self._space.draw(chance)[name]}
            if self._space.can_be_built(other):
                error = self._trend(other)
                if error < lowest:
                    best, lowest = other, error
        places = np.array([place_in_range(d)(best[n]) for n, d in distributions.items()])
        return float(np.mean((places <= EDGE) | (places >= 1 - EDGE)))

    def _trend(self, params: Mapping[str, Any]) -> float:
        return float(self._model.predict(self._inputs(params)[None])[0].min())

    def _judged(self, inputs: Floats, curves: Floats) -> Fit:
        folds = KFold(FOLDS, shuffle=True, random_state=0)
        foretold = cross_val_predict(_regressor(), inputs, curves, cv=folds)
        lowest, guessed = curves.min(axis=1), foretold.min(axis=1)
        best = np.argsort(guessed)[: len(guessed) // BEST]
        apart = float(np.var(logit(lowest) - logit(guessed)))
        between = _deviation([list(logit(both)) for both in self._again])
        learns = curves[:, -1] < 0.6  # one that learns nothing has luck of another kind
        chance = np.random.default_rng(0)
        steady = np.stack([self._with_luck(c, 0.0, chance) for c in foretold[learns]])
        more = _jitter(curves[learns]) ** 2 - _jitter(steady) ** 2
        return Fit(
            r2=_explained(lowest, guessed),
            rank=float(spearmanr(lowest, guessed).statistic),
            rms=float(np.sqrt(np.mean((lowest - guessed) ** 2))),
            best_r2=_explained(lowest[best], guessed[best]),
            best_rank=float(spearmanr(lowest[best], guessed[best]).statistic),
            noise=self._noise,
            rough=float(np.sqrt(max(apart - between**2, 0.0))),
            # A second difference has six times the variance of what it is of.
            fresh=float(np.clip(more / (6 * self._noise**2), 0, 1)),
        )

    def _with_luck(self, curve: Floats, fresh: float, chance: np.random.Generator) -> Floats:
        """(E,) the errors after each epoch of one seed.

        One draw a task for the whole training: what a network of this seed finds hard stays so. A
        share of the tasks is drawn anew in every epoch.
        """
        lasting, errors = chance.random(self._tasks), []
        for error in curve:
            anew = chance.random(self._tasks) < fresh
            luck = np.where(anew, chance.random(self._tasks), lasting)
            errors.append(1 - float((luck < self._right(error, self._sharpness)).mean()))
        return np.array(errors)

    def _inputs(self, params: Mapping[str, Any]) -> Floats:
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
            return float(np.sqrt((p * (1 - p)).sum()) / self._tasks) - self._noise

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


def _explained(true: Floats, guessed: Floats) -> float:
    return 1 - float(np.sum((true - guessed) ** 2) / np.sum((true - true.mean()) ** 2))


def _deviation(groups: list[list[float]]) -> float:
    """Within groups, each of which has a mean of its own."""
    return float(np.sqrt(np.mean([np.var(group, ddof=1) for group in groups])))


def _jitter(curves: Floats) -> float:
    """How much the errors of late epochs jump: the deviation of their second differences."""
    return float(np.diff(curves, n=2, axis=1)[:, LATE:].std())


def _difficulty(record: pd.DataFrame, tasks: int) -> Floats:
    """(T,) how rarely the networks have each task right in the epoch that is kept, as a logit."""
    last = record["outcomes"].dropna().map(lambda texts: unpack(texts.split()[-1], tasks))
    share = (np.stack(list(last)).sum(axis=0) + 0.5) / (len(last) + 1)
    return np.asarray(np.log((1 - share) / share))
