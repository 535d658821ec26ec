"""`modern`'s pace on fixed numbers of threads and on as many as are free, beside busy processes."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.networks import as_searched
from benchmarks.stopwatch import Row
from benchmarks.throughput import Setting, make_trainer
from hpo.workers.local import cores_for
from model.fast.threads import Threads
from model.history import Interrupted
from model.training import train

BUSY = (0, 1, 2)  # processes that keep a core each
SECONDS = 40.0  # of each pace: long enough for other numbers to be tried several times


def beside_others(setting: Setting) -> list[Row]:
    """Steps a second; the share of "as many as are free" in the best of the fixed numbers."""
    if setting.device.type != "cpu":
        setting.say("beside others: left out, as it is about the threads of a CPU")
        return []
    rows, most = list[Row](), cores_for(1)
    numbers = [n for n in (1, 2, 4, 8, 16, 32, 64) if n < most] + [most]
    for busy in BUSY:
        row: Row = {"busy processes": busy}
        with _busy(busy):
            for number in numbers:
                setting.say(f"beside others, {busy} busy, threads: {number}")
                row[f"{number} threads"] = _steps_a_second(setting, Threads(fixed=number))
            setting.say(f"beside others, {busy} busy, as many as are free")
            row["as many as are free"] = _steps_a_second(setting, Threads(most))
        best = max(row[f"{number} threads"] for number in numbers)
        rows.append(row | {"share of the best": row["as many as are free"] / best})
    return rows


@contextmanager
def _busy(count: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_forever, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _forever() -> None:
    while True:
        pass


def _steps_a_second(setting: Setting, threads: Threads) -> float:
    """Of the loop that trials run, from its second step on."""
    trainer = make_trainer(setting, as_searched("modern"), threads=threads)
    ends: list[float] = []

    def on_step() -> None:
        ends.append(time.monotonic())
        if ends[-1] - ends[0] > SECONDS:
            raise Interrupted

    with suppress(Interrupted):
        train(trainer, on_step=on_step)
    return (len(ends) - 1) / (ends[-1] - ends[0])
