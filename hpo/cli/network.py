"""The commands of one network: train, evaluate; and what it is measured against."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from data.files import check_writable
from data.tasks import OneShotTasks
from hpo.baselines import BASELINES, score_baseline
from hpo.brake import Brake, Interrupted
from hpo.cli.options import AsJson, Data, Device, Storage, find_device, say
from hpo.evaluation import Score, evaluate_checkpoint, evaluation_tasks
from hpo.evaluation_log import Look, evaluations, look, record
from hpo.inputs import open_split, validation_tasks
from hpo.places import data_folder, storage_of
from hpo.settings import SettingsError
from hpo.storage import StorageError, open_storage, shown, storage_errors
from hpo.study import StudyError, load
from hpo.wording import percent
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from model.config import Configuration, ConfigurationError, DataChoice, Provenance
from model.snapshot import Snapshot
from model.training import Diverged, Trainer, train


def train_configuration(
    configuration: Annotated[Path, typer.Argument(metavar="CONFIG", help="From hpo export.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: CONFIG as .safetensors]")
    ] = None,
    as_trial: Annotated[
        bool, typer.Option(help="With the trial's own seed and budget, to get its error again.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Instead of the configuration's.")] = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Train a configuration in full, and write a checkpoint; the same line resumes it.

    Example: hpo train best.toml -o best.safetensors
    """
    config, where = Configuration.read(configuration), find_device(device)
    target = output or configuration.with_suffix(".safetensors")
    try:
        check_writable(target)
    except OSError as error:
        raise CheckpointError(
            f"{target} cannot be written ({error.strerror}): give another place with -o"
        ) from error
    changes: dict[str, Any] = {}
    if as_trial:
        if config.provenance is None:
            raise ConfigurationError(
                f"{configuration} names no trial: leave --as-trial out, or export it anew"
            )
        changes = {"training": config.provenance.training, "seed": config.provenance.seed}
    if seed is not None:
        changes["seed"] = seed
    config = config.model_copy(update=changes)
    cut, fingerprint = open_split(config.data, config.network.image_size, data_folder(data), say)
    if config.provenance and config.provenance.data_fingerprint != fingerprint:
        say(f"the data is not the trial's: {config.provenance.data_fingerprint} → {fingerprint}")
    tasks = validation_tasks(config.data, cut, where)
    trainer = Trainer(config, cut.train.to(where), tasks, where)
    snapshot, brake = Snapshot(target.with_name(f"{target.name}.unfinished")), Brake(None)
    if snapshot.resume(trainer):
        say(f"going on after {len(trainer.history.epochs)} epochs that were trained before")

    def on_epoch(number: int, error: float) -> None:
        snapshot.save_if_cheap(trainer)
        epoch = trainer.history.epochs[-1]
        say(
            f"epoch {number}: error {percent(error)}, best {percent(trainer.history.best_error)}, "
            f"loss {epoch.loss:.4f}, {epoch.pairs / epoch.train_seconds:,.0f} pairs/s"
        )

    history = trainer.history
    try:
        with brake.on_signals():
            train(trainer, on_epoch, brake.check)
    except OSError as error:
        raise CheckpointError(
            f"{snapshot.path} cannot be written ({error.strerror}): see to the disk, then type the "
            "same line"
        ) from error
    except Interrupted as error:
        snapshot.save(trainer)
        say(f"stopped by {error}; the same line goes on from here")
        raise typer.Exit(130) from error
    except Diverged as error:
        if not history.epochs:
            raise
        say(f"{error}; the best epoch before is kept")
    save_checkpoint(target, Checkpoint(trainer.network, config, history, fingerprint))
    snapshot.remove()
    print(
        f"{target}: one-shot validation error {percent(history.best_error)} in epoch "
        f"{history.best_epoch} of {len(history.epochs)}"
    )


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="From hpo train.")],
    runs: Annotated[Path | None, typer.Option(help="Runs in the official format.")] = None,
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    json_: AsJson = False,
) -> None:
    """Score a checkpoint on the 400 evaluation tasks, which no search ever sees.

    The look is counted in the study that the checkpoint comes from.

    Example: hpo evaluate best.safetensors
    """
    where = find_device(device)
    loaded = load_checkpoint(checkpoint, where)
    tasks = _evaluation_tasks(loaded.configuration.data, runs, data)
    score = evaluate_checkpoint(loaded, tasks, where)
    _print_scores([score], json_)
    sys.stdout.flush()  # whatever becomes of the study's database, the score is out
    _count(look(checkpoint.name, score), loaded.configuration.provenance, storage)


def _count(one: Look, origin: Provenance | None, storage: str | None) -> None:
    """Keep a look with the study of its checkpoint, or say why that cannot be."""
    if origin is None:
        say("this look is not counted: the checkpoint names no study")
        return
    try:
        url = storage_of(storage, origin.study)
        with storage_errors(url):
            stored = load(origin.study, open_storage(url, create=False))
            stored.storage.hurried = lambda: True  # a count is not worth waiting for
            if origin.study_token not in (None, stored.token):
                raise StudyError(f"the study {origin.study} in {shown(url)} is another one")
            record(stored.study, one)
            count = len(evaluations(stored.study))
    except (SettingsError, StorageError, StudyError) as error:
        say(
            f"this look is not counted, for want of the study {origin.study} ({error}); name its "
            "database with --storage"
        )
        return
    say(f"this was look {count} at the evaluation tasks of the study {origin.study}")


def baselines(
    runs: Annotated[Path | None, typer.Option(help="Runs in the official format.")] = None,
    only: Annotated[str | None, typer.Option(help=f"One of {', '.join(BASELINES)}.")] = None,
    data: Data = None,
    json_: AsJson = False,
) -> None:
    """Score what needs no training on the 400 evaluation tasks.

    Example: hpo baselines --only nearest-neighbour
    """
    if only is not None and only not in BASELINES:
        raise SettingsError(f"there is no baseline {only}: name one of {', '.join(BASELINES)}")
    tasks = _evaluation_tasks(DataChoice(set="omniglot"), runs, data)
    _print_scores([score_baseline(n, tasks) for n in BASELINES if only in (None, n)], json_)


def _print_scores(scores: list[Score], as_json: bool) -> None:
    if as_json:
        print(json.dumps([dataclasses.asdict(s) for s in scores], indent=2))
        return
    for one in scores:
        low, high = one.interval
        print(
            f"{one.name}: {percent(one.accuracy)} correct "
            f"(95 % interval {percent(low)} to {percent(high)}) on {one.source}"
        )


def _evaluation_tasks(choice: DataChoice, runs: Path | None, data: Path | None) -> OneShotTasks:
    folder = data_folder(data)
    return evaluation_tasks(choice, folder, runs, say)
