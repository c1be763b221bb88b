"""Rows -> tasks, in order; rows already in the journal, and those that cannot be sent, are finished immediately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Callable, Union

from aichatkit._dataclasses import dataclass, field, replace
from aichatkit.batch.journal import CLAIMED_ELSEWHERE, Journal
from aichatkit.batch.rows import Row, Source
from aichatkit.batch.workers import BoundAsk
from aichatkit.call.call import Call
from aichatkit.errors import ChatError, ContentFilteredError, SchemaError
from aichatkit.middleware.budgets import expense_of
from aichatkit.middleware.estimates import Expense, estimate_partial, expected_expense, highest_cost
from aichatkit.middleware.fingerprints import fingerprint
from aichatkit.reply import Reply
from aichatkit.structured.forms import Form

__all__ = ["FinishedRow", "Outcome", "Task", "TaskQueue", "restore_outcome"]

Outcome = Union[Reply, ChatError]
FinishedRow = tuple[Row, Outcome]

#: Rows looked up in the journal at a time.
_MAX_LOOKUPS = 64
#: Rows claimed by other processes to keep in memory; beyond that, no more input is read.
_MAX_CLAIMED_ELSEWHERE = 10_000
#: Seconds between lookups of rows that other processes have claimed.
_LOOKUP_INTERVAL = 0.25


@dataclass
class Task:
    """One row to send.

    `expected` is its estimated expense, `highest` its maximum cost in US dollars, and `reserved` what each budget has
    reserved for it. `rate_limits` and `worker_deaths` count the failures after which it is sent again. `ask` is how it
    is sent if it has some of its answers from batch jobs.
    """

    row: Row
    key: bytes = b""
    expected: Expense = field(default_factory=Expense)
    highest: float = 0.0
    reserved: list[Expense] = field(default_factory=list)
    rate_limits: int = 0
    worker_deaths: int = 0
    ask: BoundAsk | None = None


class TaskQueue:
    """A queue of the rows to send; rows are read only as they are needed, so that the input is never held in memory."""

    def __init__(
        self,
        source: Source,
        *,
        build_call: Callable[[object], Call] | None,
        journal: Journal | None,
        schema: Form | None,
        batch_size: int,
        has_budget: bool = False,
        find_asks: Callable[[Sequence[bytes]], Mapping[bytes, BoundAsk]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Rows with their outcomes, not yet yielded by the run.
        self.finished: deque[FinishedRow] = deque()
        #: The error that ended the input.
        self.failure: ChatError | None = None
        self._source = source
        self._build_call = build_call
        self._journal = journal
        self._schema = schema
        self._has_budget = has_budget
        self._batch_size = min(batch_size, _MAX_LOOKUPS) if journal is not None else 1
        self._clock = clock
        self._find_asks = find_asks
        self._ready: deque[Task] = deque()
        self._claimed_elsewhere: deque[Task] = deque()
        self._next_lookup = 0.0
        self._is_source_exhausted = False

    @property
    def waits_for_others(self) -> bool:
        """Whether other processes are working on some of the rows."""
        return bool(self._claimed_elsewhere)

    @property
    def is_exhausted(self) -> bool:
        """Whether every row has been handed out or is finished."""
        return self._is_source_exhausted and not self._ready and not self._claimed_elsewhere

    def next(self) -> Task | None:
        """Return the next row to send, or None if there is none at the moment."""
        if not self._ready and not self._is_source_exhausted and len(self._claimed_elsewhere) < _MAX_CLAIMED_ELSEWHERE:
            self._read_rows()
        if not self._ready and self._claimed_elsewhere and self._clock() >= self._next_lookup:
            self._next_lookup = self._clock() + _LOOKUP_INTERVAL
            count = min(_MAX_LOOKUPS, len(self._claimed_elsewhere))
            self._claim([self._claimed_elsewhere.popleft() for _ in range(count)])
        return self._ready.popleft() if self._ready else None

    def has_more(self) -> bool:
        """Return whether a row is ready after the one handed out last."""
        task = self.next()
        if task is not None:
            self.requeue_first(task)
        return task is not None

    def expense_of(self, task: Task, reply: Reply) -> Expense:
        """Return the expense of a row's reply, estimated from its text if the service does not report it."""
        expected = task.expected
        if reply.cost is None and self._build_call is not None and self._has_budget:
            estimate = estimate_partial(self._build_call(task.row.prompt), reply.reasoning + reply.text)
            expected = expected.at_least(estimate)
        return expense_of(reply, expected)

    def requeue_first(self, task: Task) -> None:
        """Put a row back, before all others."""
        self._ready.appendleft(task)

    def requeue_last(self, task: Task) -> None:
        """Put a row back, after those that are ready."""
        self._ready.append(task)

    def drain(self) -> Iterator[Row]:
        """Yield the rows that were not sent: those already read, and the rest of the input if it is finite."""
        unsent = [*self._ready, *self._claimed_elsewhere]
        self._ready.clear()
        self._claimed_elsewhere.clear()
        if self._journal is not None:
            self._journal.release(task.key for task in unsent)
        yield from (task.row for task in unsent)
        if self._source.finite:
            yield from self._source.rows

    def _read_rows(self) -> None:
        rows: list[Row] = []
        try:
            rows.extend(islice(self._source.rows, self._batch_size))
        except ChatError as error:
            # The rows before it are still sent.
            self.failure = error
        self._is_source_exhausted = len(rows) < self._batch_size
        tasks = [task for task in map(self._try_build_task, rows) if task is not None]
        if self._journal is not None and tasks:
            for task, key in zip(tasks, self._journal.assign_keys(task.key for task in tasks)):
                task.key = key
            self._claim(tasks)
        else:
            self._ready.extend(tasks)

    def _try_build_task(self, row: Row) -> Task | None:
        error = row.error
        if error is None:
            try:
                return self._build_task(row)
            except ChatError as problem:
                error = problem
        self.finished.append((row, error))
        return None

    def _build_task(self, row: Row) -> Task:
        if self._build_call is None:
            return Task(row)
        call = self._build_call(row.prompt)
        key = fingerprint(call) if self._journal is not None else b""
        return Task(row, key, expected_expense(call), highest_cost(call)) if self._has_budget else Task(row, key)

    def _claim(self, tasks: list[Task]) -> None:
        """Claim rows in the journal; some may be answered already, or claimed by another process."""
        assert self._journal is not None
        keys = [task.key for task in tasks]
        asks = self._find_asks(keys) if self._find_asks is not None else {}
        for task, entry in zip(tasks, self._journal.claim(keys)):
            if entry is None:
                task.ask = asks.get(task.key)
                self._ready.append(task)
            elif isinstance(entry, Reply):
                self.finished.append((task.row, restore_outcome(entry, self._schema)))
            elif isinstance(entry, ChatError):
                self.finished.append((task.row, entry))
            else:
                assert entry is CLAIMED_ELSEWHERE
                self._claimed_elsewhere.append(task)


def restore_outcome(reply: Reply, schema: Form | None) -> Outcome:
    """Return a stored reply with its structured data, or the `SchemaError` if it no longer fits the schema."""
    if schema is None or reply.tool_calls:
        return reply
    try:
        return replace(reply, data=schema.parse(reply))
    except (SchemaError, ContentFilteredError) as error:
        return error
