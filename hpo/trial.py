"""One trial: build, train, report, prune, record."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import optuna
import torch

from data.split import Split
from data.tasks import OneShotTasks
from hpo.retry import owner
from hpo.settings import StudySettings
from hpo.space import SearchSpace
from model.config import Configuration
from model.memory import give_back, out_of_memory, peak, reset_peak
from model.training import Diverged, History, Trainer, train

WORST = 1.0
"""The error of a network that cannot train: it moves the sampler away, as a failure would not."""


class Watcher(Protocol):
    """Is told how a search goes on."""

    def trial_started(self, number: int, configuration: Configuration) -> None:
        """A trial begins."""

    def epoch_done(self, number: int, history: History) -> None:
        """An epoch of the running trial is over."""


class Objective:
    """Trains the network that a trial proposes, and gives its best error of any epoch."""

    def __init__(
        self,
        settings: StudySettings,
        split: Split,
        tasks: OneShotTasks,
        device: torch.device,
        watcher: Watcher,
        on_step: Callable[[], None],
    ) -> None:
        """Prepare for the trials of one study.

        Args:
            settings: the study's.
            split: the data, at the study's image size; its training set on ``device``.
            tasks: the validation tasks, on ``device``.
            device: where the trials train.
            watcher: is told of trials and epochs.
            on_step: called after every training step; may raise to end the trial.
        """
        self._space = SearchSpace(settings)
        self._study_seed = settings.search.seed
        self._drawings, self._tasks, self._device = split.train, tasks, device
        self._watcher, self._on_step = watcher, on_step

    def __call__(self, trial: optuna.Trial) -> float:
        """Run the trial; what it is and what it did is kept in its attributes."""
        trial.set_user_attr("owner", owner())
        seed = trial.user_attrs.get("seed")
        if seed is None:
            # A 31-bit seed of its own for every trial, the same whenever the study is run.
            sequence = np.random.SeedSequence([self._study_seed % 2**63, trial.number, 1])
            seed = int(sequence.generate_state(1)[0] >> 1)
            trial.set_user_attr("seed", seed)
        configuration = self._space.configuration(self._space.suggest(trial), seed)
        trial.set_user_attr("weights", configuration.network.weights)
        trial.set_user_attr("multiply_adds", configuration.network.multiply_adds)
        trial.set_user_attr("device", device_name(self._device))
        self._watcher.trial_started(trial.number, configuration)
        try:
            return self._train(trial, configuration)
        finally:
            give_back(self._device)

    def _train(self, trial: optuna.Trial, configuration: Configuration) -> float:
        start = time.perf_counter()
        reset_peak(self._device)
        history = History()
        try:
            trainer = Trainer(configuration, self._drawings, self._tasks, self._device)
            trial.set_user_attr("precision", trainer.precision)
            history = trainer.history

            def on_epoch(epoch: int, error: float) -> None:
                trial.report(error, epoch)
                self._watcher.epoch_done(trial.number, history)
                if trial.should_prune():
                    raise optuna.TrialPruned(f"after epoch {epoch} at error {error:.3f}")

            train(trainer, on_epoch, self._on_step)
        except Diverged as error:
            trial.report(WORST, error.epoch)
            trial.set_user_attr("fail_reason", f"diverged: {error}")
            return WORST
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            trial.report(WORST, len(history.epochs))
            trial.set_user_attr("fail_reason", f"out of memory: {str(error).splitlines()[0]}")
            return WORST
        finally:
            if history.epochs:
                trial.set_user_attr("best_epoch", history.best_epoch)
                trial.set_user_attr("best_error", history.best_error)
            trial.set_user_attr("pairs_per_second", round(history.pairs_per_second, 1))
            trial.set_user_attr("seconds", round(time.perf_counter() - start, 2))
            trial.set_user_attr("peak_memory_mb", round(peak(self._device) / 2**20))
        return history.best_error


def device_name(device: torch.device) -> str:
    """The device as a person knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
