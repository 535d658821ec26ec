"""How many of the faults that mutmut put into each module the tests caught, as a table.

    mutmut results --all true | python -m benchmarks.mutants

What mypy refuses is counted apart. A fault that runs into the time limit, or ends the process, is
caught; one that no test runs is missed.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

from benchmarks.stopwatch import Row, table

REFUSED = ("caught by type check",)
CAUGHT = ("killed", "timeout", "segfault")
MISSED = ("survived", "no tests", "suspicious")


def by_module(lines: Iterable[str]) -> dict[str, Counter[str]]:
    """What became of the faults of each module, by mutmut's words, from lines "fault: word"."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        fault, _, fate = line.strip().partition(": ")
        found[fault.rpartition(".")[0]][fate] += 1
    return dict(sorted(found.items()))


def row(module: str, fates: Counter[str]) -> Row:
    """A row of the table."""
    refused, caught, missed = (
        sum(fates[fate] for fate in kind) for kind in (REFUSED, CAUGHT, MISSED)
    )
    tried = caught + missed
    return {
        "module": module,
        "faults": fates.total(),
        "refused by mypy": refused,
        "caught by a test": caught,
        "missed": missed,
        "not tried": fates.total() - refused - tried,
        "caught of those tried, %": round(100 * caught / tried, 1) if tried else "",
    }


def main() -> None:
    """Print a row for each module and one for all."""
    found = by_module(sys.stdin)
    whole = sum(found.values(), Counter[str]())
    print(table([*(row(module, fates) for module, fates in found.items()), row("all", whole)]))


if __name__ == "__main__":
    main()
