"""What the command ``hpo`` runs first: Ctrl-C ends it in a line, while it loads PyTorch too."""

import contextlib
import os
import signal
import sys
from types import FrameType

from hpo import check_names


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: nothing is begun yet, or all is done."""
    os.write(2, b"hpo: interrupted\n")
    os._exit(130)


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, _leave)
    try:
        check_names()
    except ImportError as error:
        sys.stderr.write(f"hpo: {error}\n")
        sys.exit(2)
    from hpo import cli

    try:
        cli.main()
    except KeyboardInterrupt:  # where the command line itself had begun to end
        _leave(signal.SIGINT, None)
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        signal.signal(signal.SIGINT, _leave)


if __name__ == "__main__":
    main()
