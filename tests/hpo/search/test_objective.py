from itertools import count
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
import torch
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from data.pairs import PairBatch
from hpo.results.export import export_best
from hpo.search import loop
from hpo.search.objective import WORST, Objective
from hpo.search.sampler import make_sampler
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, StudyError, create_or_resume
from hpo.study.trials import best_trial, finished
from hpo.view.terminal import PlainLines
from model.history import History, Interrupted
from model.inputs import Inputs
from model.scoring import unpack
from model.training import Trainer
from tests.hpo.fixture_types import Open, Run
from tests.hpo.made_up import stopped_at
from tests.hpo.tiny_study import UNTRAINABLE, tiny_settings


def test_the_value_of_a_trial_is_its_lowest_error_and_not_its_last(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([(0.4, "AA"), (0.3, "gQ"), (0.6, "AQ")])

    def validate(trainer: Trainer) -> float:
        error, trainer.right = next(found)
        return error

    monkeypatch.setattr(Trainer, "validate", validate)
    run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.value == 0.3
    assert trial.intermediate_values == {0: 0.4, 1: 0.3, 2: 0.6}
    kept = trial.user_attrs
    assert (kept["best_epoch"], kept["best_error"], kept["outcomes"]) == (1, 0.3, "gQ")


def test_the_seconds_of_a_trial_are_those_since_it_began(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Mock(perf_counter=Mock(side_effect=count(5000, 0.004)))
    monkeypatch.setattr("hpo.search.objective.time", clock)
    run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.user_attrs["seconds"] == round((clock.perf_counter.call_count - 1) * 0.004, 2)


def test_its_pace_is_told_after_the_first_epoch_and_its_device_before(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    report, write = optuna.Trial.report, optuna.Trial.set_user_attr

    def observed_report(trial: optuna.Trial, value: float, step: int) -> None:
        told.append(f"epoch {step}")
        report(trial, value, step)

    def observed_write(trial: optuna.Trial, key: str, value: object) -> None:
        if key == "pairs_per_second":
            told.append(value)
        elif key in ("device", "seconds"):
            told.append(key)
        write(trial, key, value)

    clock = Mock(perf_counter=Mock(side_effect=count(5000, 0.004)))
    monkeypatch.setattr("hpo.search.objective.time", clock)
    monkeypatch.setattr(History, "pairs_per_second", property(lambda _: 123.456))
    monkeypatch.setattr(optuna.Trial, "report", observed_report)
    monkeypatch.setattr(optuna.Trial, "set_user_attr", observed_write)
    run(stored, 1)
    assert told == [
        "device", "epoch 0", 123.5, "epoch 1", "epoch 2", "device", 123.5, "seconds",
    ]  # fmt: skip


def test_the_memory_of_a_trial_is_the_peak_in_mib(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.search.objective.peak", lambda device: 300 * 2**20)
    run(stored, 1)
    assert stored.study.trials[0].user_attrs["peak_memory_mb"] == 300


def test_a_trial_tells_how_many_images_were_normalised_together(
    open_study: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.training.block_that_fits", lambda *_: 9)
    stored = open_study("network.normalisation=batch")
    run(stored, 1)
    assert stored.study.trials[0].user_attrs["images_at_once"] == 9


def test_a_trial_tells_what_it_computes_in_before_its_first_epoch(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.training.resolve_precision", lambda wanted, device: "bf16")
    seen: list[object] = []

    def validate(trainer: Trainer) -> float:
        seen.append(stored.study.trials[0].user_attrs["precision"])
        return 0.5

    monkeypatch.setattr(Trainer, "validate", validate)
    run(stored, 1)
    assert seen == ["bf16"] * 3
    assert stored.study.trials[0].user_attrs["precision"] == "bf16"


def test_the_seed_of_a_trial_follows_from_the_studys_seed_and_its_number(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objective, "_train", lambda *_: 0.5)

    def seeds(name: str, seed: int) -> list[int]:
        storage = open_storage(f"sqlite:///{tmp_path / name}.db", create=True)
        settings = tiny_settings(tmp_path, f"search.seed={seed}")
        stored, _ = create_or_resume("tiny", settings, "strokes-1-0", storage)
        stored.study.sampler = make_sampler(stored)
        run(stored, 2)
        return [trial.user_attrs["seed"] for trial in stored.study.trials]

    one, again, other = seeds("one", 7), seeds("again", 7), seeds("other", 8)
    assert one == again == [1014427442, 291303631]  # another program would train other networks
    assert len({*one, *other}) == 4


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
        assert 50 < trial.user_attrs["peak_memory_mb"] < 20_000
        assert trial.user_attrs["device"].startswith("CPU, ")
        assert 0 < trial.user_attrs["seconds"] < 300
    assert len({t.user_attrs["seed"] for t in stored.study.trials}) == 3


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


def test_one_that_was_stopped_is_pruned_as_soon_as_its_epochs_are_told(
    open_study: Open,
    run: Run,
    small_inputs: Inputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = open_study("training.epochs=4")
    errors = iter([0.4, 0.2, 0.3])
    monkeypatch.setattr(Trainer, "validate", lambda trainer: next(errors))
    pruner = _Always(1)
    monkeypatch.setattr(loop, "make_pruner", lambda settings: pruner)
    with monkeypatch.context() as patch:
        patch.setattr(pruner, "prune", Mock(side_effect=[False, False, Interrupted("a reboot")]))
        run(stored, 1)
    objective = Objective(
        stored, small_inputs, tmp_path / "results", PlainLines(stored), lambda: None
    )
    with pytest.raises(optuna.TrialPruned, match=r"^after 3 epochs at error 0\.300$"):
        objective(stored.study.ask())
    assert pruner.asked == [0, 1, 2]


def test_one_that_was_stopped_in_its_first_epoch_is_not_pruned_for_it(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Trainer._backward
    done = count()

    def stopped(self: Trainer, batch: PairBatch) -> torch.Tensor:
        if next(done) == 2:
            self.partial.seconds += 1000
            raise Interrupted("a reboot")
        return plain(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", stopped)
        run(stored, 1)
    run(stored, 1)
    _, again = stored.study.trials
    assert (again.state, again.user_attrs["resumed_at"]) == (TrialState.COMPLETE, 0)
    assert 1000 < again.user_attrs["seconds"] < 1100  # those of the part of an epoch count


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


def test_a_trial_that_is_not_enqueued_again_yet_keeps_its_epochs(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, stopped_at(7):  # in the second epoch
        patch.setattr(loop, "reclaim", Mock(return_value=0))
        assert run(stored, 1) == "Ctrl-C"
    (stopped,) = stored.study.trials
    assert stopped.state == TrialState.FAIL
    run(stored, 1)
    again = stored.study.trials[1]
    assert (again.state, again.user_attrs["resumed_at"]) == (TrialState.COMPLETE, 1)
