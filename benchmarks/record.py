"""``python -m benchmarks.record``: many networks of a study's space, each trained to the end.

Searches by three samplers, none of which prunes, and their best trained again from new seeds: what
a search of that space can meet, as one table. Other searches are replayed on it in seconds.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.networks import STUDIES
from hpo.report.table import trials_table
from hpo.study.confirmations import PREFIX
from hpo.study.settings import SamplerName
from hpo.study.storage import open_storage
from hpo.study.study import load
from hpo.study.trials import finite_errors

SHARES: dict[SamplerName, float] = {"random": 0.56, "tpe": 0.28, "gp": 0.16}
"""Of the trials, by the sampler that proposes them."""
RECIPES: dict[str, Sequence[str]] = {
    "small": (  # in 8 epochs instead of 18, its schedule as much shorter
        "training.epochs=8",
        "training.patience=8",
        "training.momentum_ramp=2",
        "training.lr_decay=0.75",
        "search.startup_trials=20",
    ),
    "modern": ("search.startup_trials=12",),
}


def main() -> None:
    """Run what is left of the searches, then write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("folder", type=Path, help="for the databases; resumed from")
    parser.add_argument("-o", "--output", type=Path, required=True, help="CSV")
    parser.add_argument("--study", choices=RECIPES, default="small")
    parser.add_argument("--trials", type=int, default=250, help="of all samplers together")
    parser.add_argument(
        "--again",
        type=int,
        default=6,
        help="how many of the best of each are trained from two new seeds",
    )
    parser.add_argument("--workers", default="2")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for seed, (sampler, share) in enumerate(SHARES.items()):
        url = f"sqlite:///{(chosen.folder / sampler).absolute()}.db"
        search = ("search.pruner=none", f"search.sampler={sampler}", f"search.seed={seed}")
        recipe = (*RECIPES[chosen.study], *search)
        changes = [f"--set={change}" for change in recipe]
        place, count = ["--storage", url], str(round(share * chosen.trials))
        run = ["run", str(STUDIES / f"{chosen.study}.toml"), "--trials", count, *changes]
        results = str(chosen.folder / sampler)
        _hpo([*run, "--workers", chosen.workers, "--results", results, *place])
        again = ["--top", str(chosen.again), "--seeds", "2"]
        _hpo(["confirm", chosen.study, *again, *place])
        tables.append(_table(url, chosen.study, sampler))
        pd.concat(tables).to_csv(chosen.output, index=False, float_format="%.6g")


def _hpo(arguments: Sequence[str]) -> None:
    """A command of the program, in a process of its own; ends with it if that fails."""
    done = subprocess.run([sys.executable, "-m", "hpo", *arguments])  # noqa: S603
    if done.returncode:
        sys.exit(done.returncode)


def _table(url: str, study: str, sampler: SamplerName) -> pd.DataFrame:
    """The trials of one search: parameters, the error after each epoch, what they cost."""
    stored = load(study, open_storage(url, create=False))
    trials = {t.number: t for t in stored.study.get_trials(deepcopy=False)}
    again: dict[int, list[float]] = {}
    for key, result in stored.study.user_attrs.items():
        if key.startswith(PREFIX):
            again.setdefault(int(key.split(":")[1]), []).append(result["search_like_error"])
    rows = trials_table(stored).query("state == 'complete'")
    kept = rows[["number", "error", "seconds", "multiply_adds", *stored.space.distributions]]
    numbers = list(kept["number"])
    curves = pd.DataFrame(
        [{f"error_{epoch}": e for epoch, e in finite_errors(trials[n]).items()} for n in numbers],
        index=kept.index,
    )
    extra = pd.DataFrame(
        {
            "outcomes": [trials[n].user_attrs.get("outcomes") for n in numbers],
            "again": [" ".join(f"{e:.6g}" for e in again.get(n, ())) for n in numbers],
        },
        index=kept.index,
    )
    return pd.concat([kept.assign(sampler=sampler), curves, extra], axis=1)


if __name__ == "__main__":
    main()
