"""Rows -> jobs: the body of each row on a line of a file, cut by the limits of the service and of the budget."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from aichatkit._dataclasses import NamedTuple
from aichatkit.batch.rows import Row, Source
from aichatkit.batch.task_queue import FinishedRow, restore_outcome
from aichatkit.batch_jobs.http import JobHTTP
from aichatkit.batch_jobs.journal import JobJournal
from aichatkit.batch_jobs.lines import Spool, make_nonce, row_id
from aichatkit.batch_jobs.protocols import find_protocol
from aichatkit.batch_jobs.protocols.base import FileJobProtocol, JobProtocol
from aichatkit.batch_jobs.records import JobRecord, JobRow, RowState
from aichatkit.batch_jobs.waiting_rows import DiskRows, MemoryRows, WaitingRows
from aichatkit.batch_jobs.work import PlannedRow, RowLine, RowWork
from aichatkit.call.call import Call
from aichatkit.call.targets import Target
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.estimates import Expense
from aichatkit.reply import Reply
from aichatkit.structured.forms import Form

__all__ = ["PlannedJob", "Planner"]

#: Rows per job unless the service takes fewer: a job that is lost or expires costs less, and progress is visible.
_JOB_ROWS = 10_000
#: Rows looked up in the journal at a time.
_LOOKUPS = 64
#: Rows with their outcomes that may wait in memory until they are yielded.
_MAX_FINISHED = 256


class PlannedJob(NamedTuple):
    """A job that is not in the journal yet: a record of each of its lines, their rows, and the lines."""

    nonce: str
    target: Target
    protocol: type[JobProtocol]
    rows: list[JobRow]
    planned: list[PlannedRow]
    spool: Spool
    most: Expense


class _Draft:
    """A job that is being filled."""

    def __init__(self, target: Target, protocol: JobProtocol) -> None:
        self.nonce = make_nonce()
        self.target = target
        self.protocol = type(protocol)
        self.spool = Spool(joined=not isinstance(protocol, FileJobProtocol))
        self.rows: list[JobRow] = []
        self.planned: list[PlannedRow] = []
        self.most = Expense()

    def finish(self) -> PlannedJob:
        """Return the job."""
        return PlannedJob(self.nonce, self.target, self.protocol, self.rows, self.planned, self.spool, self.most)


class Planner:
    """Reads rows, finishes those that need no job, and collects the others until a job is full."""

    def __init__(
        self,
        source: Source,
        *,
        work: RowWork,
        call: Call,
        targets: Sequence[Target],
        journal: JobJournal,
        schema: Form | None,
        budgets: Sequence[Budget],
        keeps_failures: bool,
        late: str,
    ) -> None:
        #: Rows with their outcomes, not yet yielded by the run.
        self.finished: deque[FinishedRow] = deque()
        #: Rows in jobs, or claimed by another process, by their keys.
        self.waiting: WaitingRows = MemoryRows() if source.size is not None else DiskRows()
        #: Rows that are sent live.
        self.live: list[PlannedRow] = []
        #: The error that ended the input, and the one that says that no further row fits the budget.
        self.failure: ChatError | None = None
        self.over_budget: ChatError | None = None
        self.targets = list(targets)
        #: Whether rows are sent live from now on, as no model is left that has jobs.
        self.goes_live = False
        #: The most rows, and bytes of lines, of the next job; one row may be larger.
        self.job_rows = _JOB_ROWS
        #: Whether the next job has one row only, so that those after it can read what it writes to the prompt cache.
        self.goes_alone = False
        self._job_bytes = math.inf
        #: Rows that a service found too large even in a job of their own, by their keys.
        self._too_large: dict[bytes, ChatError] = {}
        self._source = source
        self._work = work
        self._call = call
        self._journal = journal
        self._schema = schema
        self._budgets = budgets
        self._keeps_failures = keeps_failures
        self._late = late
        self._ready: deque[PlannedRow] = deque()
        self._draft: _Draft | None = None
        self._is_exhausted = False
        self._protocols: dict[Target, JobProtocol] = {}

    @property
    def target(self) -> Target:
        """The target of the next job."""
        return self.targets[0]

    @property
    def is_done(self) -> bool:
        """Whether no row is left to plan."""
        return self._is_exhausted and not self._ready and self._draft is None

    @property
    def is_paused(self) -> bool:
        """Whether the next job is filled only once the finished rows have been yielded: they hold their answers."""
        return len(self.finished) >= _MAX_FINISHED

    def read_all(self) -> None:
        """Read the rest of the rows without planning a job."""
        while not self._is_exhausted:
            self._read()

    def has_several(self) -> bool:
        """Return whether more than one row is left to plan, as far as can be known now."""
        while len(self._ready) < 2 and not self._is_exhausted and not self.is_paused:
            self._read()
        return len(self._ready) > 1 or not self._is_exhausted

    def protocol_of(self, target: Target) -> JobProtocol:
        """Return the protocol for the jobs of a target, without a key."""
        if target not in self._protocols:
            provider = self._call.context.provider(target.provider)
            protocol = find_protocol(target.provider, self._work.endpoint)
            self._protocols[target] = protocol(JobHTTP(provider, None, self._call))
        return self._protocols[target]

    def next_job(self) -> PlannedJob | None:
        """Return the next job, None if no row is left, none fits the budget, or the planner is paused."""
        self.over_budget = None
        if self.goes_live:
            self.read_all()
            self.live += self._ready
            self._ready.clear()
            return None
        protocol = self.protocol_of(self.target)
        draft = self._draft or _Draft(self.target, protocol)
        self._draft = draft
        while self._add_row(draft, protocol):
            if self.is_paused:
                return None
        if not draft.rows:
            self._take_back()
            return None
        self._draft = None
        return draft.finish()

    def _add_row(self, draft: _Draft, protocol: JobProtocol) -> bool:
        """Add the next row to a job, unless it has an outcome; return False if the job is full or no row is left."""
        if len(draft.rows) >= (1 if self.goes_alone else self.job_rows):
            return False
        planned = self._next_row()
        if planned is None:
            # There may be more once the finished rows have been yielded.
            return self.is_paused
        lines = [] if self._is_cached(planned) else self._try_build(planned, draft.target, protocol)
        if not lines:
            return True
        n = len(draft.rows)
        built = [protocol.build_line(row_id(draft.nonce, n + i), line.encoded) for i, line in enumerate(lines)]
        own_size = sum(map(len, built)) + len(built)
        if own_size > protocol.max_bytes:
            self._finish_alone(planned, own_size - 1, protocol)
            return True
        size = draft.spool.size + own_size
        is_full = n + len(lines) > protocol.max_rows or size > protocol.max_bytes or (n > 0 and size > self._job_bytes)
        needed = draft.most.plus(self._work.highest_expense(planned, draft.target)) if self._budgets else draft.most
        if (n > 0 and is_full) or not self._fits(needed):
            self._ready.appendleft(planned)
            return False
        draft.most = needed
        for i, line in enumerate(lines):
            draft.spool.add(built[i])
            draft.rows.append(JobRow(n + i, planned.key, line.round, planned.tries))
        draft.planned.append(planned)
        return True

    def _take_back(self) -> None:
        """Take back the rows of a job that is not full yet, and delete its lines."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self._ready.extendleft(reversed(draft.planned))
            draft.spool.close()

    def drain(self, *, reads_on: bool = False) -> Iterator[Row]:
        """Yield the rows that were not sent: those already read, and the rest of the input if it is finite.

        With `reads_on`, rows of the rest that are answered, or in jobs, are not among them.
        """
        self._take_back()
        if reads_on and self._source.finite:
            self.read_all()
        unsent = list(self._ready)
        self._ready.clear()
        self._journal.release(planned.key for planned in unsent)
        yield from (planned.row for planned in unsent)
        if self._source.finite:
            yield from self._source.rows

    def shrink(self, job: JobRecord, keys: Sequence[bytes], error: ChatError) -> None:
        """Make the next jobs smaller than one whose body was too large; if that had one row, the row has no job."""
        if len(set(keys)) == 1:
            self._too_large[keys[0]] = error
        else:
            self._job_bytes = max(1, job.bytes // 2)

    def close(self) -> None:
        """Delete what is on disk."""
        self._take_back()
        self.waiting.close()

    def look_again(self, keys: Sequence[bytes]) -> None:
        """Look waiting rows up in the journal again: they may be answered, or free."""
        self._claim(self.waiting.take(keys), keeps_failures=True)

    def _fits(self, most: Expense) -> bool:
        for budget in self._budgets:
            if budget.is_exceeded_by(budget.reserved.plus(most)):
                self.over_budget = budget.exceeded()
                return False
        return True

    def _next_row(self) -> PlannedRow | None:
        while not self._ready and not self._is_exhausted and not self.is_paused:
            self._read()
        return self._ready.popleft() if self._ready else None

    def _read(self) -> None:
        rows: list[Row] = []
        try:
            rows.extend(islice(self._source.rows, _LOOKUPS))
        except ChatError as error:
            # The rows before it are still sent.
            self.failure = error
        self._is_exhausted = len(rows) < _LOOKUPS
        found: list[tuple[Row, bytes]] = []
        for row in rows:
            problem = row.error
            if problem is None:
                try:
                    found.append((row, self._work.fingerprint(row)))
                except ChatError as error:
                    problem = error
            if problem is not None:
                self.finished.append((row, problem))
        keys = self._journal.assign_keys(base for _, base in found)
        self._claim([(row, key) for (row, _), key in zip(found, keys)], keeps_failures=self._keeps_failures)

    def _claim(self, rows: list[tuple[Row, bytes]], *, keeps_failures: bool) -> None:
        """Claim rows in the journal; some are answered already, in a job, or failed in an earlier one."""
        keys = [key for _, key in rows]
        entries = self._journal.claim(keys)
        latest = self._journal.latest_rows(keys)
        drafts = self._journal.drafts(keys)
        for (row, key), entry in zip(rows, entries):
            last = latest.get(key)
            if isinstance(entry, Reply):
                entry.raw.extend(self._work.raw.pop(key, ()))
                self.finished.append((row, restore_outcome(entry, self._schema)))
            elif entry is not None:
                self.waiting[key] = row
            elif last is not None and last.state == RowState.FAILED and keeps_failures:
                # A run of several calls asks a row that failed again only once all of its jobs have ended.
                self._finish_failed(row, key, self._journal.parse_error(last.record) or ChatError("the row failed"))
            else:
                self._plan(row, key, last, drafts.get(key, {}))

    def _plan(self, row: Row, key: bytes, last: JobRow | None, drafts: Mapping[int, Reply]) -> None:
        """Plan a row for a job, or for a live call if it was not run in its last job."""
        state = None if last is None else last.state
        if drafts and state in (None, RowState.FAILED) and not self._work.keeps_drafts:
            # It starts from its first round again.
            self._journal.forget_drafts([key])
            drafts = {}
        is_unrun = last is not None and state == RowState.UNRUN
        planned = PlannedRow(row, key, last.tries + 1 if last is not None and is_unrun else 0, drafts)
        error = self._too_large.get(key)
        if self._late == "live" and (is_unrun or error is not None):
            self.live.append(planned)
        elif error is not None:
            self._finish_failed(row, key, error)
        else:
            self._ready.append(planned)

    def _is_cached(self, planned: PlannedRow) -> bool:
        """Return whether the cache has the answer of a row, which is then finished."""
        cached = self._work.find_cached(planned)
        if cached is not None:
            self._journal.write([(planned.key, cached)])
            self.finished.append((planned.row, cached))
        return cached is not None

    def _try_build(self, planned: PlannedRow, target: Target, protocol: JobProtocol) -> Sequence[RowLine]:
        """Return the lines of a row; none if it cannot be sent, and is finished."""
        try:
            return self._work.build_lines(planned, target, protocol)
        except ChatError as error:
            self._finish_failed(planned.row, planned.key, error)
            return []

    def _finish_alone(self, planned: PlannedRow, size: int, protocol: JobProtocol) -> None:
        if self._late == "live":
            self.live.append(planned)
            return
        error = ConfigurationError(
            f"{protocol.provider.name}: the row takes {size:,} bytes, and a job at most {protocol.max_bytes:,}; "
            "leave batch= out for it, or pass late='live'",
            provider=protocol.provider.name,
        )
        self._finish_failed(planned.row, planned.key, error)

    def _finish_failed(self, row: Row, key: bytes, error: ChatError) -> None:
        """Finish a row with an error; it is no longer claimed, so that a later call may send it."""
        self._journal.release([key])
        self.finished.append((row, error))
