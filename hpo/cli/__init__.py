"""The command line: with the progress view, the only place that prints and exits."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from data.errors import DataError
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
from hpo.cli.options import DeviceError, say
from hpo.cli.report import ReportError
from hpo.paper.verification_results import VerificationError
from hpo.search.loop import MachineFailure
from hpo.search.sampler import SpaceUsedUp
from hpo.study.settings import SettingsError
from hpo.study.storage import StorageError
from hpo.study.study import StudyError
from hpo.view.terminal import hush_optuna
from model.checkpoint import CheckpointError
from model.configuration import ConfigurationError
from model.fast.memory import DoesNotFit, keep_freed
from model.training import Diverged

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


app.command()(run.run)
app.command()(worker.worker)
app.command("status")(status.show_status)
app.command()(dashboard.dashboard)
app.command()(confirm.confirm)
app.command()(export.export)
app.command()(delete.delete)
app.command("report")(report.write_report)
app.command("train")(train.train_configuration)
app.command()(evaluate.evaluate)
app.command()(baselines.baselines)
app.command()(verify.verify)
app.command()(classify.classify)
data_app.command()(data.show)
data_app.command()(data.check)
data_app.command("download")(data.fetch)


def main() -> None:
    """Run the command line: a person's mistake is one sentence and exit status 2."""
    keep_freed()
    hush_optuna()
    try:
        sys.exit(app(standalone_mode=False))
    except (
        CheckpointError,
        ConfigurationError,
        DataError,
        DeviceError,
        MachineFailure,
        ReportError,
        SettingsError,
        SpaceUsedUp,
        StorageError,
        StudyError,
        VerificationError,
    ) as error:
        _fail(str(error))
    except Diverged as error:
        _fail(f"{error}: lower the rates of the configuration, or take another trial's")
    except DoesNotFit as error:
        _fail(f"{error}: free some, or take a smaller network")
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hpo"
        _fail(f"{error.format_message().rstrip('.')}: see {command} --help")
    except (KeyboardInterrupt, typer.Abort):
        say("hpo: interrupted")
        sys.exit(130)


def _fail(sentence: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    say(f"hpo: {sentence}")
    sys.exit(2)
