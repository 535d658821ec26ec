"""The command that shows how far a study is: status."""

import dataclasses
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from optuna.trial import TrialState

from hpo.cli.options import AsJson, Storage, StudyArgument
from hpo.cli.steps import opened_study, print_json, print_wide, say
from hpo.study.limits import Spending
from hpo.study.study import StoredStudy, StudyError
from hpo.view.format import amount, duration, how_far, percent
from hpo.view.status import StatusReader, as_json, counted
from hpo.view.terminal import best_table, live_view

LOOK = 1.0
"""Seconds between two looks at a study that is watched."""


def status(
    study: StudyArgument = "paper",
    storage: Storage = None,
    json_: AsJson = False,
    watch: Annotated[bool, typer.Option(help="Show it until it is full, or Ctrl-C.")] = False,
) -> None:
    """Show how far a study is.

    That is trials by state, the best so far, the rate, and the time left.

    Example: hpo status small --watch
    """
    if watch and json_:
        raise StudyError("--watch and --json do not go together: leave one of them out")
    with opened_study(study, storage, read_only=True) as (_, stored):
        if watch:
            _watch(stored)
        reader = StatusReader(stored)
        now, bindings = reader.read(), reader.bindings()
        figures = as_json(stored, now)
        if json_:
            print_json({**figures, "binding": [dataclasses.asdict(one) for one in bindings]})
            return
        _print_status(figures, now.spending)
        if now.leaders:
            print()
            print_wide(best_table(stored.space, now.leaders))
        for binding in bindings:
            say(str(binding))


def _watch(stored: StoredStudy) -> None:
    """The live view on a terminal; elsewhere a line whenever a trial has ended."""
    reader, on_terminal, said = StatusReader(stored), sys.stdout.isatty(), -1
    with live_view(stored, sys.stdout) if on_terminal else nullcontext():
        while True:
            now = reader.read()
            if now.full and not now.running:
                return
            ended = sum(now.states[state] for state in TrialState if state.is_finished())
            if not on_terminal and ended != said:
                said = ended
                _print_status(as_json(stored, now), now.spending)
            time.sleep(LOOK)


def _print_status(figures: Mapping[str, Any], spending: Spending | None) -> None:
    trials = how_far(figures["finished"], figures["wanted"], None)
    print(f"{figures['study']}: {trials} finished ({counted(figures) or 'none yet'})")
    if spending:
        print(f"budget: {amount(spending)} spent")
    if figures["best"]:
        print(f"best: {percent(figures['best']['error'])} error, trial {figures['best']['trial']}")
    if figures["trials_per_hour"]:
        each, left = duration(figures["seconds_per_trial"]), figures["seconds_left"]
        ahead = "" if left is None else f", {duration(left)} left"
        hourly = f"{figures['trials_per_hour']:.1f} trials an hour"
        print(f"rate: {hourly}, {each} each{ahead}", flush=True)
