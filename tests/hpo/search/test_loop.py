import re
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from optuna.trial import TrialState, create_trial

from data.pairs import PairBatch
from data.split import Split
from data.tasks import OneShotTasks
from hpo.results.export import export_best
from hpo.search import loop
from hpo.study.owner import owner
from hpo.study.retry import RETRIES, reclaim
from hpo.study.study import StoredStudy
from model.history import Interrupted
from model.training import Trainer, train
from tests.hpo.fixture_types import Open, Run
from tests.hpo.processes import begin, check_whole, opened, some, wait_until
from tests.hpo.tiny_study import write_tiny


def test_the_number_of_trials_is_the_studys(open_study: Open, run: Run) -> None:
    run(open_study(), 2)
    run(open_study(), 2)
    assert len(open_study().study.trials) == 2
    run(open_study(), 3)
    assert len(open_study().study.trials) == 3


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
