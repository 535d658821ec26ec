import errno
import os
import re
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from data.pairs import PairBatch
from data.split import Split
from data.tasks import OneShotTasks
from hpo.results.export import export_best
from hpo.search import loop
from hpo.search.loop import FAILURES, DeviceFailure, MachineFailure
from hpo.search.objective import WORST
from hpo.study.owner import owner
from hpo.study.retry import RETRIES, reclaim
from hpo.study.storage import StorageError, storage_errors
from hpo.study.study import StoredStudy, StudyError
from hpo.study.trials import best_trial, finished
from model.scoring import unpack
from model.training import Trainer, train
from tests.hpo.fixture_types import Open, Run
from tests.hpo.processes import begin, check_whole, opened, some, wait_until
from tests.hpo.tiny_study import write_tiny

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
        assert trial.value == min(trial.intermediate_values.values())
        assert trial.value == trial.user_attrs["best_error"]
        right = unpack(trial.user_attrs["outcomes"])  # of the fixture's 100 tasks
        assert right.sum() == round((1 - trial.value) * 100)
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
    stored = open_study(
        "space.lr={ low = 9.9, high = 10 }",
        "space.momentum={ low = 1, high = 1 }",
        "space.l2={ low = 1, high = 1 }",
        "training.sampling.steps=200",
    )
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


def test_a_failure_of_the_machine_is_enqueued_again(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", Mock(side_effect=OSError("No space left on device")))
        with pytest.raises(MachineFailure, match="trial 0 failed with the machine .* same line"):
            run(stored, 1)
    run(stored, 1)
    old, new = stored.study.trials
    assert old.user_attrs["fail_reason"] == "OSError: No space left on device"
    assert new.state == TrialState.COMPLETE
    assert (new.params, new.user_attrs["seed"]) == (old.params, old.user_attrs["seed"])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_full_or_broken_disk_never_uses_a_trial_up(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", Mock(side_effect=OSError(code, os.strerror(code))))
        for _ in range(RETRIES + 3):
            with pytest.raises(MachineFailure, match=f"{os.strerror(code)}.* is enqueued again"):
                run(stored, 1)
    run(stored, 1)
    first, *_, last = stored.study.trials
    assert (last.state, last.params) == (TrialState.COMPLETE, first.params)


def test_a_trial_that_the_machine_fails_under_each_time_is_given_up_and_said_to_be(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Mock(side_effect=OSError(errno.ENODEV, "No such device"))
    monkeypatch.setattr(Trainer, "_backward", broken)
    for _ in range(RETRIES):
        with pytest.raises(MachineFailure, match="is enqueued again"):
            run(stored, 1)
    with pytest.raises(
        MachineFailure, match="is given up after 4 failures in a row: see to the machine"
    ):
        run(stored, 1)
    assert [t.state for t in stored.study.trials] == [TrialState.FAIL] * (RETRIES + 1)


def test_one_bad_kernel_costs_neither_the_trial_nor_the_search(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_fast(self: Trainer, batch: PairBatch, block: int) -> torch.Tensor:
        if self.fallback is None:
            raise RuntimeError("unable to find an engine")
        return gradient(self, batch, block)

    gradient = Trainer._gradient
    monkeypatch.setattr(Trainer, "_gradient", fails_fast)
    assert run(stored, 2) is None
    for trial in stored.study.trials:
        assert trial.state == TrialState.COMPLETE
        assert trial.user_attrs["fallback"] == "RuntimeError: unable to find an engine"
        assert trial.user_attrs["precision"] == "fp32"


def test_a_trial_that_fails_the_safe_way_too_has_its_reason_and_the_search_goes_on(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def fails_first(self: Trainer, batch: PairBatch, block: int) -> torch.Tensor:
        if len(tried) < 2:  # the fast way and the safe way of the first trial
            tried.append(block)
            raise RuntimeError("no kernel")
        return gradient(self, batch, block)

    gradient = Trainer._gradient
    monkeypatch.setattr(Trainer, "_gradient", fails_first)
    assert run(stored, 2) is None
    states = [t.state for t in stored.study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert stored.study.trials[0].user_attrs["fail_reason"] == "RuntimeError: no kernel"


def test_trials_that_all_fail_end_the_search_with_a_sentence(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_gradient", Mock(side_effect=RuntimeError("no kernel")))
    with pytest.raises(MachineFailure, match=r"5 trials in a row failed \(.*: no kernel\)"):
        run(stored, 9)
    assert [t.state for t in stored.study.trials] == [TrialState.FAIL] * FAILURES


def test_a_gpu_that_breaks_hands_the_trial_back_to_be_tried_the_safe_way(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        broken = torch.AcceleratorError("CUDA error: illegal memory access\nCompile with …")
        patch.setattr(Trainer, "_gradient", Mock(side_effect=broken))
        with pytest.raises(DeviceFailure, match=r"access\) and is enqueued again"):
            run(stored, 1)
    assert run(stored, 1) is None
    old, new = stored.study.trials
    assert (old.state, new.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert old.params == new.params
    assert new.user_attrs["fallback"] == "AcceleratorError: CUDA error: illegal memory access"
    assert new.user_attrs["precision"] == "fp32"


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


def test_a_database_that_fails_is_told_as_that(
    stored: StoredStudy, run: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        cause = OperationalError("INSERT", {}, Exception("database or disk is full"))
        raise StorageInternalError("An exception is raised during the commit.") from cause

    monkeypatch.setattr(stored.storage, "set_trial_intermediate_value", full)
    monkeypatch.setattr(stored.storage, "set_trial_state_values", full)
    with (
        pytest.raises(StorageError, match=r"\(database or disk is full\)"),
        storage_errors(database),
    ):
        run(stored, 1)


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


def test_a_mistake_of_the_program_ends_the_search_with_the_reason_kept(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_backward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["fail_reason"] == "ZeroDivisionError: division by zero"


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


@pytest.mark.parametrize(
    "blow",
    [
        signal.SIGKILL,
        *(pytest.param(s, marks=pytest.mark.soak) for s in (signal.SIGTERM, signal.SIGINT)),
    ],
)
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
