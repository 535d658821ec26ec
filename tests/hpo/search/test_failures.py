import errno
import os
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from data.pairs import PairBatch
from hpo.search import loop
from hpo.search.loop import FAILURES, DeviceFailure, MachineFailure
from hpo.search.objective import Objective
from hpo.study.retry import RETRIES
from hpo.study.storage import StorageError, storage_errors
from hpo.study.study import StoredStudy
from model.history import Interrupted
from model.training import Trainer
from tests.hpo.command import Hpo
from tests.hpo.fixture_types import Run
from tests.hpo.tiny_study import write_tiny


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


@pytest.mark.parametrize("error", [OSError("No space left on device"), Interrupted("SIGTERM")])
def test_no_time_to_hand_a_trial_back_is_no_error_and_loses_nothing(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    late = Mock(side_effect=[0, KeyboardInterrupt])  # it is asked before each trial, too
    with monkeypatch.context() as patch:
        patch.setattr(loop, "reclaim", late)
        patch.setattr(Trainer, "_backward", Mock(side_effect=error))
        with suppress(MachineFailure):
            assert run(stored, 1) == "Ctrl-C"
    assert late.call_count == 2
    run(stored, 1)
    old, new = stored.study.trials
    assert (old.state, new.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert new.params == old.params


@pytest.mark.parametrize("code", ["EACCES", "EDQUOT", "EIO", "ENOSPC", "EPERM", "EROFS", "ESTALE"])
def test_a_full_or_broken_disk_never_uses_a_trial_up(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    number = getattr(errno, code)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", Mock(side_effect=OSError(number, os.strerror(number))))
        for _ in range(RETRIES + 3):
            with pytest.raises(MachineFailure, match=f"{os.strerror(number)}.* is enqueued again"):
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


def test_a_mistake_of_the_program_ends_the_search_with_the_reason_kept(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_backward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["fail_reason"] == "ZeroDivisionError: division by zero"


def test_a_gpu_that_breaks_under_the_estimate_is_left_to_the_first_trial(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "studies")
    broken = Mock(side_effect=torch.AcceleratorError("CUDA error: illegal memory access"))
    monkeypatch.setattr("hpo.cli.announce.estimate", broken)
    ran = hpo("run tiny --trials 1")
    assert ran.status == 0
    assert "1 left: how long is unknown, as the device failed: AcceleratorError" in ran.err


def test_failures_with_a_finished_trial_between_them_end_no_search(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "FAILURES", 2)
    failure = RuntimeError("no kernel")
    monkeypatch.setattr(Objective, "_train", Mock(side_effect=[failure, 0.5, failure, 0.4]))
    assert run(stored, 2) is None
    states = [trial.state for trial in stored.study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE] * 2
