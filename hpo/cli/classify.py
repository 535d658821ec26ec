"""The command that tries a network on one's own pictures: classify."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from data.errors import DataError
from data.sources.photo import SUFFIXES
from hpo.cli.options import AsJson, Device
from hpo.cli.steps import default_network, passed_over, print_json, say
from hpo.results.classify import Guess, check_queries, find_support
from hpo.results.classify import classify as guesses_for
from hpo.view.format import percent
from model.checkpoint import load_checkpoint
from model.fast.device import find_device

SHOWN = 5
"""Classes that are printed for each query; JSON has them all."""


def classify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="A network from hpo train, and after it more images.  [default: the network that "
            "comes with hpo]",
        ),
    ] = None,
    *,
    support: Annotated[
        Path, typer.Option(help="Folder with a subfolder, or an image, for each class.")
    ],
    query: Annotated[
        list[Path] | None, typer.Option(help="An image to classify; more may follow it.")
    ] = None,
    device: Device = "auto",
    json_: AsJson = False,
) -> None:
    """Tell which class one's own pictures belong to.

    It takes a picture or a few of each class. The probabilities rank the classes at hand; they are
    not calibrated. A picture that cannot be read is told of at the end, and the status is then
    2.

    Example: hpo classify --support classes --query drawn/*.png

    Example: hpo classify best.safetensors --support classes --query drawn/*.png
    """
    named, more = _network_and_images(files or [])
    queries = [*(query or []), *more]
    check_queries(queries)
    classes, where = find_support(support), find_device(device)
    if classes.passed_over:
        say(passed_over(classes.passed_over))
    checkpoint = load_checkpoint(named or default_network(), where)
    answers = guesses_for(checkpoint, classes, queries, where)
    found = list(zip(queries, answers, strict=True))
    if json_:
        print_json([_as_json(path, answer) for path, answer in found])
    else:
        _print(found, max(map(len, classes.images)))
    unread = [answer for answer in answers if isinstance(answer, DataError)]
    for error in unread:
        say(f"hpo: {error.sentence}")
    if unread:
        raise typer.Exit(2)


def _network_and_images(files: Sequence[Path]) -> tuple[Path | None, Sequence[Path]]:
    """The checkpoint, if the first file is one by its name, and the images."""
    if files and files[0].suffix.lower() not in SUFFIXES:
        return files[0], files[1:]
    return None, files


def _as_json(path: Path, answer: list[Guess] | DataError) -> dict[str, Any]:
    if isinstance(answer, DataError):
        return {"query": str(path), "error": answer.sentence}
    return {"query": str(path), "classes": [dataclasses.asdict(guess) for guess in answer]}


def _print(found: Iterable[tuple[Path, list[Guess] | DataError]], width: int) -> None:
    for path, guesses in found:
        if isinstance(guesses, DataError):
            continue
        print(path)
        for place, guess in enumerate(guesses[:SHOWN], start=1):
            print(f"  {place}  {guess.name:{width}}  {percent(guess.probability):>7}")
