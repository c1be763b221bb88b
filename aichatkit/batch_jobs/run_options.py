"""How a run in batch jobs goes: its options, and their checks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Callable

from aichatkit._dataclasses import dataclass
from aichatkit.batch.base_run import BaseRun
from aichatkit.batch.progress import Progress
from aichatkit.batch_jobs.first_row import FirstRow
from aichatkit.batch_jobs.job import Job
from aichatkit.batch_jobs.journal import JobJournal
from aichatkit.batch_jobs.records import JobRecord
from aichatkit.batch_jobs.work import PlannedRow, RowWork
from aichatkit.call.call import Call
from aichatkit.errors import ConfigurationError
from aichatkit.limits.retries import RetryPolicy
from aichatkit.middleware.budgets import Budget
from aichatkit.params import is_number, suggestion

__all__ = ["JobRunOptions", "check_options", "parse_wait", "pause", "wall_clock"]

#: The wall clock, by which jobs are looked up: it goes on while this program does not run.
_clock = time.time
_LATE = ("batch", "live", "fail")


@dataclass(frozen=True)
class JobRunOptions:
    """How a run in batch jobs goes; `wait` is the number of seconds to wait for the jobs, None without a limit.

    `ask_live` returns the run that sends rows live; None if there are never such rows.
    """

    call: Call
    work: RowWork
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
    #: How the rows share a prompt cache, if they do.
    first_row: FirstRow | None = None
    clock: Callable[[], float] = time.time


def wall_clock(policy: RetryPolicy) -> Callable[[], float]:
    """Return the wall clock; if the policy has a clock, one that goes as that does from now on."""
    clock = policy.clock
    if clock is None:
        return _clock
    moved = _clock() - clock()
    return lambda: clock() + moved


def pause(
    seconds: float, sleep: Callable[[float], None] | None, wake: threading.Event, closing: threading.Event
) -> None:
    """Wait, unless one of the events is set."""
    if sleep is not None:
        sleep(seconds)
        return
    end = time.monotonic() + seconds
    while not wake.is_set() and not closing.is_set() and (left := end - time.monotonic()) > 0:
        wake.wait(min(left, 1.0))


def parse_wait(wait: Any) -> float | None:
    """Return the seconds to wait for jobs, None without a limit."""
    if wait is True:
        return None
    if wait is False:
        return 0.0
    if is_number(wait, minimum=0) and wait < 1e9:
        return float(wait)
    raise ConfigurationError(f"wait: must be True, False or a number of seconds, not {wait!r}")


def check_options(*, late: Any, resume: Any, executor: Any) -> None:
    """Raise ConfigurationError if an option of a run in jobs is invalid, or one is missing."""
    if late not in _LATE:
        hint = suggestion(late, _LATE) if isinstance(late, str) else ""
        raise ConfigurationError(f"late: must be 'batch', 'live' or 'fail', not {late!r}{hint}")
    if resume is None:
        raise ConfigurationError(
            "resume: batch=True needs the path of a journal, such as resume='run.sqlite', as jobs outlive this program"
        )
    if executor is not None:
        raise ConfigurationError(
            "executor: rows of batch jobs are sent in files, not by an executor; leave out executor= or batch="
        )
