"""Seconds on a device, and the table of what was measured."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import torch

from model.fast.cuda_graph import steps_before_the_pace

Row = dict[str, Any]
Say = Callable[[str], None]


def machine(device: torch.device) -> Row:
    """What the figures were measured on."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "CPU",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "optuna": optuna.__version__,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo")
    names = [x for x in lines.read_text().splitlines() if x.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.processor()


def now(device: torch.device) -> float:
    """The clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(device: torch.device, work: Callable[[], object], times: int = 3) -> float:
    """Median of several runs after one that warms up."""
    work()
    taken = []
    for _ in range(times):
        start = now(device)
        work()
        taken.append(now(device) - start)
    return median(taken)


def steps_seconds(device: torch.device, steps: Iterator[object], count: int) -> float:
    """Seconds of a step, the mean of ``count`` after those that do not have the pace yet."""
    for _ in range(max(2, steps_before_the_pace(device))):  # on a CPU, until memory is at hand
        next(steps)
    start = now(device)
    for _ in range(count):
        next(steps)
    return (now(device) - start) / count


@dataclass
class Breakdown:
    """Where the time of a piece of work goes: the seconds spent in chosen functions."""

    device: torch.device
    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timing(self, owner: object, name: str, label: str) -> Iterator[None]:
        """Add up the seconds in ``owner.name`` under ``label``."""
        plain = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = now(self.device)
            try:
                return plain(*args, **kwargs)
            finally:
                self.spent[label] = self.spent.get(label, 0.0) + now(self.device) - start

        setattr(owner, name, timed)
        try:
            yield
        finally:
            setattr(owner, name, plain)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table; figures with three digits."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_shown(row.get(key, "")) for key in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
