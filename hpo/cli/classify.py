"""The command that tries a network on one's own pictures: classify."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from data.errors import DataError
from hpo.cli.options import AsJson, Device
from hpo.cli.steps import passed_over, print_json, say
from hpo.results.classify import Guess, check_queries, find_support
from hpo.results.classify import classify as guesses_for
from hpo.view.format import percent
from model.checkpoint import load_checkpoint
from model.fast.device import find_device

SHOWN = 5
"""Classes that are printed for each query; JSON has them all."""


def classify(
    checkpoint: Annotated[Path, typer.Argument(help="From hpo train.")],
    support: Annotated[
        Path, typer.Option(help="Folder with a subfolder, or an image, for each class.")
    ],
    query: Annotated[
        list[Path] | None, typer.Option(help="An image to classify; more may follow it.")
    ] = None,
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE", help="More queries.")
    ] = None,
    device: Device = "auto",
    json_: AsJson = False,
) -> None:
    """Tell which class one's own pictures belong to.

    It takes a picture or a few of each class. The probabilities rank the classes at hand; they are
    not calibrated. A picture that cannot be read is told of at the end, and the status is then
    2.

    Example: hpo classify best.safetensors --support classes --query drawn/*.png
    """
    queries = [*(query or []), *(more or [])]
    check_queries(queries)
    classes, where = find_support(support), find_device(device)
    if classes.passed_over:
        say(passed_over(classes.passed_over))
    answers = guesses_for(load_checkpoint(checkpoint, where), classes, queries, where)
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
