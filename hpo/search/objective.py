"""One trial: build, train, report, prune, record."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from data.errors import first_line
from hpo.search.observer import Observer
from hpo.search.overrun import BudgetWatch
from hpo.search.pictures import attach, filters, learning_curve, mistakes
from hpo.search.tensorboard import TrialRun
from hpo.study.paths import artifacts_folder, snapshots_folder
from hpo.study.retry import owed_a_retry
from hpo.study.study import StoredStudy
from hpo.study.trials import Record, derived_seed, first_try, record
from model.configuration import Configuration
from model.fast.device import device_name
from model.fast.memory import out_of_memory, peak, release_memory, reset_peak
from model.history import Diverged, History
from model.inputs import Inputs
from model.snapshot import Snapshot, train_resumably
from model.training import Trainer

NEWS = 5.0
"""Seconds at least between two writes of how long a trial has taken, and two looks at what is
spent of the budget: each costs milliseconds."""
WORST = 1.0
"""The error of a network that cannot train: it moves the sampler away, as a failure would not."""


class Objective:
    """Trains the network that a trial proposes, and gives its best error of any epoch."""

    def __init__(
        self,
        stored: StoredStudy,
        inputs: Inputs,
        results: Path,
        observer: Observer,
        on_step: Callable[[], None],
        runs: Path | None = None,
    ) -> None:
        """Prepare for the trials of one study.

        Args:
            stored: the study.
            inputs: its data.
            results: folder for trainings that are not finished, and for the trials' pictures.
            observer: is told of trials and epochs.
            on_step: called after every training step; may raise to end the trial.
            runs: folder of TensorBoard's runs of this study, if there are to be any.
        """
        self._space = stored.space
        self._study_seed = stored.settings.search.seed
        self._snapshots = snapshots_folder(results, stored.token)
        self._artifacts = artifacts_folder(results)
        self._inputs, self._observer, self._on_step = inputs, observer, on_step
        self._runs = runs
        self._budget = BudgetWatch(stored, observer)

    def __call__(self, trial: optuna.Trial) -> float:
        """Run the trial; what it is and what it did is kept in its attributes."""
        seed = record(trial).seed
        if seed is None:
            seed = derived_seed(self._study_seed, trial.number, 1)
            Record(seed=seed).write(trial)
        params = self._space.suggest(trial)
        configuration = self._space.configuration(params, seed)
        network, device = configuration.network, self._inputs.device
        Record(
            weights=network.weights,
            multiply_adds=network.multiply_adds,
            device=device_name(device),
        ).write(trial)
        self._observer.trial_started(trial.number, configuration)
        number = first_try(trial)
        try:
            with closing(TrialRun(self._runs, number, params)) as run:
                return self._train(trial, configuration, self._snapshot(number), run)
        finally:
            release_memory(device)

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
        going_on = [t for t in trials if not t.state.is_finished()] + owed_a_retry(trials)
        alive = {first_try(t) for t in going_on}
        for path in self._snapshots.glob("trial-*.safetensors*"):  # half-written ones, too
            number = path.name.removeprefix("trial-").partition(".")[0]
            # One of a higher number was begun by another worker after the list was read.
            if number.isdecimal() and int(number) < len(trials) and int(number) not in alive:
                self._snapshot(int(number)).remove()

    def _train(
        self,
        trial: optuna.Trial,
        configuration: Configuration,
        snapshot: Snapshot,
        run: TrialRun,
    ) -> float:
        start = written = time.perf_counter()
        earlier, paced = 0.0, False
        reset_peak(self._inputs.device)
        history = History()

        def write_seconds() -> None:
            nonlocal written
            written = time.perf_counter()
            Record(seconds=round(earlier + written - start, 2)).write(trial)

        def write_pace() -> None:
            Record(pairs_per_second=round(history.pairs_per_second, 1)).write(trial)

        def on_resume() -> None:
            nonlocal earlier
            earlier = history.seconds + trainer.partial.seconds
            # Before the trial says that it went on: none of the earlier try's seconds is
            # then missing at any moment, and no budget seems less used up than it is.
            write_seconds()
            self._catch_up(trial, trainer, run)

        def on_step() -> None:
            if time.perf_counter() - written > NEWS:
                write_seconds()
                self._budget.check()
            self._on_step()

        def on_epoch(epoch: int, error: float) -> None:
            nonlocal paced
            trial.report(error, epoch)
            run.add_epoch(epoch, history.epochs[epoch])
            if not paced:
                paced = True
                write_pace()
            # The pruner is asked in any case, as it learns of the rung by that.
            if trial.should_prune() and not trainer.finished:
                raise _pruned(epoch, error)

        try:
            trainer = self._inputs.trainer(configuration)
            reason = record(trial).fallback
            if reason:
                trainer.compute_plainly(reason)
            Record(precision=trainer.precision).write(trial)
            history = trainer.history
            try:
                train_resumably(trainer, snapshot, on_step, on_epoch, on_resume)
            except optuna.TrialPruned:
                self._keep_pictures(trial, trainer, run)
                raise
            finally:
                Record(
                    device=trainer.device_name,
                    precision=trainer.precision if trainer.fallback else None,
                    fallback=trainer.fallback,
                    images_at_once=trainer.images_at_once,
                ).write(trial)
            self._keep_pictures(trial, trainer, run)
        except Diverged as error:
            return _mark(trial, run, error.epoch, f"diverged: {error}")
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            reason = f"out of memory: {first_line(error)}"
            return _mark(trial, run, len(history.epochs), reason)
        finally:
            if history.epochs:
                best = history.best_epoch
                Record(
                    best_epoch=best,
                    best_error=history.best_error,
                    outcomes=history.epochs[best].right,
                ).write(trial)
            write_pace()
            write_seconds()
            Record(peak_memory_mb=round(peak(self._inputs.device) / 2**20)).write(trial)
        return history.best_error

    def _keep_pictures(self, trial: optuna.Trial, trainer: Trainer, run: TrialRun) -> None:
        """Keep pictures of what the network learnt; a trial that has ended takes none."""
        first = trainer.network.layer("conv1").weight.detach().float().cpu().numpy()
        pictures = {
            "learning curve": learning_curve(trainer.history.epochs),
            "first-layer filters": filters(first),
            "mistakes": mistakes(self._inputs.tasks, trainer.answers().cpu().numpy()),
        }
        attach(trial, self._artifacts, pictures)
        run.add_pictures(len(trainer.history.epochs), pictures)

    def _catch_up(self, trial: optuna.Trial, trainer: Trainer, run: TrialRun) -> None:
        """Report what the earlier tries of a trial did; the pruner learns of every rung."""
        history, prune = trainer.history, False
        Record(resumed_at=len(history.epochs)).write(trial)
        for epoch, done in enumerate(history.epochs):
            trial.report(done.error, epoch)
            run.add_epoch(epoch, done)
            prune = trial.should_prune()
        if prune and not trainer.finished:
            raise _pruned(len(history.epochs) - 1, history.epochs[-1].error)


def _mark(trial: optuna.Trial, run: TrialRun, epoch: int, reason: str) -> float:
    """Mark a trial whose network cannot train, and say why."""
    trial.report(WORST, epoch)
    run.add_mark(epoch, WORST)
    Record(fail_reason=reason).write(trial)
    return WORST


def _pruned(epoch: int, error: float) -> optuna.TrialPruned:
    return optuna.TrialPruned(f"after {epoch + 1} epochs at error {error:.3f}")
