"""Rows -> tasks: what is still to be asked, in order; what a journal holds, or cannot be asked, is finished already."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Callable, Union

from aichatkit._dataclasses import dataclass, field, replace
from aichatkit.batch.journal import CLAIMED_ELSEWHERE, Journal
from aichatkit.batch.rows import Row, Source
from aichatkit.call.attempt import Call
from aichatkit.errors import ChatError, SchemaError
from aichatkit.middleware.budgets import Expense
from aichatkit.middleware.estimates import expected
from aichatkit.middleware.fingerprints import fingerprint
from aichatkit.middleware.tool_rounds import Form
from aichatkit.reply import Reply

__all__ = ["Finished", "Outcome", "Task", "TaskQueue", "restore_outcome"]

Outcome = Union[Reply, ChatError]
Finished = tuple[Row, Outcome]

#: Rows that are looked up in the journal at once.
_MOST = 64
#: Rows another process asks that are remembered, before this one waits for it.
_MOST_TAKEN = 10_000
#: How often those are looked at, in seconds.
_LOOK = 0.25


@dataclass
class Task:
    """One row on its way; `held` is what purses hold back for it, `limited` and `lost` count what befell it."""

    row: Row
    key: bytes = b""
    expected: Expense = field(default_factory=Expense)
    held: list[Expense] = field(default_factory=list)
    limited: int = 0
    lost: int = 0


class TaskQueue:
    """Draws rows only when they are wanted, so that no input is held."""

    def __init__(
        self,
        source: Source,
        *,
        call_of: Callable[[object], Call] | None,
        journal: Journal | None,
        form: Form | None,
        chunk: int,
        limited: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Rows that need not be asked any more.
        self.finished: deque[Finished] = deque()
        self._source = source
        self._call_of = call_of
        self._journal = journal
        self._form = form
        self._limited = limited
        self._chunk = min(chunk, _MOST) if journal is not None else 1
        self._clock = clock
        self._ready: deque[Task] = deque()
        self._taken: deque[Task] = deque()
        self._look_at = 0.0
        self._exhausted = False

    @property
    def waits(self) -> bool:
        """Whether rows are left that another process asks."""
        return bool(self._taken)

    @property
    def ended(self) -> bool:
        """Whether every row was handed out or is finished."""
        return self._exhausted and not self._ready and not self._taken

    def next(self) -> Task | None:
        """Return the next row to ask, None where there is none now."""
        if not self._ready and not self._exhausted and len(self._taken) < _MOST_TAKEN:
            self._draw()
        if not self._ready and self._taken and self._clock() >= self._look_at:
            self._look_at = self._clock() + _LOOK
            self._sort([self._taken.popleft() for _ in range(min(_MOST, len(self._taken)))])
        return self._ready.popleft() if self._ready else None

    def requeue_first(self, task: Task) -> None:
        """Take a row that shall be asked before the others."""
        self._ready.appendleft(task)

    def requeue_last(self, task: Task) -> None:
        """Take a row that shall be asked after those that are ready."""
        self._ready.append(task)

    def rest(self) -> Iterator[Row]:
        """Yield the rows that were not asked: those drawn, and the others where they have an end."""
        left = [*self._ready, *self._taken]
        self._ready.clear()
        self._taken.clear()
        if self._journal is not None:
            self._journal.release(task.key for task in left)
        yield from (task.row for task in left)
        if self._source.finite:
            yield from self._source.rows

    def _draw(self) -> None:
        rows = list(islice(self._source.rows, self._chunk))
        self._exhausted = len(rows) < self._chunk
        tasks = [task for task in map(self._task, rows) if task is not None]
        if self._journal is not None and tasks:
            for task, key in zip(tasks, self._journal.assign_keys(task.key for task in tasks)):
                task.key = key
            self._sort(tasks)
        else:
            self._ready.extend(tasks)

    def _task(self, row: Row) -> Task | None:
        error = row.error
        if error is None:
            try:
                return self._prepared(row)
            except ChatError as problem:
                error = problem
        self.finished.append((row, error))
        return None

    def _prepared(self, row: Row) -> Task:
        if self._call_of is None:
            return Task(row)
        call = self._call_of(row.prompt)
        key = fingerprint(call) if self._journal is not None else b""
        return Task(row, key, expected(call) if self._limited else Expense())

    def _sort(self, tasks: list[Task]) -> None:
        """Look up rows in the journal: they are ours now, another's, or answered."""
        assert self._journal is not None
        for task, found in zip(tasks, self._journal.claim([task.key for task in tasks])):
            if found is None:
                self._ready.append(task)
            elif isinstance(found, Reply):
                self.finished.append((task.row, restore_outcome(found, self._form)))
            else:
                assert found is CLAIMED_ELSEWHERE
                self._taken.append(task)


def restore_outcome(reply: Reply, form: Form | None) -> Outcome:
    """Return a stored answer with its data."""
    if form is None or reply.tool_calls:
        return reply
    try:
        return replace(reply, data=form.read(reply))
    except SchemaError as error:
        return error
