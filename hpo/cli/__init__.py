"""The command line: its commands, each loaded when it is typed, and how it ends."""

import logging
import signal
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from data.errors import UserError
from hpo import __version__
from hpo.view.log import log_to_stderr, silence_optuna
from model.fast.heap import keep_freed

COMMANDS: Mapping[str, str] = {
    "run": "Search until the study is full or its budget spent.",
    "worker": "Join a study from any machine, until it is full.",
    "status": "Show how far a study is.",
    "list": "List the studies that there are, and those that can be begun.",
    "dashboard": "Show a study in a browser, on this machine alone.",
    "confirm": "Train the best trials again, and rank them on fresh tasks.",
    "export": "Write the best trial as a configuration.",
    "delete": "Delete a study with its trials.",
    "report": "Write what a study found as one HTML page.",
    "train": "Train a configuration in full, and write a checkpoint.",
    "evaluate": "Score a network, or several together, on the evaluation tasks.",
    "baselines": "Score simpler methods on the evaluation tasks.",
    "verify": "Train on six sets of pairs, and measure verification accuracy.",
    "classify": "Tell which class one's own pictures belong to.",
    "data": "Look at, check or fetch the data.",
}
"""What each command does, as its own help begins, in order; a file of this room has its name."""
TRAINING = ("run", "worker", "confirm", "train", "baselines", "verify")
"""Commands that take Ctrl-C into their own hands when they begin to train. Until then it ends the
process at once, as it does while libraries load, some of which take it for an error of theirs."""
OPTIONS: Mapping[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}

logger = logging.getLogger(__name__)


class _Command(TyperCommand):
    """A command whose module is imported when it is typed: PyTorch takes seconds to import."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Begin the command."""
        return load(str(self.name)).make_context(*arguments, **settings)


class _Commands(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {
            name: _Command(name, callback=None, short_help=does) for name, does in COMMANDS.items()
        }


def load(name: str) -> Any:
    """The command of this name, a Click command or a group of some."""
    module = import_module(f"{__name__}.{name}")
    silence_optuna()
    if name not in TRAINING:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(app := getattr(module, "app", None), typer.Typer):
        return get_command(app)
    app = typer.Typer(add_completion=False, **OPTIONS)
    app.command(name)(getattr(module, name))
    return get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hpo {__version__}")
        raise typer.Exit


app = typer.Typer(cls=_Commands, **OPTIONS)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Bayesian hyper-parameter search for one-shot siamese networks (Koch et al. 2015)."""


def main() -> None:
    """Run the command line: what a person can put right is one sentence and exit status 2."""
    keep_freed()
    log_to_stderr()
    try:
        sys.exit(app(prog_name="hpo", standalone_mode=False))
    except UserError as error:
        _fail(error.sentence)
    except PermissionError as error:  # of a folder on the way to what was named
        _fail(f"{error.filename} cannot be used ({error.strerror}): see to its permissions")
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "hpo"
        _fail(f"{error.format_message().rstrip('.')}: see {path} --help")
    except (KeyboardInterrupt, typer.Abort):
        logger.info("hpo: interrupted")
        sys.exit(130)


def _fail(sentence: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    logger.info("hpo: %s", sentence)
    sys.exit(2)
