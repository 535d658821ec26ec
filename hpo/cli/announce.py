"""What a search says before it begins, and what it found at its end."""

from math import ceil

import torch

from data.errors import in_a_line
from hpo.cli.steps import print_wide, say
from hpo.search.cost_estimate import Estimate, estimate
from hpo.study.limits import Budget, budget_of, spending_of, wanted_trials
from hpo.study.storage import shown
from hpo.study.study import StoredStudy
from hpo.study.trials import finished
from hpo.view.format import amount, duration, magnitude, percent
from hpo.view.status import StatusReader
from hpo.view.terminal import best_table
from model.fast.device import device_name
from model.fast.memory import out_of_memory
from model.inputs import Inputs


def announce(
    stored: StoredStudy, created: bool, url: str, inputs: Inputs, workers: int | None, timed: bool
) -> None:
    """Say what is about to happen, and what it will cost.

    Args:
        stored: the study.
        created: whether it was made just now.
        url: of its database.
        inputs: its data.
        workers: how many processes search at once, or None for this one alone.
        timed: whether a trial can be timed here, as it runs on the device of the data.
    """
    done, settings = finished(stored.study), stored.settings
    limit, spent = wanted_trials(stored.study), spending_of(stored)
    left = None if limit is None else max(limit - done, 0)
    say(f"study    {stored.study.study_name} {'(new)' if created else '(resumed)'} in {shown(url)}")
    if stored.changes:
        say(f"changes  {', '.join(stored.changes)}")
    if workers is None:
        say(f"device   {device_name(inputs.device)}")
    say(
        f"data     {settings.data.set} at {settings.network.image_size}×"
        f"{settings.network.image_size}: {len(inputs.split.train.alphabet_of)} characters to "
        f"train on, {len(inputs.tasks)} validation tasks"
    )
    if spent:
        ahead = spent.seconds_left
        of_work = f", about {duration(ahead)} of work left" if ahead else ""
        say(f"budget   {amount(spent)} spent{of_work}")
    if left == 0 or (spent and spent.used_up):
        say(f"trials   {done} finished, none left")
        return
    seconds = StatusReader(stored).read().seconds
    if seconds:
        whole = "" if left is None else f"about {duration(seconds * left)} of work, as "
        cost = f"{whole}the trials so far took {duration(seconds)} each"
    elif timed:
        cost = _estimated(stored, left, inputs, workers or 1)
    else:
        cost = "each worker takes one at a time"
    say(f"trials   {done} finished{'' if left is None else f', {left} left'}: {cost}")


def _estimated(stored: StoredStudy, left: int | None, inputs: Inputs, at_once: int) -> str:
    """What the trials that are left will cost, if ``at_once`` of them run at a time."""
    try:
        guess = estimate(stored.space, inputs)
    except torch.AcceleratorError as error:  # the first trial meets it again, and is handed back
        return f"how long is unknown, as the device failed: {in_a_line(error)}"
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return "how long is unknown, as a network of mean cost does not fit the memory"
    if inputs.device.type == "cpu" and guess.trial > 3600:
        say("         it is made for a GPU; for a CPU there is: hpo run small --trials 20")
    budget = budget_of(stored.study)
    if budget:
        _warn(budget, guess, at_once)
    whole = "" if left is None else f"up to {duration(guess.trial * ceil(left / at_once))}, or "
    return (
        f"{whole}{duration(guess.trial)} a trial that is not pruned ({duration(guess.step)} a step)"
    )


def _warn(budget: Budget, guess: Estimate, at_once: int) -> None:
    """Say so where the budget will be used up before a trial has ended."""
    by_time = budget.unit == "seconds"
    cost = at_once * (guess.trial if by_time else guess.multiply_adds)
    if cost > budget.amount:
        what = "one trial" if at_once == 1 else f"the {at_once} trials that run at once"
        takes = duration(cost) if by_time else f"{magnitude(cost)} multiply-adds"
        say(
            f"         {what} may take {takes}, more than the whole budget: give a larger "
            "--budget, or take a smaller study"
        )


def print_best(stored: StoredStudy, study: str) -> None:
    """Print the best network so far, and how to go on; ``study`` is as a person types it."""
    reader = StatusReader(stored)
    leaders = reader.read().leaders
    if not leaders:
        print("no trial has trained to its end yet")
        return
    best = leaders[0]
    network = stored.space.configuration(best.params, 0).network
    print(f"best trial {best.number}: one-shot validation error {percent(best.value or 0)}")
    for layer, convolution in zip(network.layers, network.convolutions, strict=False):
        kernel = f"{convolution.kernel}×{convolution.kernel}"
        print(f"  {layer:6} {convolution.filters} filters of {kernel}")
    print(f"  fc     {network.fc_units} units")
    weights, cost = network.weights / 1e6, network.multiply_adds / 1e6
    print(f"  {weights:.2f} M weights, {cost:.1f} M multiply-adds an image")
    print()
    print_wide(best_table(stored.space, leaders))
    for binding in reader.bindings():
        say(str(binding))
    print()
    print(f"its configuration: hpo export {study}")
    print(f"all trials in a browser: hpo dashboard {study}")
