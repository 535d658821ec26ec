from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from data.drawings import Drawings
from model.configuration import DataChoice
from model.fast.threads import Threads
from model.inputs import Inputs, inputs_from, open_inputs
from tests.data.ink import drawings_of
from tests.model.tiny import tiny_configuration

CPU = torch.device("cpu")


def told_apart() -> Drawings:
    """Three alphabets of 20 characters; the ink of an image is its alphabet and drawer as 20a + d.

    They count from 0, so that drawer 5 of the second alphabet has 24.
    """
    ink = (20 * torch.arange(3).view(3, 1) + torch.arange(20)).byte()
    return drawings_of(
        ink.repeat_interleave(20, dim=0).view(60, 20, 1, 1).repeat(1, 1, 8, 8),
        ("evaluation-01", "validation-01", "train-01"),
        torch.arange(3).repeat_interleave(20),
        range(1, 21),
    )


def test_tasks_are_of_the_validation_alphabets_and_drawers_alone() -> None:
    choice = DataChoice(set="strokes", validation_tasks=400)
    inputs = inputs_from(told_apart(), choice, 4, CPU)
    assert inputs.tasks.support.unique().tolist() == [24, 25, 26, 27]
    assert inputs.tasks.queries.unique().tolist() == [24, 25, 26, 27]
    assert inputs.tasks.queries.shape == (20, 20, 1, 4, 4)
    assert inputs.split.train.images.unique().tolist() == list(range(48, 60))
    assert inputs.fingerprint == "m"


def test_all_drawers_of_the_training_alphabets_and_no_others() -> None:
    choice = DataChoice(set="strokes", validation_tasks=400, all_drawers=True)
    inputs = inputs_from(told_apart(), choice, 4, CPU)
    assert inputs.split.train.images.unique().tolist() == list(range(40, 60))
    assert inputs.split.train.count_of.tolist() == [20] * 20
    assert inputs.tasks.support.unique().tolist() == [24, 25, 26, 27]
    assert inputs.split.evaluation.images.unique().tolist() == [0, 1, 2, 3]


def test_tasks_are_those_of_the_seed_that_was_chosen() -> None:
    one, again, other = (
        inputs_from(told_apart(), DataChoice(set="strokes", task_seed=seed), 8, CPU).tasks
        for seed in (3, 3, 4)
    )
    assert torch.equal(one.target, again.target)
    assert not torch.equal(one.target, other.target)


def photos() -> Drawings:
    """Groups of 20, 4 and 5 classes of four images each, full of the number of their class."""
    images = torch.arange(29).byte().repeat_interleave(4).view(-1, 1, 1, 1).repeat(1, 1, 8, 8)
    group_of = torch.tensor([0] * 20 + [1] * 4 + [2] * 5)
    counts = torch.full((29,), 4)
    return Drawings("photos", "p", ("big", "four", "five"), group_of, (), counts, images)


def test_the_classes_of_a_folder_are_cut_as_was_chosen() -> None:
    def inputs(seed: int, task_seed: int) -> Inputs:
        choice = DataChoice(
            set="folder",
            seed=seed,
            held_out=0.35,
            way=3,
            shots=2,
            validation_tasks=30,
            task_seed=task_seed,
        )
        return inputs_from(photos(), choice, 8, CPU)

    one, again, other = inputs(1, 5), inputs(1, 6), inputs(2, 5)
    cut = one.split
    assert [len(p.count_of) for p in (cut.train, cut.validation, cut.evaluation)] == [15, 7, 7]
    assert torch.equal(cut.validation.images, again.split.validation.images)
    assert not torch.equal(cut.validation.images, other.split.validation.images)
    assert not torch.equal(one.tasks.support, again.tasks.support)
    assert (one.tasks.way, one.tasks.shots, len(one.tasks)) == (3, 2, 30)
    assert set(one.tasks.queries.unique().tolist()) <= set(cut.validation.images.unique().tolist())


def test_the_groups_of_a_folder_are_held_out_as_they_are_named() -> None:
    choice = DataChoice(
        set="folder",
        validation_groups=("five",),
        evaluation_groups=("four",),
        way=3,
        validation_tasks=30,
    )
    inputs = inputs_from(photos(), choice, 8, CPU)
    assert inputs.split.train.images.unique().tolist() == list(range(20))
    assert inputs.split.evaluation.images.unique().tolist() == [20, 21, 22, 23]
    assert inputs.tasks.queries.unique().tolist() == [24, 25, 26, 27, 28]


def test_what_is_opened_is_the_set_that_was_chosen_and_trains_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock(return_value=told_apart())
    monkeypatch.setattr("model.inputs.open_set", asked)
    choice, threads = DataChoice(set="strokes", seed=5), Threads(fixed=1)
    inputs = open_inputs(choice, 20, 1, tmp_path, CPU, threads)
    asked.assert_called_once_with("strokes", 5, tmp_path, 20, 1)
    assert inputs.split.train.side == inputs.tasks.support.shape[-1] == 20
    trainer = inputs.trainer(tiny_configuration())
    assert trainer.drawings is inputs.split.train
    assert trainer.tasks is inputs.tasks
    assert trainer.device == CPU
    assert (inputs.threads, trainer.threads.number) == (threads, 1)
