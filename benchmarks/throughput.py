"""Training and validation, ours beside the textbook loop in the same run."""

import multiprocessing
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.networks import PAIRS, as_searched, configurations
from benchmarks.stopwatch import Row, Say, now, steps_seconds
from benchmarks.textbook import PairFiles, TextbookNetwork, training_steps, validate, write_files
from data.drawings import Drawings
from data.split import split
from data.tasks import draw_tasks
from hpo.workers.local import cores_for
from model.architecture import Architecture
from model.configuration import Configuration
from model.fast.cuda_graph import steps_before_the_pace
from model.fast.heap import keep_freed
from model.fast.threads import Threads
from model.training import Trainer

TASKS = 320
TOGETHER = (1, 2, 4, 8)  # trials on one GPU
AT_ONCE = 6.0  # seconds that each of them trains
PATIENCE = 300.0  # seconds until all of them are ready
COSTLY = 2e9  # multiply-adds an image beyond which a CPU is not kept waiting by the textbook loop

_given: list[Any] = []  # to a process of `at_once`


@dataclass(frozen=True)
class Setting:
    """What the sections measure with."""

    drawings: Drawings
    device: torch.device
    workers: int
    rounds: int
    say: Say


def training(setting: Setting) -> list[Row]:
    """Pairs a second of every network; the ratio is the median of those of the rounds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "images"
        write_files(split(setting.drawings).train, files)
        for name, configuration in configurations().items():
            setting.say(f"training, {name}")
            rows.append(_training(setting, name, configuration, files))
    for study in ("small", "modern"):
        setting.say(f"training, {study} as it is searched")
        trainer = make_trainer(setting, as_searched(study))
        pairs = next(trainer.steps(0))[1]
        ours = median(
            steps_seconds(setting.device, trainer.steps(0), 10) for _ in range(setting.rounds)
        )
        rows.append({"network": f"{study}, all pairs of a batch", "pairs/s": pairs / ours})
    return rows


def _training(setting: Setting, name: str, configuration: Configuration, files: Path) -> Row:
    network, device = configuration.network, setting.device
    trainer = make_trainer(setting, configuration)
    textbook = TextbookNetwork(network).to(device)
    pairs = PairFiles(files, network.image_size, 10**6)
    count = steps_timed(network, device)
    ours, theirs = [], []
    for _ in range(setting.rounds):
        ours.append(steps_seconds(device, trainer.steps(0), count))
        if device.type == "cpu" and network.multiply_adds > COSTLY:
            continue
        steps = training_steps(textbook, pairs, PAIRS, setting.workers, device)
        theirs.append(steps_seconds(device, steps, count))
        del steps  # ends the loader's workers
    row: Row = {
        "network": name,
        "M weights": network.weights / 1e6,
        "M multiply-adds": network.multiply_adds / 1e6,
        "precision": trainer.precision,
        "pairs/s": PAIRS / median(ours),
    }
    if theirs:
        row["textbook pairs/s"] = PAIRS / median(theirs)
        row["ratio"] = median(t / o for t, o in zip(theirs, ours, strict=True))
    return row


def steps_timed(network: Architecture, device: torch.device) -> int:
    """How many steps of a network stand for its pace."""
    if device.type == "cuda":
        return 30
    return 3 if network.multiply_adds > 1e8 else 10


def at_once(setting: Setting) -> list[Row]:
    """Pairs a second of `small`'s sampling, by several processes of one device together.

    As in `training`, the epoch is one that does not end: a GPU records a step only once.
    """
    rows: list[Row] = []
    for processes in TOGETHER if setting.device.type == "cuda" else sorted({1, cores_for(1)}):
        setting.say(f"at once, {processes}")
        context = multiprocessing.get_context("spawn")
        given = setting.drawings, context.Barrier(processes, timeout=PATIENCE), cores_for(processes)
        with context.Pool(processes, _prepare, given) as pool:
            each = pool.map(_pairs_a_second, [str(setting.device)] * processes, chunksize=1)
        rows.append({"processes": processes, "pairs/s": sum(each)})
    for row in rows:
        row["ratio to one"] = row["pairs/s"] / rows[0]["pairs/s"]
    return rows


def _prepare(*given: Any) -> None:
    """Keep in a process what all of its work needs."""
    _given.extend(given)
    keep_freed()
    torch.set_num_threads(given[-1])


def _pairs_a_second(device: str) -> float:
    """Of one process, from the moment when all are ready."""
    drawings, barrier, _ = _given
    setting = Setting(drawings, torch.device(device), 0, 1, print)
    trainer = make_trainer(setting, as_searched("small"))
    steps = trainer.steps(0)
    pairs = [next(steps)[1] for _ in range(steps_before_the_pace(setting.device))]
    barrier.wait()
    start, count = now(setting.device), 0
    while now(setting.device) - start < AT_ONCE:
        for _ in range(10):
            next(steps)
        count += 10
    return count * pairs[0] / (now(setting.device) - start)


def validation(setting: Setting) -> list[Row]:
    """Seconds of the 320 tasks; the textbook loop's from a part of them."""
    rows = []
    for name, configuration in configurations().items():
        if name not in ("published", "small"):
            continue
        setting.say(f"validation, {name}")
        trainer = make_trainer(setting, configuration)
        textbook = TextbookNetwork(configuration.network).to(setting.device)
        tasks = trainer.tasks.to(torch.device("cpu"))
        part = 2 if setting.device.type == "cpu" and name == "published" else 20
        trainer.validate()
        ours, theirs = [], []
        for _ in range(setting.rounds):
            start = now(setting.device)
            trainer.validate()
            ours.append(now(setting.device) - start)
            start = now(setting.device)
            validate(textbook, tasks, part, setting.device)
            theirs.append((now(setting.device) - start) * TASKS / part)
        rows.append(
            {
                "network": name,
                "seconds": median(ours),
                "textbook seconds": median(theirs),
                "ratio": median(t / o for t, o in zip(theirs, ours, strict=True)),
            }
        )
    return rows


def make_trainer(
    setting: Setting,
    configuration: Configuration,
    count: int = TASKS,
    task_seed: int = 0,
    threads: Threads | None = None,
) -> Trainer:
    """A trainer of the configuration, with the 320 validation tasks or with others."""
    cut = split(setting.drawings).resized(configuration.network.image_size)
    tasks = draw_tasks(cut.validation, count, task_seed).to(setting.device)
    train = cut.train.to(setting.device)
    return Trainer(configuration, train, tasks, setting.device, threads)
