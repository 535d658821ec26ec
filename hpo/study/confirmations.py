"""What new seeds and fresh tasks say of the best trials: kept with the study, and ranked.

The lowest of many errors on the same 320 tasks is low by luck too. So each of the best trials is
trained again from seeds that no trial had, and scored once on tasks that chose nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Annotated, Any, Required

import optuna
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from hpo.study.checked import checked
from hpo.study.trials import derived_seed, trained_trials

PREFIX, FULL_PREFIX = "confirmation:", "full-confirmation:"
"""Begin the study attributes that hold a retraining each, with the trials' recipe and with that of
the full training: ``confirmation:<trial>:<k>``."""


@dataclass(frozen=True)
class Confirmed:
    """A trial's network, trained again from new seeds."""

    trial: int
    search_error: float
    """What the search saw: the best of any epoch on the study's validation tasks, in [0, 1]."""
    errors: tuple[float, ...]
    """On the fresh tasks, one for each seed, in [0, 1]."""
    mean: float
    spread: float
    """Sample standard deviation of the errors; nan for one seed."""
    rank: int
    """1 = best; see `confirmed`."""
    tasks: int
    """How many fresh tasks each network was scored on."""
    outcomes: tuple[str, ...] = ()
    """The tasks answered rightly, for each seed, from `model.scoring`; empty where one has none."""

    @property
    def flattered(self) -> float:
        """By how much the search's own score was too good, in [-1, 1]; below 0 it was too bad."""
        return self.mean - self.search_error

    def matches(self, other: Confirmed) -> bool:
        """Whether both were scored on the same tasks, with as many seeds."""
        return (len(self.errors), self.tasks) == (len(other.errors), other.tasks)


def leading(study: optuna.Study) -> list[Confirmed]:
    """The trials that were trained in full, as `confirmed` ranks them; if none was, all confirmed.

    What leads after a short training need not lead after a long one.
    """
    return confirmed(study, full=True) or confirmed(study)


def confirmed(study: optuna.Study, full: bool = False) -> list[Confirmed]:
    """The trials of a study that were trained again, the lowest mean first.

    Errors are compared only where they are of the same tasks and of as many seeds: the mean of
    fewer seeds is more easily low by luck. So the trials with the most seeds (of those with
    equally many, those on the most tasks) are ranked first, by their means. All others come
    behind them, likewise, until `hpo confirm` has brought them level. Where a trial has
    results on two numbers of tasks, the number that it has more of counts.

    Args:
        study: whose.
        full: whether those count that were trained with the recipe of the full training.
    """
    found: list[Confirmed] = []
    kept = _results(study, full)
    for trial in trained_trials(study):
        results = kept.get(trial.number, [])
        counts = Counter(result["tasks"] for result in results)
        if not counts or trial.value is None:
            continue
        tasks = max(counts, key=lambda number: (counts[number], number))
        counted = [r for r in results if r["tasks"] == tasks]
        errors = tuple(r["error"] for r in counted)
        spread = stdev(errors) if len(errors) > 1 else math.nan
        outcomes = tuple(r.get("outcomes", "") for r in counted)
        found.append(
            Confirmed(
                trial=trial.number,
                search_error=trial.value,
                errors=errors,
                mean=mean(errors),
                spread=spread,
                rank=0,
                tasks=tasks,
                outcomes=outcomes if all(outcomes) else (),
            )
        )
    found.sort(key=lambda c: (-len(c.errors), -c.tasks, c.mean, c.trial))
    return [replace(c, rank=rank) for rank, c in enumerate(found, start=1)]


class _Result(TypedDict, total=False):
    """What is read of a retraining."""

    tasks: Required[Annotated[int, Field(ge=1)]]
    error: Required[Annotated[float, Field(ge=0, le=1)]]
    outcomes: str


_RESULT = TypeAdapter(_Result)


def _results(study: optuna.Study, full: bool) -> dict[int, list[_Result]]:
    """What was kept of each trial's retrainings, in the order of their seeds."""
    found: dict[int, dict[int, _Result]] = {}
    for key, result in study.user_attrs.items():
        if place := re.fullmatch(rf"{FULL_PREFIX if full else PREFIX}(\d+):(\d+)", key):
            trial, k = int(place[1]), int(place[2])
            found.setdefault(trial, {})[k] = checked(_RESULT, result, f"the {key}")
    return {trial: [results[k] for k in sorted(results)] for trial, results in found.items()}


def is_done(study: optuna.Study, trial: int, k: int, tasks: int, full: bool) -> bool:
    """Whether the trial's ``k``-th retraining (from 0) was scored on this many tasks."""
    key = _key(trial, k, full)
    result = study.user_attrs.get(key)
    return result is not None and checked(_RESULT, result, f"the {key}")["tasks"] == tasks


def keep_result(
    study: optuna.Study, trial: int, k: int, result: Mapping[str, Any], full: bool = False
) -> None:
    """Keep the result of a trial's ``k``-th retraining (from 0) with the study."""
    study.set_user_attr(_key(trial, k, full), dict(result))


def _key(trial: int, k: int, full: bool) -> str:
    return f"{FULL_PREFIX if full else PREFIX}{trial}:{k}"


def new_seed(study_seed: int, trial: int, k: int) -> int:
    """The seed of a trial's ``k``-th retraining (from 0), which no trial has."""
    return derived_seed(study_seed, trial, 2, k)


def fresh_task_seed(task_seed: int) -> int:
    """The seed of the fresh tasks of a study: the same for all its trials, and never its own."""
    drawn = derived_seed(task_seed, 3)
    return drawn if drawn != task_seed else drawn + 1
