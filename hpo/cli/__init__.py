"""The command line: its commands, and how it ends."""

import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from data.errors import UserError
from hpo import __version__
from hpo.cli import (
    baselines,
    classify,
    confirm,
    dashboard,
    data,
    delete,
    evaluate,
    export,
    report,
    run,
    status,
    train,
    verify,
    worker,
)
from hpo.cli.steps import say
from hpo.view.terminal import log_to_stderr
from model.fast.memory import keep_freed

app = typer.Typer(
    help="Bayesian hyper-parameter search for one-shot siamese networks (Koch et al. 2015).",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Look at, check or fetch the data.")
app.add_typer(data_app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hpo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Bayesian hyper-parameter search for one-shot siamese networks (Koch et al. 2015)."""


COMMANDS: tuple[Callable[..., None], ...] = (
    run.run,
    worker.worker,
    status.status,
    dashboard.dashboard,
    confirm.confirm,
    export.export,
    delete.delete,
    report.report,
    train.train,
    evaluate.evaluate,
    baselines.baselines,
    verify.verify,
    classify.classify,
)
DATA_COMMANDS: tuple[Callable[..., None], ...] = (data.show, data.check, data.download)
for command in COMMANDS:
    app.command()(command)
for command in DATA_COMMANDS:
    data_app.command()(command)


def main() -> None:
    """Run the command line: what a person can put right is one sentence and exit status 2."""
    keep_freed()
    log_to_stderr()
    try:
        sys.exit(app(standalone_mode=False))
    except UserError as error:
        _fail(error.sentence)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "hpo"
        _fail(f"{error.format_message().rstrip('.')}: see {path} --help")
    except (KeyboardInterrupt, typer.Abort):
        say("hpo: interrupted")
        sys.exit(130)


def _fail(sentence: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    say(f"hpo: {sentence}")
    sys.exit(2)
