"""What jobs may cost -> budgets: the most is held while a job runs, and what it cost is counted when it has ended."""

from __future__ import annotations

from collections.abc import Sequence

from aichatkit.batch_jobs.records import JobRecord
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.estimates import Expense

__all__ = ["Holdings"]


class Holdings:
    """The amounts held for jobs; `run_budget` is the one of `budgets` that covers the whole journal."""

    def __init__(self, budgets: Sequence[Budget], run_budget: Budget) -> None:
        self._budgets = budgets
        self._run_budget = run_budget
        self._held: dict[str, Expense] = {}

    def count_past(self, job: JobRecord) -> None:
        """Count a job that ended in an earlier call: a run may take several calls."""
        self._run_budget.count(Expense(), Expense(job.held if job.cost is None else job.cost))

    def hold(self, nonce: str, most: Expense) -> None:
        """Hold the most that a job may cost."""
        self._held[nonce] = most
        for budget in self._budgets:
            budget.hold(most)

    def settle(self, job: JobRecord) -> None:
        """Replace what was held for a job by its cost; if that is not known, all of it counts."""
        held = self._held.get(job.nonce, Expense())
        is_unknown = (job.state == "done" and job.cost is None) or job.state == "gone"
        self.release(job.nonce, held if is_unknown else Expense(job.cost or 0.0, held.tokens))

    def release(self, nonce: str, spent: Expense | None = None) -> None:
        """Replace what was held for a job by what it cost, by default nothing."""
        held = self._held.pop(nonce, None)
        for budget in self._budgets if held is not None else ():
            budget.count(held or Expense(), spent or Expense())

    def release_all(self) -> None:
        """Release everything: what goes on in jobs is not in progress in this process any more."""
        for nonce in list(self._held):
            self.release(nonce)
