import errno
import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from data.drawings import Drawings
from data.pairs import PairBatch, draw_pairs
from data.split import Split
from hpo.paper.published import VERIFICATION
from hpo.paper.verification import (
    CELLS,
    PAIRS,
    Result,
    cell_configuration,
    fingerprint,
    keep_result,
    measure,
    read_results,
)
from hpo.study.settings import SettingsError
from model.configuration import DataChoice
from model.inputs import Inputs
from model.recipe import LayerRates, RandomPairs
from model.snapshot import Snapshot
from model.training import Trainer
from tests.hpo.command import Hpo, refused
from tests.hpo.made_up import killed_at, stopped_at
from tests.model.tiny import tiny_configuration

VERIFY = "verify tiny.toml --steps 6 --cells 30k,30k+distortions"
FILE = Path("tiny.verification/verification.json")


@pytest.fixture(autouse=True)
def _tiny(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(tiny_configuration(epochs=3).to_toml())


def comparable(out: str) -> list[dict[str, Any]]:
    """What ``--json`` printed, without what a clock measured."""
    results = json.loads(out)
    for result in results:
        del result["seconds"]
        for epoch in result["epochs"]:
            del epoch["train_seconds"], epoch["validation_seconds"]
    return list(results)


def test_the_cells_are_those_of_the_paper() -> None:
    assert set(CELLS) == set(VERIFICATION)
    assert [(c.pairs, c.copies) for c in CELLS.values()] == [
        (pairs, copies) for pairs in (30_000, 90_000, 150_000) for copies in (0, 8)
    ]
    assert all(0.9 < share < 0.94 for share in VERIFICATION.values())


def test_cells_differ_in_their_pairs_alone() -> None:
    own = tiny_configuration(
        epochs=4, patience=2, sampling=RandomPairs(pairs=10, copies=1, batch=32, seed=5)
    )
    for cell in CELLS.values():
        made = cell_configuration(own, cell, None)
        sampling = RandomPairs(pairs=cell.pairs, copies=cell.copies, batch=32, seed=5)
        assert made.training == own.training.model_copy(update={"sampling": sampling})
        assert (made.network, made.rates, made.seed) == (own.network, own.rates, own.seed)
        budget = cell_configuration(own, cell, 11).training
        assert budget.sampling == sampling.model_copy(update={"steps": 2})
        assert (budget.epochs, budget.patience) == (4, 4)
    other = cell_configuration(tiny_configuration(), CELLS["30k"], None)
    assert other.training.sampling == RandomPairs(copies=0)
    with pytest.raises(SettingsError, match="--steps 3 is less .* give at least 4"):
        cell_configuration(own, CELLS["30k"], 3)


def test_everything_that_bears_on_a_result_is_in_its_fingerprint() -> None:
    one = tiny_configuration()
    keys = [
        fingerprint(one, "data"),
        fingerprint(one, "other data"),
        fingerprint(tiny_configuration(seed=2), "data"),
        *(fingerprint(cell_configuration(one, c, 8), "data") for c in CELLS.values()),
        fingerprint(cell_configuration(one, CELLS["30k"], None), "data"),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == fingerprint(tiny_configuration(), "data")


def test_the_evaluation_alphabets_have_no_say_in_the_threshold(small_split: Split) -> None:
    def scored(flip: bool) -> tuple[float, float, float]:
        looks = 0

        def score(drawings: Drawings) -> tuple[Tensor, Tensor]:
            nonlocal looks
            pairs = draw_pairs(drawings, 200, 0, 0)
            logits = torch.rand(200, generator=torch.Generator().manual_seed(1)) + pairs.same / 2
            if drawings is not small_split.evaluation:
                assert drawings is small_split.validation
                return logits, pairs.same
            looks += 1
            return logits, 1 - pairs.same if flip else pairs.same

        found = measure(score, small_split)
        assert looks == 1
        return found

    plain, flipped = scored(False), scored(True)
    assert flipped[:2] == plain[:2]
    assert flipped[2] == pytest.approx(1 - plain[2])


def test_a_cell_is_measured_once(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = hpo(f"{VERIFY} --json")
    assert outcome.status == 0, outcome.err
    assert "trains on all pairs of a batch" in outcome.err
    assert "budget   6 steps a cell: 3 epochs of 2" in outcome.err
    assert "0 of 2 done, 2 left: up to" in outcome.err
    assert "30k+distortions, epoch 3 of 3: error" in outcome.err
    plain, distorted = json.loads(outcome.out)
    assert set(plain) == {
        "accuracy",
        "best_epoch",
        "cell",
        "configuration",
        "copies",
        "device",
        "diverged",
        "epochs",
        "evaluation_pairs",
        "interval",
        "one_shot_error",
        "pairs",
        "precision",
        "published",
        "seconds",
        "threshold",
        "validation_accuracy",
    }
    assert (plain["cell"], plain["pairs"], plain["copies"]) == ("30k", 30_000, 0)
    assert (distorted["cell"], distorted["copies"]) == ("30k+distortions", 8)
    for result in (plain, distorted):
        assert result["published"] is None  # these are drawn alphabets
        assert result["evaluation_pairs"] == PAIRS == 10_000
        assert result["validation_accuracy"] >= 0.5
        low, high = result["interval"]
        assert low < result["accuracy"] < high < low + 0.021
        assert [epoch["pairs"] for epoch in result["epochs"]] == [256] * 3
        errors = [epoch["error"] for epoch in result["epochs"]]
        assert result["one_shot_error"] == min(errors) == errors[result["best_epoch"]]
        assert result["configuration"]["training"]["sampling"]["steps"] == 2
    assert [p.name for p in (tmp_path / FILE).parent.iterdir()] == [FILE.name]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "__init__", None)  # is not to be called
        again = hpo(f"{VERIFY} --json")
        assert "2 of 2 done, 0 left" in again.err
        assert again.out == outcome.out
        table = hpo(VERIFY).out
    assert "on 10,000 pairs of the evaluation alphabets" in table
    (row,) = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in table.splitlines()
        if "30,000" in line
    ]
    assert row[1] == f"{100 * plain['accuracy']:.2f} %"
    assert row[4] == f"{100 * distorted['accuracy']:.2f} %"
    assert (row[3], row[6]) == ("–", "–")


def test_other_settings_are_measured_anew_beside_the_old_ones(hpo: Hpo, tmp_path: Path) -> None:
    line = "verify tiny.toml --cells 30k --json"
    (first,) = comparable(hpo(f"{line} --steps 6").out)
    (longer,) = comparable(hpo(f"{line} --steps 9").out)
    assert [len(first["epochs"]), len(longer["epochs"])] == [3, 3]
    assert first["epochs"] != longer["epochs"]
    other = hpo(f"{line} --steps 6 --seed 5")
    assert "0 of 1 done" in other.err
    assert comparable(other.out)[0]["epochs"] != first["epochs"]
    assert len(read_results(tmp_path / FILE)) == 3
    again = hpo(f"{line} --steps 7")  # two steps an epoch, as with 6
    assert "1 of 1 done" in again.err
    assert comparable(again.out) == [first]
    assert hpo(f"{line} --steps 6 -o elsewhere").status == 0
    assert comparable(hpo(f"{line} --steps 6 -o elsewhere").out) == [first]


def test_one_that_is_stopped_goes_on_in_the_middle(hpo: Hpo, tmp_path: Path) -> None:
    whole = comparable(hpo(f"{VERIFY} -o whole --json").out)
    # The looks before two cells and the 6 steps of one: step 3 of the other, inside an epoch.
    with stopped_at(11):
        stopped = hpo(f"{VERIFY} --json")
    assert stopped.status == 130
    assert stopped.out == ""
    assert "stopped by Ctrl-C; what is done is kept, and the same line goes on" in stopped.err
    assert len(read_results(tmp_path / FILE)) == 1
    (snapshot,) = (tmp_path / FILE).parent.glob("*.unfinished")
    assert snapshot.name.startswith("30k+distortions-")
    with stopped_at(0) as looks:
        went_on = hpo(f"{VERIFY} --json")
    assert looks == [1 + 3]
    assert "1 of 2 done, 1 left" in went_on.err
    assert comparable(went_on.out) == whole
    assert not snapshot.exists()


def test_a_killed_one_loses_none(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "verify tiny.toml --steps 6 --cells 30k --json"
    (whole,) = comparable(hpo(f"{line} -o whole").out)
    monkeypatch.setattr(Snapshot, "save_if_cheap", Snapshot.save)
    with killed_at(1 + 3):  # the first is the one that is timed before
        assert hpo(line).status == 130
    assert not (tmp_path / FILE).exists()
    with stopped_at(0) as looks:
        assert comparable(hpo(line).out) == [whole]
    assert looks == [1 + 2]  # the last epoch


def test_a_configuration_without_a_budget_trains_on_whole_sets(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = RandomPairs(batch=1000)
    (tmp_path / "tiny.toml").write_text(tiny_configuration(1, sampling=sampling).to_toml())
    monkeypatch.setattr(Trainer, "_backward", lambda *_: torch.zeros(()))
    outcome = hpo("verify tiny.toml --cells 30k --json")
    assert "1 epochs of the whole set, patience" in outcome.err
    assert "trains on all pairs" not in outcome.err
    assert [e["pairs"] for e in json.loads(outcome.out)[0]["epochs"]] == [30_000]


def test_divergence_leaves_the_epoch_before(hpo: Hpo, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Trainer._backward

    def later_wild(trainer: Trainer, batch: PairBatch) -> Tensor:
        loss = plain(trainer, batch)
        return loss * float("nan") if trainer.history.epochs else loss

    monkeypatch.setattr(Trainer, "_backward", later_wild)
    outcome = hpo("verify tiny.toml --steps 6 --cells 30k --json")
    assert outcome.status == 0, outcome.err
    assert "no longer finite in epoch 2, by step 1; the best epoch before" in outcome.err
    (result,) = json.loads(outcome.out)
    assert len(result["epochs"]) == 1
    assert "no longer finite" in result["diverged"]


def test_one_that_cannot_train_is_one_sentence(hpo: Hpo, tmp_path: Path) -> None:
    wild = tiny_configuration(rates=LayerRates(lr=10, momentum=1.0, l2=1.0))
    (tmp_path / "tiny.toml").write_text(wild.to_toml())
    assert refused(hpo("verify tiny.toml --steps 800 --cells 30k"), "lower the rates")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("verify nothing.toml", "nothing.toml cannot be read"),
        ("verify tiny.toml --cells 60k", "there is no cell '60k': name some of 30k,30k+dist"),
        ("verify tiny.toml --cells 30k,", "there is no cell ''"),
        ("verify tiny.toml --steps 2", "epochs: give at least 3"),
        ("verify tiny.toml --steps 0", "--steps"),
        ("verify tiny.toml --device tpu9", "is no device"),
        ("verify tiny.toml --data nowhere", "does not exist"),
        ("verify tiny.toml -o tiny.toml", "tiny.toml/verification.json cannot be read"),
    ],
)
def test_bad_input_is_one_sentence(hpo: Hpo, line: str, part: str) -> None:
    assert refused(hpo(line), part)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "another", "results": {}}'])
def test_a_file_of_something_else_is_left_alone(hpo: Hpo, tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text(content)
    assert refused(hpo(VERIFY), "holds no verification results", "name another folder with -o")
    assert (tmp_path / FILE).read_text() == content


def test_a_full_disk_is_one_sentence(hpo: Hpo, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(Snapshot, "save_if_cheap", full)
    assert refused(hpo(VERIFY), "tiny.verification cannot be written (No space left on device)")


def test_what_was_published_stands_beside_each_cell(
    hpo: Hpo, small_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.cli.verify.inputs_of", lambda *_: small_inputs)
    own = tiny_configuration(epochs=3).model_copy(update={"data": DataChoice(set="omniglot")})
    Path("tiny.toml").write_text(own.to_toml())
    for name, accuracy in (("30k", 0.5), ("90k", 0.625), ("90k+distortions", 0.75)):
        cell = CELLS[name]
        result = Result(
            cell=name,
            pairs=cell.pairs,
            copies=cell.copies,
            accuracy=accuracy,
            interval=(accuracy - 0.01, accuracy + 0.02),
            evaluation_pairs=PAIRS,
            threshold=0,
            validation_accuracy=0.9,
            one_shot_error=0.3,
            best_epoch=0,
            epochs=(),
            seconds=1,
            configuration={},
            device="CPU",
            precision="fp32",
        )
        key = fingerprint(cell_configuration(own, cell, 6), small_inputs.fingerprint)
        keep_result(FILE, key, result)
    line = "verify tiny.toml --steps 6 --cells 90k+distortions,90k,30k"
    rows = [
        [cell.strip() for cell in row.split("│")[1:-1]]
        for row in hpo(line).out.splitlines()
        if "0,000" in row and "│" in row
    ]
    first = ["50.00 %", "49.00 % to 52.00 %", "90.61 %"]
    second = ["62.50 %", "61.50 % to 64.50 %", "91.54 %"]
    third = ["75.00 %", "74.00 % to 77.00 %", "93.15 %"]
    assert rows == [["30,000", *first, "–", "–", "–"], ["90,000", *second, *third]]
    shown = json.loads(hpo(f"{line} --json").out)
    assert [(one["cell"], one["published"]) for one in shown] == [
        ("30k", 0.9061),
        ("90k", 0.9154),
        ("90k+distortions", 0.9315),
    ]
