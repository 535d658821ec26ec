"""``python -m benchmarks``: measure, print tables, write JSON."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.beside import beside_others
from benchmarks.limit import limit
from benchmarks.search_cost import contention, memory, overhead, stored_trials, trial
from benchmarks.stopwatch import Row, machine, table
from benchmarks.throughput import Setting, at_once, training, validation
from data.sources.by_name import open_set
from hpo.study.paths import data_folder
from hpo.view.log import log_to_stderr, silence_optuna
from model.fast.device import find_device
from model.fast.heap import keep_freed

TITLES = {
    "training": "Training, random pairs of 128 a step, distorted",
    "at once": "`small`, all pairs of a batch, several trials at once",
    "beside others": "`modern`, steps a second beside processes that keep a core busy each",
    "validation": "Validation, 320 tasks",
    "trial": "One `small` trial of 18 epochs",
    "overhead": "The search's own cost, a `small` trial of 18 epochs",
    "stored trials": "A `paper` study that holds many trials, on SQLite",
    "contention": "A trial's reads and writes on a PostgreSQL that eight workers share",
    "memory": "Peak memory over `demo` trials in one process",
    "limit": "A training step against the limit of the device",
}


def main() -> None:
    """Run the chosen sections."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(TITLES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, help="folder with the Omniglot zips")
    parser.add_argument("--workers", type=int, default=min(16, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=3, help="each pair of timings so often")
    parser.add_argument("--postgres", metavar="URL", help="an empty database, for overhead")
    parser.add_argument("-o", "--output", type=Path, help="write JSON")
    chosen = parser.parse_args()
    unknown = set(chosen.sections) - set(TITLES)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: the sections are {', '.join(TITLES)}")
    keep_freed()
    log_to_stderr()
    silence_optuna()
    warnings.filterwarnings("ignore", message="Heartbeat of storage")  # of single asks
    device = find_device(chosen.device)
    drawings = open_set("omniglot", 0, data_folder(chosen.data))
    setting = Setting(drawings, device, chosen.workers, chosen.rounds, _say)
    sections: dict[str, Callable[[], list[Row]]] = {
        "training": lambda: training(setting),
        "at once": lambda: at_once(setting),
        "beside others": lambda: beside_others(setting),
        "validation": lambda: validation(setting),
        "trial": lambda: trial(setting),
        "overhead": lambda: overhead(setting, chosen.postgres),
        "stored trials": lambda: stored_trials(setting),
        "contention": lambda: contention(setting, chosen.postgres),
        "memory": lambda: memory(setting),
        "limit": lambda: limit(setting),
    }
    about = machine(device) | {"loader workers": chosen.workers, "rounds": chosen.rounds}
    found: dict[str, object] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": about}
    print(" · ".join(f"{k}: {v}" for k, v in about.items() if v is not None))
    for name in chosen.sections or TITLES:
        rows = found[name] = sections[name]()
        print(f"\n## {TITLES[name]}\n\n{table(rows)}", flush=True)
        if chosen.output:  # after each, so that a run that is cut short leaves what it has
            chosen.output.write_text(json.dumps(found, indent=2) + "\n")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
