"""Figures and outcomes as a person reads them."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from hpo.study.limits import Spending
from hpo.study.trials import lowest_error, record
from model.architecture import Architecture
from model.history import History

BARS = "▁▂▃▄▅▆▇█"
CURVE = 20  # bars of a curve at most
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(share: float) -> str:
    """0.1234 → 12.3 %."""
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 7 min, 3.5 h, 12 days, 4 years."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            amount = seconds / unit
            return f"{amount:.1f} {name}" if amount < 10 else f"{amount:.0f} {name}"
    days = seconds / 86_400
    return f"{days:.0f} days" if days < 730 else f"{days / 365:.0f} years"


def magnitude(number: float) -> str:
    """A large number as three digits and a power of ten: 4.83 × 10⁹."""
    if number < 1e4:
        return f"{number:,.0f}"
    digits, power = f"{number:.2e}".split("e+")
    return f"{digits} × 10{str(int(power)).translate(RAISED)}"


def amount(spending: Spending) -> str:
    """A budget and what is spent of it: 43 min of 2.0 h, or multiply-adds likewise."""
    whole, spent = spending.budget.amount, spending.spent
    if spending.budget.unit == "seconds":
        return f"{duration(spent)} of {duration(whole)}"
    return f"{magnitude(spent)} of {magnitude(whole)} multiply-adds"


def how_far(done: int, wanted: int | None, spending: Spending | None) -> str:
    """Where a study stands: 5 of 20 trials, 43 min of 2.0 h spent.

    Args:
        done: trials that are finished.
        wanted: trials that are wanted, or None for any number.
        spending: None where there is no budget.
    """
    trials = f"{done} of {wanted} trials"
    if wanted is None:
        trials = f"{done} trial" if done == 1 else f"{done} trials"
    return f"{trials}, {amount(spending)} spent" if spending else trials


def shape(network: Architecture) -> str:
    """The layers of a network in short: 64@10 128@7 128@4 256@4 fc 4096."""
    layers = [f"{c.filters}@{c.kernel}" for c in network.convolutions]
    return " ".join([*layers, "fc", str(network.fc_units)])


def outcome(trial: FrozenTrial) -> str:
    """How a trial ended, in a few words."""
    reason = record(trial).fail_reason
    if reason:
        return reason
    if trial.state == TrialState.PRUNED:
        epochs = len(trial.intermediate_values)
        return f"pruned after {epochs} epoch{'s' if epochs > 1 else ''}"
    if trial.state == TrialState.FAIL:
        return "failed"
    return trial.state.name.lower()


def shown_error(trial: FrozenTrial) -> str:
    """The lowest error of any epoch, for pruned trials too."""
    error = lowest_error(trial)
    return "–" if error is None else percent(error)


def epoch_line(history: History, epochs: int) -> str:
    """What the last epoch gave, of as many as there may be: epoch 3 of 9: error 12.3 %, …."""
    last = history.epochs[-1]
    return (
        f"epoch {len(history.epochs)} of {epochs}: error {percent(last.error)}, best "
        f"{percent(history.best_error)}, loss {last.loss:.4f}, "
        f"{last.pairs / last.train_seconds:,.0f} pairs/s"
    )


def sparkline(errors: Sequence[float]) -> str:
    """A curve of errors as a row of bars, the lowest of several in each where they are many.

    A full bar is an error of one.
    """
    each = -(-len(errors) // CURVE) or 1
    lows = [min(errors[i : i + each]) for i in range(0, len(errors), each)]
    return "".join(BARS[max(0, min(int(e * len(BARS)), len(BARS) - 1))] for e in lows)
