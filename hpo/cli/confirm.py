"""The command that finds out which of the best trials holds: confirm."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import typer
from optuna.trial import FrozenTrial

from data.tasks import OneShotTasks
from hpo.cli.options import (
    AsJson,
    Data,
    Device,
    Storage,
    StudyArgument,
    ThreadsOfCpu,
    Timeout,
)
from hpo.cli.steps import end, folder_of, opened_study, print_json, say
from hpo.results.export import complete_trials
from hpo.results.retrain import fresh_tasks, retrain
from hpo.results.significance import compare_best
from hpo.search.loop import MachineFailure
from hpo.search.stopping import Stop
from hpo.study.confirmations import Confirmed, confirmed, is_done
from hpo.study.storage import shown
from hpo.study.study import StoredStudy
from hpo.study.trials import images_per_epoch, record
from hpo.view.format import duration, percent
from model.fast.device import device_name, find_device
from model.fast.threads import use_threads
from model.history import Interrupted
from model.inputs import Inputs

TASKS = 4000
"""Tasks to score a network on by default: a standard error near 0.5 points at 10 % error."""
MOST_TASKS = 40_000  # beyond it the images alone take gigabytes, and chance is no longer the limit


def confirm(
    study: StudyArgument = "paper",
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="New seeds for each.")] = 3,
    tasks: Annotated[
        int,
        typer.Option(min=1, max=MOST_TASKS, help="Fresh tasks: as many as are whole draws."),
    ] = TASKS,
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    threads: ThreadsOfCpu = None,
    timeout: Timeout = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="With the recipe of the full training: the finalists alone."),
    ] = False,
    json_: AsJson = False,
) -> None:
    """Train the best trials again, and rank them on fresh tasks.

    Each is trained from new seeds. The fresh tasks are validation tasks, too; the evaluation set is
    never touched. The last line says whether the winner's lead over the second is significant, over
    other tasks and over other seeds. The same line resumes it, and `hpo export` then takes the
    winner.

    A short training's best need not be a long one's: --full trains the first of those that are
    confirmed as `hpo train` would, and `hpo export` takes the winner of that.

    Example: hpo confirm small --top 5 --seeds 3
    """
    where, stop = find_device(device), Stop(timeout)
    with opened_study(study, storage, give_up=stop.requested) as (place, stored):
        candidates = _candidates(stored, full)[:top]
        folder, tasks = folder_of(stored, place, data), stored.settings.data.whole_draws(tasks)
        inputs = stored.open_inputs(folder, where, use_threads(threads))
        # One seed of every trial before the next: wherever it is stopped, they are nearly level.
        todo = [
            (trial, k)
            for k in range(seeds)
            for trial in candidates
            if not is_done(stored.study, trial.number, k, tasks, full)
        ]
        say(f"study    {place.name} in {shown(place.url)}")
        say(f"device   {device_name(where)}")
        say(f"tasks    {tasks:,} fresh validation tasks")
        say(_plan(len(candidates) * seeds, [trial for trial, _ in todo], _length(stored, full)))
        reason = None
        if todo:
            fresh = fresh_tasks(stored.settings.data, inputs, tasks)
            reason = _work(stored, todo, inputs, fresh, place.folder, stop, full)
        _print(stored, confirmed(stored.study, full), json_)
    if reason:
        say(f"stopped by {reason}; what is done is kept, and the same line goes on from here")
        end(reason)


def _candidates(stored: StoredStudy, full: bool) -> list[FrozenTrial]:
    """The best trials; to be trained in full, first those that are confirmed already."""
    trained = complete_trials(stored)
    ranks = {found.trial: found.rank for found in confirmed(stored.study)} if full else {}
    return sorted(trained, key=lambda trial: ranks.get(trial.number, math.inf))


def _length(stored: StoredStudy, full: bool) -> float:
    """How many times as many images as in a trial are trained on, if no training ends early."""
    recipes = stored.settings.training, stored.settings.trained_in_full()
    trial, whole = (recipe.epochs * images_per_epoch(recipe) for recipe in recipes)
    return whole / trial if full else 1.0


def _plan(whole: int, todo: list[FrozenTrial], length: float) -> str:
    if not todo:
        return f"seeds    all {whole} trainings are done"
    seconds = length * sum(record(trial).seconds or 0.0 for trial in todo)
    return (
        f"seeds    {whole - len(todo)} of {whole} trainings done, {len(todo)} left: "
        f"{duration(seconds)} at the pace of the search"
    )


def _work(
    stored: StoredStudy,
    todo: list[tuple[FrozenTrial, int]],
    inputs: Inputs,
    fresh: OneShotTasks,
    results: Path,
    stop: Stop,
    full: bool,
) -> str | None:
    """Do the trainings that are left; gives why it ended before its time, or None."""
    with stop.on_signals():
        for number, (trial, k) in enumerate(todo, start=1):
            try:
                stop.check()
                result = retrain(stored, trial, k, inputs, fresh, results, stop.check, full)
            except Interrupted as error:
                return str(error)
            except OSError as error:
                raise MachineFailure(
                    f"trial {trial.number} cannot be confirmed ({error}): see to the machine, then "
                    "type the same line"
                ) from error
            errors = f"error {percent(result['error'])}, on the search's own tasks "
            errors += percent(result["search_like_error"])
            say(
                f"trial {trial.number}, seed {k + 1}: {result.get('fail_reason') or errors}, in "
                f"{duration(result['seconds'])}; {len(todo) - number} left"
            )
    return None


def _print(stored: StoredStudy, ranked: list[Confirmed], as_json: bool) -> None:
    ahead = compare_best(ranked, stored.settings.data.way)
    if as_json:
        every = [_as_json(c) for c in ranked]
        lead = ahead and dataclasses.asdict(ahead)
        print_json({"study": stored.study.study_name, "confirmed": every, "lead": lead})
        return
    if not ranked:
        print("no trial is confirmed yet")
        return
    print(_row("rank", "trial", "search", "confirmed", "seeds", "search too good by"))
    for one in ranked:
        spread = "" if math.isnan(one.spread) else f" ± {100 * one.spread:.1f}"
        mean, seeds = f"{100 * one.mean:.1f}{spread} %", str(len(one.errors))
        points, search = f"{100 * one.flattered:+.1f} points", percent(one.search_error)
        print(_row(str(one.rank), str(one.trial), search, mean, seeds, points))
    if ahead:
        print(ahead)
    behind = [str(c.trial) for c in ranked if not c.matches(ranked[0])]
    if behind:
        say(
            f"ranked last for fewer seeds or other tasks: trial {', '.join(behind)}; a larger "
            "--top or --seeds brings them level"
        )


def _row(*cells: str) -> str:
    widths = (4, 5, 7, 14, 5, 18)
    return "  ".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))


def _as_json(one: Confirmed) -> dict[str, object]:
    spread = None if math.isnan(one.spread) else one.spread
    points = 100 * one.flattered
    figures = {k: v for k, v in dataclasses.asdict(one).items() if k != "outcomes"}
    return {**figures, "spread": spread, "search_too_good_by_points": points}
