"""One trial: build, train, report, prune, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial

from data.split import Split
from data.tasks import OneShotTasks
from hpo.search.observer import Watcher
from hpo.search.pictures import artifact_folder, attach, filters, learning_curve, mistakes
from hpo.search.stopping import Interrupted
from hpo.study.retry import first_try, owing, owner
from hpo.study.study import StoredStudy
from model.configuration import Configuration
from model.fast.device import device_name
from model.fast.memory import give_back, out_of_memory, peak, reset_peak
from model.history import History
from model.snapshot import Snapshot
from model.training import Diverged, Trainer, train

TELLING = 5.0
"""Seconds at least between two words of how long a trial has taken: each costs milliseconds."""
WORST = 1.0
"""The error of a network that cannot train: it moves the sampler away, as a failure would not."""


class Objective:
    """Trains the network that a trial proposes, and gives its best error of any epoch."""

    def __init__(
        self,
        stored: StoredStudy,
        split: Split,
        tasks: OneShotTasks,
        device: torch.device,
        results: Path,
        watcher: Watcher,
        on_step: Callable[[], None],
    ) -> None:
        """Prepare for the trials of one study.

        Args:
            stored: the study.
            split: the data, at the study's image size; its training set on ``device``.
            tasks: the validation tasks, on ``device``.
            device: where the trials train.
            results: folder for trainings that are not finished, and for the trials' pictures.
            watcher: is told of trials and epochs.
            on_step: called after every training step; may raise to end the trial.
        """
        self._space = stored.space
        self._study_seed = stored.settings.search.seed
        self._snapshots = snapshot_folder(results, stored.token)
        self._artifacts = artifact_folder(results)
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
            return self._train(trial, configuration, self._snapshot(first_try(trial)))
        finally:
            give_back(self._device)

    def _snapshot(self, number: int) -> Snapshot:
        return Snapshot(self._snapshots / f"trial-{number}.safetensors")

    def forget(self, trial: FrozenTrial) -> None:
        """Delete the snapshot of a trial that is finished."""
        self._snapshot(first_try(trial)).remove()

    def sweep(self, trials: Sequence[FrozenTrial]) -> None:
        """Delete the snapshots that no trial will go on from: their process died at the very end.

        Args:
            trials: all of the study.
        """
        retried = {t.user_attrs.get("retry_of") for t in trials}
        alive = {first_try(t) for t in trials if not t.state.is_finished()}
        alive |= {first_try(t) for t in trials if owing(t) and t.number not in retried}
        for path in self._snapshots.glob("trial-*.safetensors"):
            number = path.name.removeprefix("trial-").removesuffix(".safetensors")
            # One of a higher number was begun by another worker after the list was read.
            if number.isdecimal() and int(number) < len(trials) and int(number) not in alive:
                self._snapshot(int(number)).remove()

    def _train(
        self, trial: optuna.Trial, configuration: Configuration, snapshot: Snapshot
    ) -> float:
        start, spent = time.perf_counter(), 0.0
        reset_peak(self._device)
        history = History()

        told = start

        def tell_seconds() -> None:
            nonlocal told
            told = time.perf_counter()
            trial.set_user_attr("seconds", round(spent + told - start, 2))

        try:
            trainer = Trainer(configuration, self._drawings, self._tasks, self._device)
            trial.set_user_attr("precision", trainer.precision)
            history = trainer.history
            if snapshot.resume(trainer):
                spent = history.seconds + trainer.partial.seconds
                # Before the trial says that it went on: none of the earlier try's seconds is
                # then missing at any moment, and no budget seems less used up than it is.
                tell_seconds()
                self._catch_up(trial, history)

            def on_epoch(epoch: int, error: float) -> None:
                snapshot.save_if_cheap(trainer)
                if time.perf_counter() - told > TELLING:
                    tell_seconds()
                trial.report(error, epoch)
                if "pairs_per_second" not in trial.user_attrs:
                    self._tell_pace(trial, history)
                self._watcher.epoch_done(trial.number, history)
                if trial.should_prune():
                    raise _pruned(epoch, error)

            try:
                train(trainer, on_epoch, self._on_step)
            except Interrupted:
                snapshot.save(trainer)
                raise
            except optuna.TrialPruned:
                self._draw(trial, trainer)
                raise
            self._draw(trial, trainer)
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
                trial.set_user_attr("outcomes", history.epochs[history.best_epoch].right)
            self._tell_pace(trial, history)
            tell_seconds()
            trial.set_user_attr("peak_memory_mb", round(peak(self._device) / 2**20))
        return history.best_error

    def _tell_pace(self, trial: optuna.Trial, history: History) -> None:
        trial.set_user_attr("pairs_per_second", round(history.pairs_per_second, 1))

    def _draw(self, trial: optuna.Trial, trainer: Trainer) -> None:
        """Keep pictures of what the network learnt; a trial that has ended takes none."""
        first = trainer.network.layer("conv1").weight.detach().float().cpu().numpy()
        pictures = {
            "learning curve": learning_curve(trainer.history.epochs),
            "first-layer filters": filters(first),
            "mistakes": mistakes(self._tasks, trainer.answers().cpu().numpy()),
        }
        attach(trial, self._artifacts, pictures)

    def _catch_up(self, trial: optuna.Trial, history: History) -> None:
        """Report what the earlier tries of a trial did; the pruner learns of every rung."""
        trial.set_user_attr("resumed_at", len(history.epochs))
        prune = False
        for epoch, done in enumerate(history.epochs):
            trial.report(done.error, epoch)
            prune = trial.should_prune()
        self._watcher.epoch_done(trial.number, history)
        if prune:
            raise _pruned(len(history.epochs) - 1, history.epochs[-1].error)


def _pruned(epoch: int, error: float) -> optuna.TrialPruned:
    return optuna.TrialPruned(f"after epoch {epoch} at error {error:.3f}")


def snapshot_folder(results: Path, token: str) -> Path:
    """Where the unfinished trainings of a study stand among its results.

    Args:
        results: folder of the study's results, which studies of several databases may share.
        token: what tells the study from those.
    """
    return results / "snapshots" / token
