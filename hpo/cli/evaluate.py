"""The command that scores on tasks that no search ever sees: evaluate; and how it is counted."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from torch import Tensor

from data.tasks import OneShotTasks
from hpo.cli.options import AsJson, Data, Device, Storage
from hpo.cli.steps import default_network, print_json, say
from hpo.results.evaluate import (
    class_scores,
    evaluate_scores,
    evaluation_tasks,
    mnist_tasks,
    together,
)
from hpo.study.evaluations import Look, evaluations, keep_look, look
from hpo.study.paths import data_folder, storage_of
from hpo.study.settings import SettingsError
from hpo.study.storage import StorageError, open_storage, shown, storage_errors
from hpo.study.study import StudyError, load
from hpo.view.format import percent
from model.architecture import Channels
from model.checkpoint import Checkpoint, load_checkpoint
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
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="From hpo train; several are scored each and together.  [default: the network "
            "that comes with hpo]",
        ),
    ] = None,
    runs: Runs = None,
    on: On = "alphabets",
    shots: Annotated[
        str | None,
        typer.Option(
            help="Images of each class, or several such numbers: 1,3,5. Other than 1, all are "
            "random draws.  [default: the configuration's]"
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(help="How many random draws, or several such numbers.  [default: 400]"),
    ] = None,
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    json_: AsJson = False,
) -> None:
    """Score a network, or several together, on the evaluation tasks.

    No search ever sees them. Every look is counted in the study that the checkpoint comes
    from. Several networks together answer with the class whose probabilities, multiplied, are the
    largest.

    Example: hpo evaluate

    Example: hpo evaluate best.safetensors --shots 1,3,5

    Example: hpo evaluate best-1.safetensors best-2.safetensors --tasks 8000

    Example: hpo evaluate best.safetensors --on mnist
    """
    numbers = _numbers("--shots", shots, "1,3,5") if shots else None
    wanted = _numbers("--tasks", tasks, "400,8000") if tasks else None
    where = find_device(device)
    files = checkpoints or [default_network()]
    loaded = [load_checkpoint(file, where) for file in files]
    choice, side, channels = _in_common(loaded)
    drawn = chosen_tasks(on, choice, runs, data, numbers or [choice.shots], side, channels, wanted)
    if choice.set == "folder" and on == "alphabets":
        _tell_of_other_images(files, loaded, drawn[0].drawn_from)
    scores, looks = _scored(files, loaded, drawn, where)
    if choice.set == "folder":  # whose network has no published figures to stand beside
        plain = [those.resized(side) for those in drawn]
        scores += [score(NEIGHBOUR, right_by_pixels(those), those) for those in plain]
    if json_:
        print_json([asdict(one) for one in scores])
    else:
        for one in scores:
            low, high = one.interval
            print(
                f"{one.name}: {percent(one.accuracy)} correct "
                f"(95 % interval {percent(low)} to {percent(high)}) on {one.source}"
            )
    sys.stdout.flush()  # whatever becomes of the study's database, the scores are out
    if checkpoints:  # the study of the network that comes with hpo is elsewhere
        for network, kept in zip(loaded, looks, strict=True):
            count_looks(kept, network.configuration.provenance, storage)


def _tell_of_other_images(
    files: Sequence[Path], networks: Sequence[Checkpoint], here: str | None
) -> None:
    """Say which networks may have been trained on the classes that they are scored on.

    Those of a folder that are kept for the evaluation are others once a class comes or goes.
    ``here`` is the fingerprint of its images; None: the tasks are of files.
    """
    for file, network in zip(files, networks, strict=True):
        if here not in (None, network.data_fingerprint):
            say(
                f"{file} was trained on other images ({network.data_fingerprint}) than are here "
                f"({here}): some of these classes may have been among them, so the score may "
                "be too good"
            )


def _scored(
    files: Sequence[Path],
    networks: Sequence[Checkpoint],
    drawn: Sequence[OneShotTasks],
    device: torch.device,
) -> tuple[list[Score], list[list[Look]]]:
    """The scores of each network and, if they are several, of all together; the looks of each."""
    scores: list[Score] = []
    looks: list[list[Look]] = [[] for _ in files]
    for tasks in drawn:
        answers: list[Tensor] = []
        for file, network, kept in zip(files, networks, looks, strict=True):
            answers.append(class_scores(network, tasks, device))
            name = "siamese" if len(files) == 1 else file.name
            scores.append(evaluate_scores(name, answers[-1], tasks))
            kept.append(look(file.name, scores[-1]))  # at its own time, which orders the looks
        if len(files) > 1:
            name = f"{len(files)} networks together"
            scores.append(evaluate_scores(name, together(answers), tasks))
    return scores, looks


def _in_common(checkpoints: Sequence[Checkpoint]) -> tuple[DataChoice, int, Channels]:
    """The data of networks that are scored together, the largest size, and the channels."""
    first, *others = checkpoints

    def kind(one: Checkpoint) -> object:
        of_training = {"path", "all_drawers", "validation_tasks", "task_seed"}
        data = one.configuration.data.model_dump(exclude=of_training)
        return data, one.configuration.network.channels

    if any(kind(one) != kind(first) for one in others):
        raise SettingsError(
            "these networks were trained on different data, so they have no tasks in common: "
            "score them one by one"
        )
    side = max(one.configuration.network.image_size for one in checkpoints)
    return first.configuration.data, side, first.configuration.network.channels


def _numbers(option: str, text: str, example: str) -> list[int]:
    """The numbers of an option."""
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise SettingsError(
            f"{option} {text} is not a list of different numbers from 1: give some, as in {example}"
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
    wanted: Sequence[int] | None = None,
) -> list[OneShotTasks]:
    """The tasks that were asked for, of every number of shots and of tasks.

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
    if runs and wanted:
        raise SettingsError("runs are a number of tasks already: leave --runs or --tasks out")
    folder = data_folder(data, choice)
    if on == "mnist":
        return mnist_tasks(folder, side, shots, wanted)
    return evaluation_tasks(choice, folder, runs, shots, side, channels, wanted)


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
