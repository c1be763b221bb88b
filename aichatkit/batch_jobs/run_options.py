"""How a run in batch jobs goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Callable

from aichatkit._dataclasses import dataclass
from aichatkit.batch.base_run import BaseRun
from aichatkit.batch.progress import Progress
from aichatkit.batch_jobs.job import Job
from aichatkit.batch_jobs.journal import JobJournal
from aichatkit.batch_jobs.planner import PlannedRow
from aichatkit.batch_jobs.records import JobRecord
from aichatkit.call.call import Call
from aichatkit.middleware.budgets import Budget

__all__ = ["JobRunOptions"]


@dataclass(frozen=True)
class JobRunOptions:
    """How a run in batch jobs goes; `wait` is the number of seconds to wait for the jobs, None without a limit.

    `ask_live` returns the run that sends rows live; None if there are never such rows.
    """

    call: Call
    journal: JobJournal
    budgets: Sequence[Budget]
    run_budget: Budget
    progress: Progress
    raise_on_error: bool
    wait: float | None
    late: str
    make_job: Callable[[JobRecord], Job]
    ask_live: Callable[[Sequence[PlannedRow]], BaseRun] | None = None
    #: False for a run that only collects what jobs have answered and sends none.
    sends: bool = True
    clock: Callable[[], float] = time.time
