"""``python -m benchmarks.hand_over``: whether a model chooses better what a search hands over.

The lowest of many errors is low by luck too. Whole searches are replayed; their trained trials are
ordered by the error that was seen, by what the Gaussian process expects of each, and by both; and
the expected error of the first, and of the best of the first three and five, is compared.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.replay import TRIALS, WORLDS, difference, searched, space, surrogate
from benchmarks.stopwatch import Row, table
from hpo.search.posterior import Posterior, known_of
from hpo.study.trials import FINISHED, is_trained

FIRST = (1, 3, 5)
"""How many are handed over."""
WEIGHTS = (0.0, 0.3, 0.5, 0.7)
"""Of the error that was seen, beside what is expected; in logits."""


def handed_over(record: Path, sampler: str, budget: float, seed: int) -> NDArray[np.float64]:
    """(orders, FIRST) the errors in %, first by what was seen alone, then by each of `WEIGHTS`."""
    study, _ = searched(record, sampler, "median", seed, budget)
    stand_in, tasks = surrogate(record, seed % WORLDS), space().settings.data.validation_tasks
    known = known_of(study.get_trials(states=FINISHED), tasks)
    model = Posterior(space().distributions, known)
    trained = [one for one in known if is_trained(one.trial)]
    true = np.array([100 * stand_in.curve(one.trial.params).min() for one in trained])
    seen = np.array([one.logit for one in trained])
    places = model.inputs([one.trial.params for one in trained])
    expected = -model.expected(places).numpy()
    # In the model's own unit: the logits that it was fitted to, in their standard deviations.
    logits = np.array([one.logit for one in model.known])
    seen = (seen - logits.mean()) / logits.std()
    orders = [seen, *((1 - weight) * expected + weight * seen for weight in WEIGHTS)]
    ranked = [true[np.argsort(order, kind="stable")] for order in orders]
    return np.array([[best[:count].min() for count in FIRST] for best in ranked])


def main() -> None:
    """Print by how much each order is ahead of that by what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hand_over", description=__doc__)
    parser.add_argument("record", type=Path, help="CSV of benchmarks.record")
    parser.add_argument("--samplers", nargs="*", default=["TPE", "GP"])
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--share", type=float, default=0.15, help="of random's compute")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    rows: list[Row] = []
    with ProcessPoolExecutor(chosen.processes) as pool:
        for sampler in chosen.samplers:
            one = partial(handed_over, chosen.record, sampler, chosen.share * TRIALS)
            found = np.stack(list(pool.map(one, seeds)))  # (seeds, orders, FIRST)
            for order, weight in enumerate(WEIGHTS, start=1):
                gained = (found[:, 0] - found[:, order]) / 100
                row: Row = {"sampler": sampler, "weight of what was seen": weight}
                for column, count in enumerate(FIRST):
                    row[f"points gained, best of {count}"] = difference(gained[:, column].tolist())
                rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
