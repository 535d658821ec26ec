"""The log on stderr: what this program says beside its results."""

import logging
import sys
import warnings

from data.errors import printable


class _Stderr(logging.Handler):
    """Wherever stderr goes at the moment, through a live view too."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; what comes from a database or a file has no power over the terminal."""
        lines = map(printable, self.format(record).splitlines())
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()


def log_to_stderr() -> None:
    """Show what this program logs as plain lines on stderr."""
    for package in ("hpo", "model", "data"):
        logging.getLogger(package).setLevel(logging.INFO)
        logging.getLogger(package).handlers = [_Stderr()]
    # A connection that is lost is told of in a line, and not by the pool with its traceback.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    # BoTorch's matter, which is loaded by the dashboard as well.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)


def silence_optuna() -> None:
    """Keep Optuna from logging what this program says itself, and from warning of what it uses."""
    import optuna  # takes half a second to import

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
