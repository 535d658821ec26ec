from itertools import count
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
import torch
from optuna.trial import TrialState

from hpo.results.export import export_best
from hpo.search import loop
from hpo.search.objective import WORST, Objective
from hpo.search.sampler import make_sampler
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, StudyError, create_or_resume
from hpo.study.trials import best_trial
from model.history import History
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
        right = unpack(trial.user_attrs["outcomes"], 100)  # of the fixture's 100 tasks
        assert right.sum() == round((1 - trial.user_attrs["best_error"]) * 100)
        network = stored.space.configuration(trial.params, 0).network
        assert trial.user_attrs["weights"] == network.weights
        assert trial.user_attrs["multiply_adds"] == network.multiply_adds
        assert 50 < trial.user_attrs["peak_memory_mb"] < 20_000
        assert trial.user_attrs["device"].startswith("CPU, ")
        assert 0 < trial.user_attrs["seconds"] < 300
    assert len({t.user_attrs["seed"] for t in stored.study.trials}) == 3


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
