"""The command that writes the best trial as a configuration: export."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from data.files import write_whole, writing
from hpo.cli.options import Storage, StudyArgument
from hpo.cli.steps import opened_study, say, typed
from hpo.results.export import Choice, choose, export_best
from hpo.view.format import percent


def export(
    study: StudyArgument = "paper",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Instead of stdout.")
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(min=0, help="Its number.  [default: the confirmed winner, or best]"),
    ] = None,
    storage: Storage = None,
) -> None:
    """Write the best trial as a configuration.

    That is layers, rates, recipe, data, and where it is from. The best is the winner of `hpo
    confirm` where it was run, else the trial of the lowest error.

    Example: hpo export small -o best.toml
    """
    with opened_study(study, storage, read_only=True) as (_, stored):
        choice = choose(stored, trial)
        text = export_best(stored, choice).to_toml()
    _tell(choice, typed(study, storage))
    if output is None:
        print(text, end="")
        return
    with writing(output, "give another place with -o"):
        write_whole(output, text.encode())
    say(f"wrote {output}; train it with: hpo train {shlex.quote(str(output))}")


def _tell(choice: Choice, study: str) -> None:
    """Say which trial was taken, and how far its error can be trusted; ``study`` as it is typed."""
    taken, found = f"trial {choice.trial.number}", choice.confirmed
    if found is None:
        say(f"took {taken}; it is not confirmed: `hpo confirm {study}` tells how far to trust it")
        return
    points = f"{100 * abs(found.flattered):.1f} points too "
    points += "good" if found.flattered > 0 else "bad"
    kind = "the confirmed winner" if choice.winner else "confirmed, but not the winner"
    say(
        f"took {taken}, {kind}: error {percent(found.mean)} over {len(found.errors)} new seeds; "
        f"the search's own {percent(found.search_error)} was {points}"
    )
    if choice.rival is not None:
        say(
            f"trial {choice.rival} may be better and is not confirmed as far: run "
            f"`hpo confirm {study}` again"
        )
