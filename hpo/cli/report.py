"""The command that tells what a study found: report."""

import sys
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from data.errors import UserError
from data.files import check_writable, write_whole, writing
from hpo.cli.options import Storage, StudyArgument
from hpo.cli.steps import opened_study, say, typed
from hpo.paper.baselines import kept_scores


def report(
    study: StudyArgument = "paper",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: report.html in its folder]")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write the trials as a table, too; - is stdout.")
    ] = None,
    parquet: Annotated[Path | None, typer.Option(help="The same as Parquet.")] = None,
    storage: Storage = None,
) -> None:
    """Write what a study found as one HTML page.

    The page needs no network; its path is printed.

    Example: hpo report small -o small.html --csv trials.csv
    """
    if parquet and find_spec("pyarrow") is None:
        raise UserError(
            "--parquet needs pyarrow: install it with pip install 'hpo-siamese[parquet]'"
        )
    with opened_study(study, storage, read_only=True) as (place, stored):
        # pandas takes a second to load, which no other command waits for.
        from hpo.report.page import make_page
        from hpo.report.table import trials_table

        table = trials_table(stored)
        scores = kept_scores(stored.data_fingerprint)
        export = f"hpo export {typed(study, storage)} -o best.toml"
        page = make_page(stored, table, export, scores)
    wanted = [(output or place.folder / "report.html", page.encode(), "-o")]
    if csv and str(csv) != "-":
        wanted.append((csv, table.to_csv(index=False).encode(), "--csv"))
    if parquet:
        buffer = BytesIO()
        table.to_parquet(buffer, index=False)
        wanted.append((parquet, buffer.getvalue(), "--parquet"))
    for path, _, option in wanted:
        with writing(path, f"give another place with {option}"):
            check_writable(path)
    for path, content, option in wanted:
        with writing(path, f"give another place with {option}"):
            write_whole(path, content)
    piped = str(csv) == "-"
    if piped:
        table.to_csv(sys.stdout, index=False)
    for path, _, _ in wanted:
        say(str(path)) if piped else print(path)
