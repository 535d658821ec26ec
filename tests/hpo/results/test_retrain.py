import torch

from data.drawings import Drawings
from data.split import Split
from data.tasks import OneShotTasks
from hpo.results.retrain import fresh_tasks
from hpo.study.confirmations import fresh_task_seed
from model.configuration import DataChoice
from model.inputs import Inputs, inputs_from


def as_set(tasks: OneShotTasks) -> set[tuple[bytes, bytes]]:
    """Each draw by what it shows."""
    pairs = zip(tasks.support, tasks.queries, strict=True)
    return {(s.numpy().tobytes(), q.numpy().tobytes()) for s, q in pairs}


def test_fresh_tasks_are_new_validation_tasks(
    strokes: Drawings, small_split: Split, small_inputs: Inputs
) -> None:
    choice = DataChoice(set="strokes", validation_tasks=320)
    own = inputs_from(strokes, choice, 20, torch.device("cpu")).tasks
    assert len(as_set(own)) == 320 / 20
    fresh = fresh_tasks(choice, small_inputs, 4000)
    assert len(fresh) == 4000
    for some in (fresh, fresh_tasks(choice, small_inputs, 320)):  # as many as the study's own, too
        assert not as_set(own) & as_set(some)
    assert as_set(fresh_tasks(choice, small_inputs, 4000)) == as_set(fresh)
    validation = {image.numpy().tobytes() for image in small_split.validation.images}
    for images in (own.support, own.queries, fresh.support, fresh.queries):
        assert {image.numpy().tobytes() for image in images.flatten(0, 1)} <= validation
    held_out = {image.numpy().tobytes() for image in small_split.evaluation.images}
    assert not held_out & validation
    for seed in range(200):
        assert fresh_task_seed(seed) != seed


def test_fresh_tasks_are_of_the_studys_kind(small_inputs: Inputs) -> None:
    choice = DataChoice(set="strokes", way=5, shots=2, validation_tasks=40)
    fresh = fresh_tasks(choice, small_inputs, 60)
    assert (len(fresh), fresh.way, fresh.shots) == (60, 5, 2)
