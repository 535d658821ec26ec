"""A budget that is used up while trials run: that is said once, and they go on only so far."""

from hpo.search.observer import Observer
from hpo.study.limits import Spending, spending_of
from hpo.study.study import StoredStudy
from hpo.study.trials import running
from model.history import Interrupted


class OverBudget(Interrupted):
    """The study has spent its budget and as much again; with a larger one the trial goes on."""


class BudgetWatch:
    """Looks at what a study has spent while its trials run."""

    def __init__(self, stored: StoredStudy, observer: Observer) -> None:
        """Prepare to look; ``observer`` is told once that the budget is used up."""
        self._stored, self._observer, self._told = stored, observer, False

    def look(self) -> Spending | None:
        """What is spent of the budget, if the study has one."""
        spent = spending_of(self._stored)
        if spent and spent.used_up and not self._told:
            trials = len(running(self._stored.study))
            self._told = trials > 0
            if trials:
                self._observer.budget_used_up(trials)
        return spent

    def check(self) -> None:
        """Look, and raise `OverBudget` where the trials that run are to end."""
        spent = self.look()
        if spent and spent.overdrawn:
            raise OverBudget("the end of the budget")
