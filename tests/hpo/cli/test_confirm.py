import json
import math
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from data.split import Split
from data.tasks import draw_tasks
from hpo.search.objective import WORST
from hpo.study.confirmations import confirmed, fresh_task_seed, keep_result, leading, new_seed
from hpo.study.study import StoredStudy
from hpo.study.trials import Record
from model.history import Diverged
from model.scoring import unpack
from model.training import Trainer, train
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Searched
from tests.hpo.made_up import by_error, keep, killed_at, stopped_at
from tests.hpo.tiny_study import open_tiny, write_tiny

CPU = torch.device("cpu")
CONFIRM = "confirm tiny --top 2 --seeds 2 --tasks 200"


def kept(stored: StoredStudy) -> dict[str, dict[str, object]]:
    """What the retrainings left with the study."""
    return {k: v for k, v in stored.study.user_attrs.items() if k.startswith("confirmation:")}


def test_the_best_trials_are_trained_again_and_ranked(
    hpo: Hpo, searched: Searched, small_split: Split
) -> None:
    stored = searched()
    best, second, third = by_error(stored)
    outcome = hpo(CONFIRM)
    assert outcome.status == 0, outcome.err
    assert "0 of 4 trainings done, 4 left" in outcome.err
    told = re.findall(r"^trial (\d+), seed (\d): .* on the search's own tasks", outcome.err, re.M)
    in_turn = [(str(trial), seed) for seed in "12" for trial in (best, second)]
    assert told == in_turn  # wherever it is stopped, the trials are nearly level

    results = kept(stored)
    assert set(results) == {f"confirmation:{t}:{k}" for t in (best, second) for k in (0, 1)}
    assert not [k for k in results if k.startswith(f"confirmation:{third}:")]
    for result in results.values():
        assert set(result) == {
            "best_epoch",
            "device",
            "error",
            "outcomes",
            "search_like_error",
            "seconds",
            "seed",
            "tasks",
        }
        assert result["tasks"] == 200
    seeds = {result["seed"] for result in results.values()}
    assert len(seeds) == 4
    assert not seeds & {t.user_attrs["seed"] for t in stored.study.trials}

    # One of them, made again by hand: the search's budget, its tasks for the epoch, then others.
    settings, trial = stored.settings, stored.study.trials[second]
    configuration = stored.space.configuration(trial.params, new_seed(7, second, 1))
    assert configuration.training == settings.training
    data = settings.data
    validation = small_split.validation
    tasks = draw_tasks(validation, data.validation_tasks, data.task_seed)
    trainer = Trainer(configuration, small_split.train, tasks, CPU)
    train(trainer)
    trainer.tasks = draw_tasks(validation, 200, fresh_task_seed(data.task_seed))
    result = results[f"confirmation:{second}:1"]
    assert result["error"] == trainer.validate()
    assert result["outcomes"] == trainer.right
    assert result["search_like_error"] == trainer.history.best_error
    assert result["best_epoch"] == trainer.history.best_epoch

    ranked = confirmed(stored.study)
    assert {c.trial for c in ranked} == {best, second}
    assert [c.rank for c in ranked] == [1, 2]
    assert ranked[0].mean <= ranked[1].mean
    lines = outcome.out.splitlines()
    assert len(lines) == 4
    assert lines[1].split()[:2] == ["1", str(ranked[0].trial)]
    assert "±" in lines[1]
    assert "points" in lines[1]
    first, other = (c.trial for c in ranked)
    said = (
        rf"trial {first} is ahead of trial {other} by \d+\.\d points on the same 200 tasks, "
        "p [=<] .*, and from 2 seeds each, p [=<] .*significant"
    )
    assert re.fullmatch(said, lines[3])


@pytest.mark.soak
def test_the_same_line_does_nothing_twice_and_other_tasks_do_it_anew(
    hpo: Hpo, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hpo(f"{CONFIRM} --json")
    shown = json.loads(first.out)
    assert shown["study"] == "tiny"
    assert set(shown["lead"]) == {"trial", "of", "points", "tasks", "seeds", "p_tasks", "p_seeds"}
    assert set(shown["confirmed"][0]) == {
        "trial",
        "search_error",
        "errors",
        "mean",
        "spread",
        "rank",
        "tasks",
        "search_too_good_by_points",
    }
    before = kept(searched())
    with monkeypatch.context() as patch:
        patch.setattr("hpo.cli.confirm.retrain", None)  # is not to be called
        again = hpo(f"{CONFIRM} --json")
    assert "all 4 trainings are done" in again.err
    assert again.out == first.out
    assert kept(searched()) == before

    assert hpo("confirm tiny --top 2 --seeds 3 --tasks 200").status == 0
    more = kept(searched())
    assert len(more) == 6
    assert before.items() <= more.items()  # the third seed alone was trained
    assert hpo("confirm tiny --top 1 --seeds 1 --tasks 100").status == 0
    best = by_error(searched())[0]
    assert kept(searched())[f"confirmation:{best}:0"]["tasks"] == 100


def test_one_seed_has_no_spread(hpo: Hpo, searched: Searched) -> None:
    outcome = hpo("confirm tiny --top 1 --seeds 1 --tasks 40 --json")
    (only,) = json.loads(outcome.out)["confirmed"]
    assert only["spread"] is None
    assert math.isnan(confirmed(searched().study)[0].spread)
    assert "±" not in hpo("confirm tiny --top 1 --seeds 1 --tasks 40").out
    exported = tomllib.loads(hpo("export tiny").out)["provenance"]
    assert exported["confirmed_seeds"] == 1
    assert "confirmed_spread" not in exported


def test_one_that_is_stopped_goes_on_in_the_middle(
    hpo: Hpo, searched: Searched, tmp_path: Path
) -> None:
    # The looks before two trainings and the 12 steps of one: step 10 of the other.
    with stopped_at(24):
        stopped = hpo(CONFIRM)
    assert stopped.status == 130
    assert "stopped by Ctrl-C; what is done is kept, and the same line goes on" in stopped.err
    assert len(kept(searched())) == 1
    (snapshot,) = (tmp_path / "studies/tiny/confirmation").rglob("*.safetensors")

    with stopped_at(0) as looks:
        went_on = hpo(CONFIRM)
    assert went_on.status == 0
    assert looks[0] == (1 + 2) + 2 * (1 + 12)  # two steps of the stopped one were left
    assert not snapshot.exists()
    resumed = {k: r["error"] for k, r in kept(searched()).items()}

    forgotten = {"tasks": 1, "error": 0.5}  # scored on other tasks
    searched().study.set_user_attr(f"confirmation:{by_error(searched())[1]}:0", forgotten)
    assert hpo(CONFIRM).status == 0  # the resumed one again, now in one go
    assert {k: r["error"] for k, r in kept(searched()).items()} == resumed


def test_one_that_dies_loses_at_most_the_running_training(hpo: Hpo, searched: Searched) -> None:
    with killed_at(6):
        assert hpo(CONFIRM).status == 130
    before = kept(searched())
    assert len(before) == 1
    assert "1 of 4 trainings done, 3 left" in hpo(CONFIRM).err
    assert before.items() <= kept(searched()).items()


def test_the_end_of_the_time_is_no_failure(hpo: Hpo, searched: Searched) -> None:
    outcome = hpo(f"{CONFIRM} --timeout 0.000001")
    assert outcome.status == 0
    assert "stopped by the time is up" in outcome.err
    assert outcome.out == "no trial is confirmed yet\n"


def test_a_retraining_that_diverges_counts_as_the_worst(
    hpo: Hpo, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = by_error(searched())[0]
    seed = new_seed(7, best, 0)

    def diverging(trainer: Trainer, *callbacks: Callable[..., None]) -> None:
        if trainer.configuration.seed == seed:
            raise Diverged(1, 3)
        train(trainer, *callbacks)

    monkeypatch.setattr("model.snapshot.train", diverging)
    outcome = hpo(CONFIRM)
    assert outcome.status == 0
    assert "diverged: the loss was no longer finite in epoch 2" in outcome.err
    result = kept(searched())[f"confirmation:{best}:0"]
    assert (result["error"], result["search_like_error"]) == (WORST, WORST)
    assert str(result["fail_reason"]).startswith("diverged")
    assert not unpack(str(result["outcomes"]), 200).any()
    assert next(c for c in confirmed(searched().study) if c.trial == best).errors[0] == WORST


def test_no_memory_is_no_result(
    hpo: Hpo, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_memory = Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory.\nMore of it"))
    monkeypatch.setattr(Trainer, "_backward", no_memory)
    assert refused(hpo(CONFIRM), "CUDA out of memory: free some")
    assert not kept(searched())


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("confirm tiny --tasks 0", "'--tasks': Input should be greater than or equal to 1"),
        ("confirm tiny --tasks 100000000", "40000"),
        ("confirm tiny --seeds 0", "--seeds"),
        ("confirm tiny --top 0", "--top"),
        ("confirm tiny", "start one with `hpo run tiny "),
        ("confirm nothing", "there is no study nothing"),
        ("confirm tiny --device tpu9", "is no device"),
    ],
)
def test_bad_input_is_one_sentence(hpo: Hpo, tmp_path: Path, line: str, part: str) -> None:
    write_tiny(tmp_path / "studies")
    assert refused(hpo(line), part)


def test_a_study_without_trials_and_one_of_other_data(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1 --workers 0").status == 0
    assert refused(
        hpo("confirm tiny"), "no complete trial yet: go on with `hpo run tiny --trials 20`"
    )
    stored = open_tiny(tmp_path)
    assert hpo("run tiny --trials 1").status == 0
    stored.study.set_user_attr("data_fingerprint", "of others")
    assert refused(
        hpo("confirm tiny"), "the study tiny is about other data (of others) than is here ("
    )
    assert not kept(stored)


def test_finalists_are_trained_in_full_and_the_winner_of_that_is_exported(
    hpo: Hpo, searched: Searched, small_split: Split
) -> None:
    hpo(CONFIRM)
    stored = searched()
    first, second = confirmed(stored.study)
    outcome = hpo("confirm tiny --full --top 1 --seeds 1 --tasks 200 --json")
    shown = json.loads(outcome.out)
    assert [one["trial"] for one in shown["confirmed"]] == [first.trial]  # the confirmed one
    assert "the same line" not in hpo("confirm tiny --full --top 1 --seeds 1 --tasks 200").err
    assert [c.trial for c in confirmed(stored.study)] == [first.trial, second.trial]

    settings, trial = stored.settings, stored.study.trials[first.trial]
    seed = new_seed(settings.search.seed, first.trial, 0)
    configuration = stored.space.configuration(trial.params, seed, settings.trained_in_full())
    assert configuration.training.epochs == 4
    data, validation = settings.data, small_split.validation
    tasks = draw_tasks(validation, data.validation_tasks, data.task_seed)
    trainer = Trainer(configuration, small_split.train, tasks, CPU)
    train(trainer)
    trainer.tasks = draw_tasks(validation, 200, fresh_task_seed(data.task_seed))
    assert shown["confirmed"][0]["errors"] == [trainer.validate()]

    # Of the other one, trained in full, less is wrong: it is exported now.
    keep_result(stored.study, second.trial, 0, {"error": 0.001, "tasks": 200}, full=True)
    assert [c.trial for c in leading(stored.study)] == [second.trial, first.trial]
    assert f"took trial {second.trial}, the confirmed winner" in hpo("export tiny -o w.toml").err
    assert hpo("report tiny -o page.html").status == 0
    assert "from new seeds, in full, on" in Path("page.html").read_text()


def test_the_time_that_it_will_take_is_that_of_the_trials_or_of_longer_trainings(
    hpo: Hpo, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched()
    monkeypatch.setattr("hpo.cli.confirm.record", lambda trial: Record(seconds=600))
    short = hpo(f"{CONFIRM} --timeout 0").err
    assert "0 of 4 trainings done, 4 left: 40 min at the pace of the search" in short
    whole = hpo(f"{CONFIRM} --full --timeout 0").err  # of four epochs, where a trial has three
    assert "0 of 4 trainings done, 4 left: 53 min at the pace of the search" in whole


def test_the_table_sets_what_was_confirmed_beside_what_the_search_saw(
    hpo: Hpo, searched: Searched
) -> None:
    stored = searched()
    best, second, _ = by_error(stored)
    keep(stored.study, best, 0.999, tasks=200)
    keep(stored.study, second, 0.98, 0.94, tasks=200)
    outcome = hpo("confirm tiny --top 2 --seeds 2 --tasks 200 --timeout 0")
    saw = {number: 100 * (stored.study.trials[number].value or 0.0) for number in (best, second)}
    for line, whole in zip(
        outcome.out.splitlines()[1:3],
        (
            f"1 {second} {saw[second]:.1f} % 96.0 ± 2.8 % 2 {96 - saw[second]:+.1f} points",
            f"2 {best} {saw[best]:.1f} % 99.9 % 1 {99.9 - saw[best]:+.1f} points",
        ),
        strict=True,
    ):
        assert line.split() == whole.split()
    assert f"ranked last for fewer seeds or other tasks: trial {best}; a larger" in outcome.err
    shown = hpo("confirm tiny --top 2 --seeds 2 --tasks 200 --timeout 0 --json")
    points = [one["search_too_good_by_points"] for one in json.loads(shown.out)["confirmed"]]
    assert points == pytest.approx([96 - saw[second], 99.9 - saw[best]])


def test_a_study_in_another_database_is_confirmed_and_exported_there(
    hpo: Hpo, tmp_path: Path
) -> None:
    write_tiny(tmp_path / "studies")
    there = "--storage sqlite:///all.db"
    assert hpo(f"run tiny --trials 1 {there}").status == 0
    for line in ("confirm tiny --top 1 --seeds 1 --tasks 40", "export tiny"):
        assert refused(hpo(line), "no study in studies/tiny/study.db")
        done = hpo(f"{line} {there}")
        assert done.status == 0, done.err
    assert "took trial 0, the confirmed winner" in done.err
