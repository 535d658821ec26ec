"""A stand-in for CUDA graphs on a CPU: operations are recorded, and done again when replayed."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = tuple[Any, tuple[Any, ...], dict[str, Any], Any]


class RecordedGraph:
    """What `torch.cuda.CUDAGraph` is: operations on the memory that they were recorded with.

    Attributes:
        replays: how often it was replayed.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.replays = 0

    @torch.no_grad()
    def replay(self) -> None:
        """Do every operation again, its results written where the first ones stand."""
        self.replays += 1
        for function, args, kwargs, result in self.calls:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class _Recording(TorchDispatchMode):
    """Takes down every operation, and what the memory that it writes to held before."""

    def __init__(self, calls: list[Call]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = calls
        self.overwritten: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for place, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                given = args[place] if place < len(args) else kwargs.get(argument.name)
                written = [t for t in tree_leaves(given) if isinstance(t, Tensor)]
                self.overwritten += [(tensor, tensor.detach().clone()) for tensor in written]
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, result))
        return result


@contextmanager
def record(graph: RecordedGraph, stream: object = None) -> Iterator[None]:
    """What `torch.cuda.graph` does: nothing that is recorded has happened afterwards."""
    recording = _Recording(graph.calls)
    try:
        with recording:
            yield
    finally:
        with torch.no_grad():
            for tensor, held in reversed(recording.overwritten):
                tensor.copy_(held)


def stand_in(patch: pytest.MonkeyPatch) -> list[RecordedGraph]:
    """Let ``torch.cuda`` record on the CPU; gives the list of the graphs that are made."""
    made: list[RecordedGraph] = []

    def graph() -> RecordedGraph:
        made.append(RecordedGraph())
        return made[-1]

    patch.setattr(torch.cuda, "CUDAGraph", graph)
    patch.setattr(torch.cuda, "graph", record)
    patch.setattr(torch.cuda, "Stream", nullcontext)
    patch.setattr(torch.cuda, "device", nullcontext)
    return made
