"""The command that tries a network on one's own pictures: classify."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.options import AsJson, Device
from hpo.cli.steps import find_device, print_json, say
from hpo.results.classify import check_queries, find_support
from hpo.results.classify import classify as guesses_for
from hpo.view.format import percent
from model.checkpoint import load_checkpoint

SHOWN = 5
"""Classes that are printed for each query; JSON has them all."""
NAMED = 5
"""Files that are named of those that were passed over."""


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
    """Tell which class one's own pictures belong to, from a picture or a few of each class.

    The probabilities rank the classes at hand; they are not calibrated.

    Example: hpo classify best.safetensors --support classes --query drawn/*.png
    """
    queries = [*(query or []), *(more or [])]
    check_queries(queries)
    classes, where = find_support(support), find_device(device)
    if passed := [str(path) for path in classes.passed_over]:
        more_of_them = f" and {len(passed) - NAMED} more" if len(passed) > NAMED else ""
        say(f"passed over, as no image by its name: {', '.join(passed[:NAMED])}{more_of_them}")
    answers = guesses_for(load_checkpoint(checkpoint, where), classes, queries, where)
    if json_:
        print_json(
            [
                {"query": str(path), "classes": [dataclasses.asdict(g) for g in guesses]}
                for path, guesses in zip(queries, answers, strict=True)
            ]
        )
        return
    width = max(map(len, classes.images))
    for path, guesses in zip(queries, answers, strict=True):
        print(path)
        for place, guess in enumerate(guesses[:SHOWN], start=1):
            print(f"  {place}  {guess.name:{width}}  {percent(guess.probability):>7}")
