import re
import signal
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
import torch
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from data.pairs import PairBatch
from data.split import Split
from data.tasks import OneShotTasks
from hpo.results.export import export_best
from hpo.search import loop
from hpo.search.objective import WORST
from hpo.study.owner import owner
from hpo.study.retry import RETRIES, reclaim
from hpo.study.study import StoredStudy, StudyError
from hpo.study.trials import best_trial, finished
from model.history import Interrupted
from model.scoring import unpack
from model.training import Trainer, train
from tests.hpo.fixture_types import Open, Run
from tests.hpo.processes import begin, check_whole, opened, some, wait_until
from tests.hpo.tiny_study import UNTRAINABLE, write_tiny

KEPT = {
    "best_epoch",
    "best_error",
    "device",
    "multiply_adds",
    "outcomes",
    "owner",
    "pairs_per_second",
    "peak_memory_mb",
    "precision",
    "seconds",
    "seed",
    "weights",
}


def test_a_search_keeps_all_that_its_trials_did(stored: StoredStudy, run: Run) -> None:
    assert run(stored, 3) is None
    assert [t.state for t in stored.study.trials] == [TrialState.COMPLETE] * 3
    for trial in stored.study.trials:
        assert set(trial.user_attrs) == KEPT
        assert list(trial.intermediate_values) == [0, 1, 2]
        assert trial.value == trial.user_attrs["best_error"]
        right = unpack(trial.user_attrs["outcomes"])  # of the fixture's 100 tasks
        assert right.sum() == round((1 - trial.user_attrs["best_error"]) * 100)
        network = stored.space.configuration(trial.params, 0).network
        assert trial.user_attrs["weights"] == network.weights
        assert trial.user_attrs["multiply_adds"] == network.multiply_adds
        assert trial.user_attrs["peak_memory_mb"] > 50
    assert len({t.user_attrs["seed"] for t in stored.study.trials}) == 3


def test_the_number_of_trials_is_the_studys(open_study: Open, run: Run) -> None:
    run(open_study(), 2)
    run(open_study(), 2)
    assert len(open_study().study.trials) == 2
    run(open_study(), 3)
    assert len(open_study().study.trials) == 3


class _Always(NopPruner):
    """Prunes at every epoch from one on."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.asked: list[int] = []

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        assert trial.last_step is not None
        self.asked.append(trial.last_step)
        return trial.last_step >= self._first


@pytest.mark.parametrize(("first", "epochs", "state"), [(2, 3, "COMPLETE"), (1, 2, "PRUNED")])
def test_a_trial_is_not_pruned_where_no_epoch_is_left(
    stored: StoredStudy,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
    epochs: int,
    state: str,
) -> None:
    pruner = _Always(first)
    monkeypatch.setattr(loop, "make_pruner", lambda settings: pruner)
    run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.state.name == state
    assert list(trial.intermediate_values) == pruner.asked == list(range(epochs))


def test_nor_is_one_that_was_stopped_after_its_last_epoch(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruner = _Always(2)
    monkeypatch.setattr(loop, "make_pruner", lambda settings: pruner)
    with monkeypatch.context() as patch:
        patch.setattr(pruner, "prune", Mock(side_effect=[False, False, Interrupted("a reboot")]))
        run(stored, 1)
    run(stored, 1)
    stopped, again = stored.study.trials
    assert (stopped.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert again.user_attrs["resumed_at"] == 3
    assert pruner.asked == [0, 1, 2]


def test_nor_is_one_that_stopped_early(
    open_study: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a patience of one epoch it ends at the first error that is no lower."""
    errors = iter([0.5, 0.5])
    monkeypatch.setattr(Trainer, "validate", lambda trainer: next(errors))
    monkeypatch.setattr(loop, "make_pruner", lambda settings: _Always(1))
    stored = open_study("training.patience=1")
    run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 0.5


def test_no_number_of_interruptions_uses_a_trial_up(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", Mock(side_effect=Interrupted("SIGTERM")))
        for _ in range(RETRIES + 2):  # each in the first epoch
            run(stored, 1)
    run(stored, 1)
    *stopped, last = stored.study.trials
    assert [trial.state for trial in stopped] == [TrialState.FAIL] * (RETRIES + 2)
    assert (last.state, last.params) == (TrialState.COMPLETE, stopped[0].params)


def test_poor_trials_are_pruned_and_count_as_finished(open_study: Open, run: Run) -> None:
    stored = open_study("search.pruner=halving", "search.pruner_factor=4")
    run(stored, 6)
    states = [t.state for t in stored.study.trials]
    assert TrialState.PRUNED in states
    assert finished(stored.study) == len(states) == 6
    for trial in stored.study.trials:
        assert list(trial.intermediate_values) == list(range((trial.last_step or 0) + 1))
        assert {"best_error", "seconds", "pairs_per_second"} <= set(trial.user_attrs)


def test_a_network_that_diverges_has_the_reason_and_the_worst_error(
    open_study: Open, run: Run
) -> None:
    stored = open_study(*UNTRAINABLE)
    run(stored, 2)
    for trial in stored.study.trials:
        assert trial.state == TrialState.COMPLETE
        assert trial.value == WORST
        assert "diverged" in trial.user_attrs["fail_reason"]
        assert trial.intermediate_values == {0: WORST}
    assert best_trial(stored.study) is None
    with pytest.raises(StudyError, match="no complete trial yet"):
        export_best(stored)


def test_a_network_that_does_not_fit_memory_is_kept_likewise(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Trainer, "_backward", Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))
    )
    run(stored, 1)
    (trial,) = stored.study.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, WORST)
    assert trial.user_attrs["fail_reason"] == "out of memory: CUDA out of memory"


def test_a_snapshot_that_was_being_written_is_swept_away(
    stored: StoredStudy, run: Run, tmp_path: Path
) -> None:
    run(stored, 1)
    folder = tmp_path / "results/snapshots" / stored.token
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("trial-0.safetensors.77.partial", "trial-9.safetensors.77.partial", "mine"):
        (folder / name).touch()
    run(stored, 2)
    left = {path.name for path in folder.iterdir()}
    assert left == {"trial-9.safetensors.77.partial", "mine"}  # 9 may be another worker's


def test_a_wait_for_other_processes_says_for_which_trials(
    stored: StoredStudy,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "hpo")
    monkeypatch.setattr(loop, "QUIET", 1.0)
    stored.study.add_trial(create_trial(state=TrialState.RUNNING))  # whose owner is not known
    stored.study.ask().set_user_attr("owner", {**owner(), "host": "another", "pid": 77})
    waited = 0

    def sleep(_seconds: float) -> None:
        nonlocal waited
        waited += 1
        if waited == 6:
            for number in (0, 1):
                stored.study.tell(number, 0.5)

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: float(waited))
    assert run(stored, 2) is None
    said = [m for m in caplog.messages if m.startswith("waiting for trial")]
    assert len(said) == 2
    assert re.search(r"trial 0, whose process is not known: .* lost at \d\d:\d\d:\d\d", said[0])
    assert said[1] == "waiting for trial 1, which runs in process 77 of another"


def test_a_trial_declared_dead_while_its_process_slept_is_let_go(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    plain = Trainer._backward

    def sleeping(self: Trainer, batch: PairBatch) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == 6:  # another process gives the trial up and queues it again
            stored.study.tell(0, state=TrialState.FAIL)
            reclaim(stored.study, stored.storage)
        return plain(self, batch)

    monkeypatch.setattr(Trainer, "_backward", sleeping)
    assert run(stored, 2) is None
    states = [t.state for t in stored.study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]


def test_the_exported_best_trains_to_the_trials_own_error(
    stored: StoredStudy, run: Run, small_split: Split, small_tasks: OneShotTasks
) -> None:
    run(stored, 3)
    exported = export_best(stored)
    made = exported.provenance
    assert made
    assert made.error == stored.study.best_value
    assert exported.training.epochs == 4
    again = exported.model_copy(update={"training": made.training, "seed": made.seed})
    trainer = Trainer(again, small_split.train, small_tasks, torch.device("cpu"))
    train(trainer)
    assert trainer.history.best_error == made.error
    assert trainer.history.best_epoch == made.best_epoch


@pytest.mark.soak
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_search_that_is_killed_goes_on_with_the_same_line(
    tmp_path: Path, blow: signal.Signals
) -> None:
    write_tiny(tmp_path, **{"steps = 4": "steps = 40"})
    line = "run tiny.toml --trials 3"
    process = begin(tmp_path, line)
    stored = opened(f"sqlite:///{tmp_path}/tiny/study.db", "tiny")
    wait_until(lambda: any(t.number and t.last_step is not None for t in some(stored)))
    process.send_signal(blow)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == (-9 if blow == signal.SIGKILL else 130)
    if blow != signal.SIGKILL:
        assert f"the same line goes on: hpo {line}" in said
        assert "Traceback" not in said

    process = begin(tmp_path, line)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert "best trial" in said
    check_whole(stored, 3)
    states = [TrialState.COMPLETE] * 3 + [TrialState.FAIL]
    assert sorted(trial.state for trial in some(stored)) == states
