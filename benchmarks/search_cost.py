"""What the search itself costs: a whole trial split, the overhead of Optuna, memory over trials."""

import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
import psutil
import torch
from optuna.trial import create_trial

import data.all_pairs
from benchmarks.networks import settings
from benchmarks.stopwatch import Breakdown, Row
from benchmarks.throughput import Setting
from data.sources.strokes import draw_strokes
from hpo.search.loop import search
from hpo.search.objective import Objective
from hpo.search.observer import Observer
from hpo.search.pruners import make_pruner
from hpo.search.sampler import make_sampler
from hpo.search.stopping import Stop
from hpo.study.limits import WANTED
from hpo.study.settings import StudySettings
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, create_or_resume, load
from hpo.view.log import log_to_stderr, silence_optuna
from hpo.view.status import StatusReader
from model.fast.cuda_graph import Replayed
from model.fast.memory import release_memory
from model.inputs import inputs_from
from model.snapshot import Snapshot
from model.training import Trainer

STORED = (10, 200, 1000)
MEASURED = 5  # trials that are asked, reported and told at each of them
MANY, FURTHER = 3000, 100
DEMO_TRIALS = 50
WORKERS = 8
PACED = 3  # trials of each worker
MINUTE = 60.0


@contextmanager
def _new_study(chosen: StudySettings, url: str | None = None) -> Iterator[StoredStudy]:
    """A study in a database that is gone afterwards."""
    name = f"benchmark-{random.randrange(10**9)}"  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(url or f"sqlite:///{folder}/study.db", create=True)
        stored, _ = create_or_resume(name, chosen, "benchmark", storage)
        stored.study.sampler, stored.study.pruner = make_sampler(stored), make_pruner(chosen)
        try:
            yield stored
        finally:
            optuna.delete_study(study_name=name, storage=storage)
            storage.engine.dispose()


def trial(setting: Setting) -> list[Row]:
    """Where the time of one `small` trial goes that trains to its last epoch."""
    setting.say("trial")
    chosen = settings("small")
    side = chosen.network.image_size
    inputs = inputs_from(setting.drawings, chosen.data, side, setting.device)
    clock = Breakdown(setting.device)
    with (
        _new_study(chosen) as stored,
        ExitStack() as patched,
        tempfile.TemporaryDirectory() as folder,
    ):
        for owner, name, label in (
            (data.all_pairs, "as_input", "data"),
            (data.all_pairs, "distort", "distortion"),
            (data.all_pairs, "draw_transforms", "distortion"),
            *_parts_of_step(setting.device),
            (Trainer, "validate", "validation"),
            (Snapshot, "save", "snapshots"),
            (Objective, "_keep_pictures", "pictures"),
            (optuna.Trial, "report", "Optuna"),
            (optuna.Trial, "should_prune", "Optuna"),
            (optuna.Trial, "set_user_attr", "Optuna"),
            (optuna.Study, "ask", "Optuna"),
            (optuna.Study, "tell", "Optuna"),
            (optuna.Trial, "_suggest", "Optuna"),
        ):
            patched.enter_context(clock.timing(owner, name, label))
        objective = Objective(stored, inputs, Path(folder), Observer(), lambda: None)
        start = time.perf_counter()
        asked = stored.study.ask()
        stored.study.tell(asked, objective(asked))
        whole = time.perf_counter() - start
    parts = {k: v for k, v in clock.spent.items() if not k.startswith("of these")}
    clock.spent["the rest"] = whole - sum(parts.values())
    clock.spent["whole trial"] = whole
    return [
        {"part": part, "seconds": spent, "share, %": 100 * spent / whole}
        for part, spent in clock.spent.items()
    ]


def _parts_of_step(device: torch.device) -> list[tuple[object, str, str]]:
    """The functions of a training step; a GPU replays `small`'s as a whole."""
    if device.type == "cuda":
        return [(Replayed, "__call__", "forward, backward and optimizer")]
    return [
        (Trainer, "_backward", "forward and backward"),
        (torch.Tensor, "backward", "of these backward"),
        (torch.optim.SGD, "step", "optimizer"),
    ]


def overhead(setting: Setting, postgres: str | None) -> list[Row]:
    """Milliseconds that a `small` trial of all epochs spends in the search."""
    rows = []
    databases = {"SQLite": None} | ({"PostgreSQL": postgres} if postgres else {})
    for database, url in databases.items():
        for count in STORED:
            setting.say(f"overhead, {database}, {count} trials")
            with _new_study(settings("small"), url) as stored:
                _fill(stored, count)
                rows.append({"database": database, "stored trials": count, **_one(stored)})
    return rows


def stored_trials(setting: Setting) -> list[Row]:
    """What `MANY` stored trials of `paper` cost whoever reads or joins the study, on SQLite."""
    setting.say(f"stored trials, {MANY}")
    with _new_study(settings("paper")) as made:
        _fill(made, MANY, pruned=8)
        parts: dict[str, float] = {}

        @contextmanager
        def timed(part: str) -> Iterator[None]:
            begun = time.perf_counter()
            yield
            parts[part] = time.perf_counter() - begun

        url = made.storage.engine.url.render_as_string(hide_password=False)
        with timed("open, s"):
            stored = load(made.study.study_name, open_storage(url, create=False))
        with timed("status, s"):
            StatusReader(stored).read()
        before = _resident()
        with timed("read all, s"):
            stored.study.get_trials(deepcopy=False)
        parts["memory of the trials, MiB"] = _resident() - before
        stored.study.sampler = make_sampler(stored)
        each, before = list[float](), _resident()
        for _ in range(FURTHER):
            begun = time.perf_counter()
            trial = stored.study.ask()
            stored.space.suggest(trial)
            stored.study.tell(trial, 0.5)
            each.append(time.perf_counter() - begun)
        parts["ask, suggest and tell, s"] = median(each)
        parts[f"memory of {FURTHER} more, MiB"] = _resident() - before
        stored.storage.engine.dispose()
        return [{"stored trials": MANY, **parts}]


def _resident() -> float:
    return float(psutil.Process().memory_info().rss / 2**20)


def _fill(stored: StoredStudy, count: int, pruned: int = 3) -> None:
    """Store finished trials as a search would have left them, of nine this many pruned."""
    space, chance = stored.space, np.random.default_rng(0)
    distributions, epochs = space.distributions, stored.settings.training.epochs
    finished = []
    for number in range(count):
        errors = np.sort(chance.uniform(0.2, 0.95, epochs))[::-1]
        cut = number % 9 < pruned
        ran = 6 if cut else epochs
        state = optuna.trial.TrialState.PRUNED if cut else optuna.trial.TrialState.COMPLETE
        finished.append(
            create_trial(
                state=state,
                value=float(errors[ran - 1]),
                params=dict(space.draw(chance)),
                distributions=dict(distributions),
                intermediate_values={e: float(v) for e, v in enumerate(errors[:ran])},
                user_attrs={"seconds": 60.0, "seed": number},
            )
        )
    stored.study.add_trials(finished)


def _one(stored: StoredStudy) -> Row:
    """Medians over trials of the milliseconds in each part of the search."""
    study, epochs = stored.study, stored.settings.training.epochs
    spent: dict[str, list[float]] = {}

    def timed(label: str, work: Any, *args: Any) -> Any:
        start = time.perf_counter()
        result = work(*args)
        spent.setdefault(label, []).append((time.perf_counter() - start) * 1e3)
        return result

    for _ in range(MEASURED):
        asked = timed("ask", study.ask)
        timed("suggest", stored.space.suggest, asked)
        for epoch in range(epochs):
            timed("report", asked.report, 0.9 - epoch / 100, epoch)
            timed("prune?", asked.should_prune)
        timed("tell", study.tell, asked, 0.9)
    medians = {label: median(times) for label, times in spent.items()}
    a_trial = sum(m * (epochs if k in ("report", "prune?") else 1) for k, m in medians.items())
    return {f"{k}, ms": v for k, v in medians.items()} | {"whole trial, ms": a_trial}


def contention(setting: Setting, postgres: str | None) -> list[Row]:
    """Seconds that a trial's reads and writes take while eight workers share a database.

    Nothing is trained: each worker sleeps between its epochs, so that a trial takes a minute.
    """
    if postgres is None:
        setting.say("contention: left out, as it needs --postgres")
        return []
    setting.say(f"contention, {WORKERS} workers, {STORED[-1]} trials")
    with _new_study(settings("small"), postgres) as stored:
        _fill(stored, STORED[-1])
        context = multiprocessing.get_context("spawn")
        with context.Pool(WORKERS) as pool:
            name = stored.study.study_name
            found = pool.starmap(_database_seconds, [(name, postgres)] * WORKERS)
    each = [seconds for worker in found for seconds in worker]
    middle, most = median(each), max(each)
    return [
        {
            "workers": WORKERS,
            "stored trials": STORED[-1],
            "median of a trial, s": middle,
            "longest, s": most,
            "median of a one-minute trial, %": middle / MINUTE * 100,
        }
    ]


def _database_seconds(name: str, url: str) -> list[float]:
    """What the storage takes in each of a few trials of a minute."""
    torch.set_num_threads(1)
    log_to_stderr()
    silence_optuna()
    storage = open_storage(url, create=False)
    stored = load(name, storage)
    stored.study.sampler, stored.study.pruner = make_sampler(stored), make_pruner(stored.settings)
    clock, taken = Breakdown(torch.device("cpu")), []
    with ExitStack() as patched:
        patched.enter_context(clock.timing(storage, "outlast", "storage"))
        epochs = stored.settings.training.epochs
        time.sleep(os.getpid() % WORKERS / WORKERS * MINUTE / epochs)  # not all in step
        for _ in range(PACED):
            before = clock.spent.get("storage", 0.0)
            asked = stored.study.ask()
            stored.space.suggest(asked)
            for epoch in range(epochs):
                time.sleep(MINUTE / epochs)
                asked.report(0.9 - epoch / 100, epoch)
                asked.should_prune()
            stored.study.tell(asked, 0.9)
            taken.append(clock.spent["storage"] - before)
    return taken


def memory(setting: Setting) -> list[Row]:
    """Peak memory over many `demo` trials in one process: it should not grow."""
    setting.say(f"memory, {DEMO_TRIALS} demo trials")
    chosen = settings("demo")
    drawings, side = draw_strokes(chosen.data.seed), chosen.network.image_size
    inputs = inputs_from(drawings, chosen.data, side, setting.device)
    release_memory(setting.device)
    with _new_study(chosen) as stored, tempfile.TemporaryDirectory() as folder:
        stored.study.set_user_attr(WANTED, DEMO_TRIALS)
        stop, nobody = Stop(None), Observer()
        search(stored, Objective(stored, inputs, Path(folder), nobody, stop.check), stop, nobody)
        peaks = [t.user_attrs["peak_memory_mb"] for t in stored.study.trials]
    tenths = [peaks[i : i + 10] for i in range(0, len(peaks), 10)]
    return [
        {"trials": f"{10 * i + 1}–{10 * i + len(p)}", "median peak, MB": median(p), "max": max(p)}
        for i, p in enumerate(tenths)
    ]
