"""How many of the faults that mutmut put into each module the tests caught, as a table.

python -m benchmarks.mutants      after `mutmut run`, in the same folder
"""

import json
from collections import Counter
from pathlib import Path

FAULTY = Path("mutants")
"""Where mutmut keeps the modules with all their faults, and beside each what became of them."""
TYPES, SURVIVED, NEVER_RUN = 37, 0, 33
"""mutmut's exit codes: mypy refuses it; every test passes; no test runs it. The rest is caught."""


def main() -> None:
    """Print a row for each module and one for all."""
    whole: Counter[str] = Counter()
    print("| module | faults | refused by mypy | caught by a test | missed | caught of the typed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for path in sorted(FAULTY.rglob("*.meta")):
        codes: dict[str, int | None] = json.loads(path.read_text())["exit_code_by_key"]
        if codes:
            found = Counter(_fate(code) for code in codes.values())
            print(_row(path.relative_to(FAULTY).with_suffix("").as_posix(), found))
            whole += found
    print(_row("all", whole))


def _fate(code: int | None) -> str:
    if code is None:
        return "not tried"
    if code == TYPES:
        return "refused"
    return "missed" if code in (SURVIVED, NEVER_RUN) else "caught"


def _row(name: str, found: Counter[str]) -> str:
    tried = found["caught"] + found["missed"]
    share = f"{100 * found['caught'] / tried:.0f} %" if tried else "none"
    untried = f" ({found['not tried']} not tried)" if found["not tried"] else ""
    return (
        f"| {name} | {found.total()}{untried} | {found['refused']} | {found['caught']} | "
        f"{found['missed']} | {share} |"
    )


if __name__ == "__main__":
    main()
