"""What TensorBoard itself reads of the runs."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from optuna.trial import TrialState

from hpo.search.objective import WORST
from hpo.study.trials import first_try
from model.training import Trainer
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Open, Run
from tests.hpo.made_up import killed_at
from tests.hpo.tiny_study import UNTRAINABLE, open_tiny, write_tiny

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="needs TensorBoard: install the extra tensorboard",
)
PICTURES = ["first-layer_filters", "learning_curve", "mistakes"]


class Shown:
    """What TensorBoard shows of the run in a folder."""

    def __init__(self, folder: Path) -> None:
        events = accumulator.EventAccumulator(str(folder), {"scalars": 0, "images": 0})
        self._events = events.Reload()
        self.tags: list[str] = self._events.Tags()["scalars"]
        self.pictures: list[str] = self._events.Tags()["images"]

    def scalar(self, tag: str) -> list[tuple[int, float]]:
        """Step and value of every point."""
        return [(one.step, one.value) for one in self._events.Scalars(tag)]

    def picture(self, tag: str) -> tuple[int, bytes]:
        (one,) = self._events.Images(tag)
        return one.step, one.encoded_image_string

    def params(self) -> dict[str, float]:
        """The hyper-parameters."""
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        contents = self._events.PluginTagToContent("hparams")
        read = {tag: HParamsPluginData.FromString(kept) for tag, kept in contents.items()}
        (metric,) = read["_hparams_/experiment"].experiment.metric_infos
        assert metric.name.tag == "best_error"
        given = read["_hparams_/session_start_info"].session_start_info.hparams
        return {name: value.number_value for name, value in given.items()}


def steps(errors: list[float]) -> list[tuple[int, Any]]:
    """The points of these errors, as near as single precision is."""
    return [(epoch, pytest.approx(error)) for epoch, error in enumerate(errors, 1)]


def test_every_trial_has_its_curve_its_params_and_its_pictures(
    tmp_path: Path, open_study: Open, run: Run
) -> None:
    changes = ("search.pruner=median", "search.pruner_warmup=1", "search.startup_trials=1")
    stored = open_study(*changes, "training.epochs=5")
    run(stored, 6, tmp_path / "runs")
    trials = stored.study.trials
    assert {t.state for t in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    folders = sorted(p.name for p in (tmp_path / "runs").iterdir())
    assert folders == [f"trial-000{t.number}" for t in trials]
    for trial, folder in zip(trials, folders, strict=True):
        shown, errors = Shown(tmp_path / "runs" / folder), list(trial.intermediate_values.values())
        assert shown.scalar("validation_error") == steps(errors)
        lowest = [min(errors[: n + 1]) for n in range(len(errors))]
        assert shown.scalar("best_error") == steps(lowest)
        losses = shown.scalar("training_loss")
        assert [step for step, loss in losses if loss > 0] == [*range(1, len(errors) + 1)]
        assert shown.params() == trial.params
        assert sorted(shown.pictures) == PICTURES
        for tag in PICTURES:
            step, picture = shown.picture(tag)
            assert step == len(errors)
            assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize("snapshot", [True, False])
def test_a_trial_that_resumes_has_every_epoch_once(
    tmp_path: Path, open_study: Open, run: Run, snapshot: bool
) -> None:
    """Killed in its third validation; without a snapshot the retry begins anew."""
    stored = open_study("training.epochs=4")
    with killed_at(3):
        run(stored, 1, tmp_path / "runs")
    (folder,) = (tmp_path / "runs").iterdir()
    assert len(Shown(folder).scalar("validation_error")) == 2
    if not snapshot:
        for file in (tmp_path / "results").rglob("*.safetensors"):
            file.unlink()
    time.sleep(1)  # TensorBoard reads the files of a run in the order of their seconds
    run(stored, 1, tmp_path / "runs")
    died, again = stored.study.trials
    assert (died.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert ("resumed_at" in again.user_attrs) == snapshot
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["trial-0000"]
    shown = Shown(folder)
    errors = list(again.intermediate_values.values())
    assert shown.scalar("validation_error") == steps(errors)
    assert len(shown.scalar("training_loss")) == len(errors) == 4
    assert shown.scalar("best_error")[-1][1] == pytest.approx(again.value)


def test_a_network_that_cannot_train_has_the_worst_error(
    tmp_path: Path, open_study: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = open_study(*UNTRAINABLE)
    run(stored, 1, tmp_path / "runs")
    shown = Shown(tmp_path / "runs/trial-0000")
    assert shown.scalar("validation_error") == shown.scalar("best_error") == [(1, WORST)]
    assert shown.pictures == []
    assert shown.params() == stored.study.trials[0].params


def test_a_trial_that_fails_keeps_its_epochs(
    tmp_path: Path, open_study: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: Iterator[object] = iter([0.5, 0.25, RuntimeError("no such kernel")])
    monkeypatch.setattr(Trainer, "validate", Mock(side_effect=errors))
    monkeypatch.setattr("hpo.search.loop.FAILURES", 1)
    with pytest.raises(Exception, match="in a row failed"):
        run(open_study(), 1, tmp_path / "runs")
    shown = Shown(tmp_path / "runs/trial-0000")
    assert shown.scalar("validation_error") == [(1, 0.5), (2, 0.25)]


@pytest.mark.parametrize("more", ["", pytest.param(" --workers 2", marks=pytest.mark.soak)])
def test_the_commands_write_runs(hpo: Hpo, tmp_path: Path, more: str) -> None:
    write_tiny(tmp_path / "studies")
    done = hpo(f"run tiny --trials 1 --tensorboard board{more}")
    assert done.status == 0, done.err
    assert hpo("run tiny --trials 2 --workers 0").status == 0
    assert hpo("worker tiny --tensorboard board").status == 0
    for trial in open_tiny(tmp_path).study.get_trials(states=(TrialState.COMPLETE,)):
        # The second worker may have begun a trial for the last place, and handed it back.
        shown = Shown(tmp_path / f"board/tiny/trial-{first_try(trial):04d}")
        assert shown.scalar("validation_error") == steps(list(trial.intermediate_values.values()))


def test_ray_hands_the_folder_along(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "studies")
    on_ray = Mock(return_value=None)
    monkeypatch.setattr("hpo.cli.run.run_on_ray", on_ray)
    line = "run tiny --trials 2 --workers 2 --ray local --tensorboard board"
    assert hpo(line).status == 0
    assert on_ray.call_args.args[1].runs == tmp_path / "board/tiny"


def test_it_is_refused_where_it_cannot_be_done(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "studies")
    (tmp_path / "file").touch()
    assert hpo("run tiny --trials 1 --workers 0").status == 0
    for line in ("run tiny --trials 1", "worker tiny"):
        assert refused(hpo(f"{line} --tensorboard file"), "cannot be written", "--tensorboard")
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "torch.utils.tensorboard", None)
            refusal = hpo(f"{line} --tensorboard board")
            assert refused(refusal, "pip install 'hpo-siamese[tensorboard]'")
    assert not (tmp_path / "board").exists()
    assert open_tiny(tmp_path).study.trials == []
