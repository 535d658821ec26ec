"""The command that scores on tasks that no search ever sees: evaluate; and how it is counted."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from data.tasks import OneShotTasks
from hpo.cli.options import AsJson, Data, Device, Storage
from hpo.cli.steps import print_json, say
from hpo.results.evaluate import evaluate_checkpoint, evaluation_tasks, mnist_tasks
from hpo.study.evaluations import Look, evaluations, keep_look, look
from hpo.study.paths import data_folder, storage_of
from hpo.study.settings import SettingsError
from hpo.study.storage import StorageError, open_storage, shown, storage_errors
from hpo.study.study import StudyError, load
from hpo.view.format import percent
from model.architecture import Channels
from model.checkpoint import load_checkpoint
from model.configuration import DataChoice, Provenance
from model.fast.device import find_device
from model.scoring import Score, right_by_pixels, score

Runs = Annotated[Path | None, typer.Option(help="Runs in the official format.")]
TaskKind = Literal["alphabets", "mnist"]
NEIGHBOUR = "nearest neighbour by pixels"
On = Annotated[
    TaskKind,
    typer.Option(help="alphabets: those kept for evaluation; mnist: its test digits, 10-way."),
]


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="From hpo train.")],
    runs: Runs = None,
    on: On = "alphabets",
    shots: Annotated[
        str | None,
        typer.Option(
            help="Images of each class, or several such numbers: 1,3,5. Other than 1, all are "
            "random draws.  [default: the configuration's]"
        ),
    ] = None,
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    json_: AsJson = False,
) -> None:
    """Score a checkpoint on the evaluation tasks.

    No search ever sees these 400. Every look is counted in the study that the checkpoint comes
    from.

    Example: hpo evaluate best.safetensors

    Example: hpo evaluate best.safetensors --shots 1,3,5

    Example: hpo evaluate best.safetensors --on mnist
    """
    numbers, where = _numbers(shots) if shots else None, find_device(device)
    loaded = load_checkpoint(checkpoint, where)
    choice, network = loaded.configuration.data, loaded.configuration.network
    size = network.image_size, network.channels
    tasks = chosen_tasks(on, choice, runs, data, numbers or [choice.shots], *size)
    scores: list[Score] = []
    looks: list[Look] = []
    for those in tasks:
        scores.append(evaluate_checkpoint(loaded, those, where))
        looks.append(look(checkpoint.name, scores[-1]))  # at its own time, which orders the looks
    if choice.set == "folder":  # whose network has no published figures to stand beside
        plain = [those.resized(network.image_size) for those in tasks]
        scores += [score(NEIGHBOUR, right_by_pixels(those), those) for those in plain]
    if json_:
        print_json([dataclasses.asdict(one) for one in scores])
    else:
        for one in scores:
            low, high = one.interval
            print(
                f"{one.name}: {percent(one.accuracy)} correct "
                f"(95 % interval {percent(low)} to {percent(high)}) on {one.source}"
            )
    sys.stdout.flush()  # whatever becomes of the study's database, the scores are out
    count_looks(looks, loaded.configuration.provenance, storage)


def _numbers(text: str) -> list[int]:
    """The numbers of ``--shots``."""
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise SettingsError(
            f"--shots {text} is not a list of different numbers from 1: give some, as in 1,3,5"
        )
    return numbers


def chosen_tasks(
    on: TaskKind,
    choice: DataChoice,
    runs: Path | None,
    data: Path | None,
    shots: Sequence[int],
    side: int,
    channels: Channels = 1,
) -> list[OneShotTasks]:
    """The tasks that were asked for, of every number of shots.

    ``side`` and ``channels`` are those of MNIST's digits, and of a folder's images.
    """
    if channels != 1 and (runs or on == "mnist"):
        raise SettingsError(
            "the network takes colour images, and these tasks are drawings: leave --runs and --on "
            "out"
        )
    if runs and on == "mnist":
        raise SettingsError("--runs are of Omniglot's kind, not MNIST's: leave --runs or --on out")
    if runs and list(shots) != [1]:
        raise SettingsError(
            "runs in the official format have one image of each class: leave --runs or --shots out"
        )
    folder = data_folder(data, choice)
    if on == "mnist":
        return mnist_tasks(folder, side, shots)
    return evaluation_tasks(choice, folder, runs, shots, side, channels)


def count_looks(looks: list[Look], origin: Provenance | None, storage: str | None) -> None:
    """Keep the looks with the study of their checkpoint, or say why that cannot be."""
    these = "this look is" if len(looks) == 1 else "these looks are"
    if origin is None:
        say(f"{these} not counted: the checkpoint names no study")
        return
    try:
        url = storage_of(storage, origin.study)
        with storage_errors(url):
            # A count is not worth waiting for.
            stored = load(origin.study, open_storage(url, create=False, give_up=lambda: True))
            if origin.study_token not in (None, stored.token):
                raise StudyError(f"the study {origin.study} in {shown(url)} is another one")
            for one in looks:
                keep_look(stored.study, one)
            count = len(evaluations(stored.study))
    except (SettingsError, StorageError, StudyError) as error:
        say(
            f"{these} not counted, without the study {origin.study} ({error}); name its database "
            "with --storage"
        )
        return
    first = count - len(looks) + 1
    them = f"this was look {count}" if first == count else f"these were looks {first} to {count}"
    say(f"{them} at the evaluation tasks of the study {origin.study}")
