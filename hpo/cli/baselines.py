"""The command that measures what a network has to beat, beside the published figures: baselines."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from data.files import check_writable, writing
from data.sources import omniglot
from data.sources.by_name import open_set
from data.sources.mnist import SIDE as MNIST_SIDE
from data.tasks import OneShotTasks
from hpo.cli.evaluate import On, Runs, chosen_tasks, count_looks
from hpo.cli.options import AsJson, Data, Device, Storage
from hpo.cli.steps import print_json, print_table, say
from hpo.cli.train import train_until_stopped
from hpo.paper.baselines import BASELINES, NAMES, Measured, keep, measure, measure_network
from hpo.paper.published import MNIST, OMNIGLOT
from hpo.paper.reference_networks import (
    NETWORKS,
    checkpoint_file,
    configuration_of,
    kept_network,
    network_key,
)
from hpo.study.evaluations import look
from hpo.study.paths import data_folder
from hpo.study.settings import SettingsError
from hpo.view.format import duration, percent, shape
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from model.configuration import DataChoice
from model.fast.device import device_name, find_device
from model.inputs import inputs_from

CONV = "siamese-conv"


@dataclass(frozen=True)
class _Network:
    """A trained network, and its key if it is one of the program's own."""

    checkpoint: Checkpoint
    key: str | None


def baselines(
    runs: Runs = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"One of {', '.join(NAMES)}; may be given again."),
    ] = None,
    on: On = "alphabets",
    train: Annotated[
        bool,
        typer.Option("--train/--no-train", help="Train the networks that are not trained yet."),
    ] = True,
    siamese_conv: Annotated[
        Path | None, typer.Option(help=f"Checkpoint to score as {CONV}, from hpo train.")
    ] = None,
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    json_: AsJson = False,
) -> None:
    """Score simpler methods on the evaluation tasks.

    They stand beside what others published. hausdorff compares the ink as sets of points; affine is
    the nearest neighbour after the best affine alignment, and takes minutes. The two siamese
    networks are trained first, which takes longer; the same line resumes that, and they are
    kept.

    Example: hpo baselines

    Example: hpo baselines --only chance --only nearest-neighbour --on mnist
    """
    for name in only or ():
        if name not in NAMES:
            raise SettingsError(f"there is no baseline {name}: name one of {', '.join(NAMES)}")
    if siamese_conv and only and CONV not in only:
        raise SettingsError(
            f"--siamese-conv is of the row {CONV}: leave --only out, or add --only {CONV}"
        )
    names = [name for name in NAMES if not only or name in only]
    where, folder = find_device(device), data_folder(data)
    given = load_checkpoint(siamese_conv, where) if siamese_conv else None
    if given and given.configuration.network.channels != 1:
        raise SettingsError(
            f"{siamese_conv} takes colour images, and these tasks are drawings: name another one"
        )

    def tasks_at(side: int) -> OneShotTasks:
        (tasks,) = chosen_tasks(on, DataChoice(set="omniglot"), runs, data, [1], side)
        return tasks

    tasks = tasks_at(MNIST_SIDE)
    networks = {
        name: _Network(given, None)
        if name == CONV and given
        else _trained_network(name, folder, where, train)
        for name in names
        if name in NETWORKS
    }
    measured = []
    for name in names:
        network = networks.get(name)
        if network:
            checkpoint = network.checkpoint
            side = checkpoint.configuration.network.image_size
            # Digits at the size of the network, as `hpo evaluate` has them.
            sized = tasks_at(side) if on == "mnist" else tasks
            measured.append(measure_network(name, checkpoint, sized, where))
        elif name in BASELINES:
            measured.append(measure(name, tasks))
        else:
            continue
        say(f"{name}: {duration(measured[-1].seconds)}")
        if on == "alphabets" and not (network and network.key is None):
            _keep(measured[-1], tasks.drawn_from, network.key if network else None, runs)
    published = MNIST if on == "mnist" else OMNIGLOT
    if json_:
        print_json([_as_json(one, published) for one in measured])
    else:
        rest = {name: "not trained" for name, network in networks.items() if network is None}
        if not only:
            rest |= {name: "not run" for name in published if name not in NAMES}
        header = ("name", "accuracy", "95 % interval", "tasks", "published")
        print_table(f"Accuracy on {tasks.source}", header, _rows(measured, rest, published))
        if on == "alphabets":
            say(
                "published: on the 400 tasks of the official runs, which are easier than random "
                "draws; their affine model is not the affine alignment measured here, and their "
                "siamese networks are not these"
            )
    sys.stdout.flush()  # whatever becomes of a study's database, the scores are out
    if given and siamese_conv:
        scores = [one.score for one in measured if one.score.name == CONV]
        looks = [look(siamese_conv.name, score) for score in scores]
        count_looks(looks, given.configuration.provenance, storage)


def _trained_network(name: str, folder: Path, device: torch.device, train: bool) -> _Network | None:
    """The network of this name, trained in full unless it was before; None if it is not to be."""
    configuration = configuration_of(name)
    choice, side = configuration.data, configuration.network.image_size
    absent = f"{name} is not trained: leave --no-train out to train it"
    if not train and choice.set == "omniglot" and omniglot.find(folder) is None:
        say(absent)  # without the data nobody can tell on what a kept one was trained
        return None
    drawings = open_set(choice.set, choice.seed, folder)
    key = network_key(name, configuration, drawings.fingerprint)
    file, checkpoint = checkpoint_file(key), kept_network(key, device)
    if checkpoint:
        say(f"{name} was trained before: {file}")
        return _Network(checkpoint, key)
    if not train:
        say(absent)
        return None
    with writing(file, "name another folder with HPO_CACHE", CheckpointError):
        check_writable(file)
    say(
        f"{name} is trained now: {shape(configuration.network)} at {side}×{side}, up to "
        f"{configuration.training.epochs} epochs on {device_name(device)}; then it is kept as "
        f"{file}, and Ctrl-C stops it until the same line goes on"
    )
    inputs = inputs_from(drawings, choice, side, device)
    return _Network(train_until_stopped(configuration, inputs, file), key)


def _keep(one: Measured, drawn_from: str | None, key: str | None, runs: Path | None) -> None:
    """Keep a score for `hpo report`, or say why that cannot be."""
    named = f"{one.score.source} in {runs.name}" if runs else one.score.source
    try:
        keep(dataclasses.replace(one.score, source=named), drawn_from, key)
    except OSError as error:
        say(f"{one.score.name} is not kept for hpo report ({error}): see to the disk")


def _as_json(one: Measured, published: Mapping[str, float]) -> dict[str, object]:
    beside = published.get(one.score.name)
    return {**dataclasses.asdict(one.score), "published": beside, "seconds": one.seconds}


def _rows(
    measured: Sequence[Measured], rest: Mapping[str, str], published: Mapping[str, float]
) -> Iterator[tuple[str, ...]]:
    """The measured accuracies, and why there is none of the rest."""

    def beside(name: str) -> str:
        return percent(published[name]) if name in published else "–"

    for one in (m.score for m in measured):
        low, high = (percent(share) for share in one.interval)
        yield one.name, percent(one.accuracy), f"{low} to {high}", str(one.tasks), beside(one.name)
    for name, why in rest.items():
        yield name, why, "–", "–", beside(name)
