from data.split import Split
from data.tasks import OneShotTasks, draw_tasks
from hpo.results.retrain import fresh_tasks
from hpo.study.confirmations import fresh_task_seed
from model.configuration import DataChoice
from model.inputs import Inputs


def as_set(tasks: OneShotTasks) -> set[tuple[bytes, bytes]]:
    """Each draw by what it shows."""
    pairs = zip(tasks.support, tasks.queries, strict=True)
    return {(s.numpy().tobytes(), q.numpy().tobytes()) for s, q in pairs}


def test_fresh_tasks_are_new_validation_tasks(small_split: Split, small_inputs: Inputs) -> None:
    choice = DataChoice(set="strokes", validation_tasks=320)
    own = draw_tasks(small_split.validation, 320, choice.task_seed)
    fresh = fresh_tasks(choice, small_inputs, 4000)
    assert len(fresh) == 4000
    assert not as_set(own) & as_set(fresh)
    assert as_set(fresh_tasks(choice, small_inputs, 4000)) == as_set(fresh)
    validation = {image.numpy().tobytes() for image in small_split.validation.images}
    for images in (fresh.support, fresh.queries):
        assert {image.numpy().tobytes() for image in images.flatten(0, 1)} <= validation
    held_out = {image.numpy().tobytes() for image in small_split.evaluation.images}
    assert not held_out & validation
    for seed in range(200):
        assert fresh_task_seed(seed) != seed
