"""A training step recorded once and then replayed: a GPU waits for the host no more.

A step is some 400 kernels; on an H200 launching them one by one took 9 ms for the published network
and 5 ms for that of `small`, whose arithmetic takes 0.7 ms. A CUDA graph launches them all at once.
What the recording saw of Python stays as it was. Learning rates are therefore on the device; where
a momentum changes, the step is recorded again.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

from data.errors import first_line
from data.pairs import PairBatch
from model.fast.heap import nothing_collected

Step = Callable[[PairBatch], Tensor]
"""Trains on a batch; gives the loss, () on the device."""
Recording = tuple[Callable[[], None], Tensor]
"""What does recorded work, and where its result will then stand."""
Record = Callable[[Step, PairBatch], Recording]
"""Records a step on a batch without doing it."""


def steps_before_the_pace(device: torch.device) -> int:
    """How many steps of an epoch pass until one takes as long as those after it.

    The first warms up; the second of a GPU is recorded, and the third is the first replayed.
    """
    return 3 if device.type == "cuda" else 1


def recorder(device: torch.device, optimizer: Optimizer) -> Record | None:
    """A function that records training steps, the optimizer's within; None without a GPU.

    The learning rates of the optimizer become tensors on the device, ().
    """
    if device.type != "cuda":
        return None
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)
    stream = torch.cuda.Stream(device)

    def record(step: Step, batch: PairBatch) -> Recording:
        graph = torch.cuda.CUDAGraph()
        with (
            nothing_collected(),  # what is freed of an earlier network would break it off
            _recordable(optimizer),
            torch.cuda.device(device),
            torch.cuda.graph(graph, stream=stream),
        ):
            loss = step(batch)
        return graph.replay, loss

    return record


def constants(optimizer: Optimizer) -> object:
    """What a recorded step of an optimizer keeps as it was; to compare."""
    return [
        {key: value for key, value in group.items() if key not in ("params", "lr")}
        for group in optimizer.param_groups
    ]


@contextmanager
def _recordable(optimizer: Optimizer) -> Iterator[None]:
    """Tell an optimizer that asks for it that it is recorded; told before, it would warn."""
    asking = [group for group in optimizer.param_groups if "capturable" in group]
    for group in asking:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in asking:
            group["capturable"] = False


class Replayed:
    """A training step whose first batch is trained on as it is and whose second is recorded.

    The batches after it that are of the same shape are put in the second one's place. What cannot
    be recorded is done as it is, with a warning.
    """

    def __init__(self, step: Step, record: Callable[[PairBatch], Recording]) -> None:
        """Prepare for batches; ``record`` records the same step."""
        self._step, self._record = step, record
        self._batch: PairBatch | None = None
        self._recording: Recording | None = None
        self._tried = False

    def __call__(self, batch: PairBatch) -> Tensor:
        """Train on a batch; gives the loss, () on the device."""
        if self._batch is None:  # libraries and the optimizer's state are set up by now
            self._batch = PairBatch(batch.images.clone(), _copy(batch.same))
            return self._step(batch)
        if batch.images.shape != self._batch.images.shape:
            return self._step(batch)
        self._batch.images.copy_(batch.images)
        if self._batch.same is not None and batch.same is not None:
            self._batch.same.copy_(batch.same)
        if not self._tried:
            self._tried = True
            self._recording = self._recorded(self._batch)
        if self._recording is None:
            return self._step(batch)
        replay, loss = self._recording
        replay()
        return loss.clone()

    def _recorded(self, batch: PairBatch) -> Recording | None:
        try:
            return self._record(batch)
        except RuntimeError as error:
            first: BaseException = error  # that the recording broke off is raised after it
            while first.__context__ is not None:
                first = first.__context__
            warnings.warn(f"a training step is not recorded ({first_line(first)})", stacklevel=2)
            return None


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.clone()
