"""Rows of jobs -> the beginning they share in the prompt cache: a job of one row writes it, those after it read it.

Only by wish, as marks in jobs that find nothing in the cache cost more than none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aichatkit._dataclasses import replace
from aichatkit.batch_jobs.planner import Planner
from aichatkit.batch_jobs.records import JobRecord
from aichatkit.call.call import Call
from aichatkit.call.targets import Target
from aichatkit.prompt_caching.plan import RowHead
from aichatkit.prompt_caching.runs import RunCache, plan_run
from aichatkit.prompt_caching.services import rules_of

__all__ = ["FirstRow", "plan_first_row"]


class MarksRows(Protocol):
    """What marks the lines of rows."""

    head: RowHead | None


class FirstRow:
    """Whether the beginning that the rows share is in the cache; until it is, one row goes alone."""

    def __init__(self, cache: RunCache, work: MarksRows) -> None:
        self._cache = cache
        self._work = work

    def holds_back(self, planner: Planner, *, is_waiting: bool) -> bool:
        """Return whether the next job must wait for the one before it; if not, say how it is planned."""
        if self._cache.is_cold and is_waiting:
            return True
        # Nothing would read what a last row writes.
        is_marked = not self._cache.is_cold or planner.has_several()
        self._work.head = self._cache.head if is_marked else None
        planner.goes_alone = is_marked and self._cache.is_cold
        return False

    def note_ended(self, job: JobRecord) -> None:
        """Note that a job has ended: what its rows wrote can be read."""
        if job.answered:
            self._cache.note_begun()
        else:
            self._cache.note_failed()


def plan_first_row(
    call: Call,
    target: Target,
    work: MarksRows,
    find_beginning: Callable[[], str],
    *,
    size: int | None,
    is_finite: bool,
    clock: Callable[[], float],
) -> FirstRow | None:
    """Return how the rows of jobs share a cache; None unless the caller wants that, and the service takes marks."""
    provider = call.context.provider(target.provider)
    rules = rules_of(provider, target.model, call.context.record(target) or {})
    if call.prompt_cache not in (True, "1h") or rules is None or rules.style != "blocks":
        return None
    # A job may take longer than the usual lifetime.
    long = replace(call, prompt_cache="1h", targets=[target])
    plan = plan_run(long, find_beginning, size=size, is_finite=is_finite)
    if plan is None:
        return None
    # That more rows follow is found out before one goes first.
    head = plan.head._replace(is_certain=True)
    return FirstRow(RunCache(head, has_marks=True, lifetime=rules.long_lifetime, clock=clock), work)
