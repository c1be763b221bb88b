"""Rows -> jobs: the body of each row on a line of a file, cut by the limits of the service and of the budget."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Callable, NamedTuple

from aichatkit._dataclasses import replace
from aichatkit.batch.rows import Row, Source
from aichatkit.batch.task_queue import FinishedRow, restore_outcome
from aichatkit.batch_jobs.http import JobHTTP
from aichatkit.batch_jobs.journal import JobJournal
from aichatkit.batch_jobs.lines import Spool, make_nonce, row_id
from aichatkit.batch_jobs.prices import highest_expense
from aichatkit.batch_jobs.protocols import find_protocol
from aichatkit.batch_jobs.protocols.base import FileJobProtocol, JobProtocol
from aichatkit.batch_jobs.records import JobRecord, JobRow, RowState
from aichatkit.batch_jobs.waiting_rows import DiskRows, MemoryRows, WaitingRows
from aichatkit.call.attempt import TargetAttempts, open_transport
from aichatkit.call.call import Call
from aichatkit.call.request import ProviderRequest, build_http_request, encode_body
from aichatkit.call.targets import Target
from aichatkit.errors import ChatError, ConfigurationError, SchemaError
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.cache import find_cached
from aichatkit.middleware.estimates import Expense
from aichatkit.middleware.fingerprints import fingerprint
from aichatkit.middleware.tool_rounds import repair_messages
from aichatkit.prompt_caching.policy import plan_for_job
from aichatkit.reply import Reply
from aichatkit.structured.forms import Form

__all__ = ["PlannedJob", "Planner", "RowRequest", "build_row"]

#: Rows per job unless the service takes fewer: a job that is lost or expires costs less, and progress is visible.
_JOB_ROWS = 10_000
#: Rows looked up in the journal at a time.
_LOOKUPS = 64
#: Rows with their outcomes that may wait in memory until they are yielded.
_MAX_FINISHED = 256


class RowRequest(NamedTuple):
    """The request of one row: what it asks, and the body that is sent."""

    request: ProviderRequest
    body: dict[str, Any]
    encoded: bytes


class PlannedRow(NamedTuple):
    """A row that is to go into a job; `replies` are its earlier answers, which did not fit the schema."""

    row: Row
    key: bytes
    tries: int = 0
    replies: Sequence[Reply] = ()


class PlannedJob(NamedTuple):
    """The rows of a job that is not in the journal yet, and their lines."""

    nonce: str
    target: Target
    rows: list[JobRow]
    planned: list[PlannedRow]
    spool: Spool
    most: Expense


def build_row(call: Call, target: Target, protocol: JobProtocol) -> RowRequest:
    """Return the request of a row.

    Raises:
        ConfigurationError: the service does not support an option of the call.
    """
    attempt = TargetAttempts(call, target, call.sleeper(), [])
    attempt.check()
    changes = () if call.strict else call.context.refused_params.get((target.provider.name, target.model), ())
    original = replace(attempt.request, changes=changes) if changes else attempt.request
    plan = plan_for_job(attempt.provider, target.model, original.messages, original.options)
    if plan is not None:
        original = replace(original, options=replace(original.options, cache=plan))
    http = open_transport(attempt.provider, None, call)
    request, http_request = build_http_request(original, http)
    body = protocol.adapt_body(http_request.json or {})
    http_request.json = body
    encoded = encode_body(http_request, request).data
    assert isinstance(encoded, bytes)
    return RowRequest(original, body, encoded)


class _Draft:
    """A job that is being filled."""

    def __init__(self, target: Target, *, joined: bool) -> None:
        self.nonce = make_nonce()
        self.target = target
        self.spool = Spool(joined=joined)
        self.rows: list[JobRow] = []
        self.planned: list[PlannedRow] = []
        self.most = Expense()

    def finish(self) -> PlannedJob:
        """Return the job."""
        return PlannedJob(self.nonce, self.target, self.rows, self.planned, self.spool, self.most)


class Planner:
    """Reads rows, finishes those that need no job, and collects the others until a job is full."""

    def __init__(
        self,
        source: Source,
        *,
        build_call: Callable[[object], Call],
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
        #: Lines of the results of rows that were collected here, for calls with `raw=True`.
        self.raw: dict[bytes, list[Any]] = {}
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
        self._job_bytes = math.inf
        #: Rows that a service found too large even in a job of their own, by their keys.
        self._too_large: dict[bytes, ChatError] = {}
        self._source = source
        self._build_call = build_call
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

    def call_of(self, planned: PlannedRow) -> Call:
        """Return the call of a row, with the turns that ask for a better answer."""
        call = self._build_call(planned.row.prompt)
        messages = list(call.messages)
        for reply in planned.replies:
            assert call.schema is not None
            try:
                call.schema.parse(reply)
            except SchemaError as error:
                messages += repair_messages(reply, error.message)
        return replace(call, messages=messages)

    def protocol_of(self, target: Target, call: Call) -> JobProtocol:
        """Return the protocol for the jobs of a target, without a key."""
        if target not in self._protocols:
            provider = call.context.provider(target.provider)
            self._protocols[target] = find_protocol(target.provider)(JobHTTP(provider, None, call))
        return self._protocols[target]

    def next_job(self) -> PlannedJob | None:
        """Return the next job, None if no row is left, none fits the budget, or the planner is paused."""
        self.over_budget = None
        if self.goes_live:
            self.read_all()
            self.live += self._ready
            self._ready.clear()
            return None
        protocol = self.protocol_of(self.target, self._build_call("?"))
        draft = self._draft or _Draft(self.target, joined=not isinstance(protocol, FileJobProtocol))
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
        if len(draft.rows) >= self.job_rows:
            return False
        planned = self._next_row()
        if planned is None:
            # There may be more once the finished rows have been yielded.
            return self.is_paused
        call, n = self._try_call(planned), len(draft.rows)
        built = None if call is None else self._try_build(planned, call, draft.target)
        if call is None or built is None:
            return True
        line = protocol.build_line(row_id(draft.nonce, n), built.encoded)
        if len(line) + 1 > protocol.max_bytes:
            self._finish_alone(planned, len(line), protocol)
            return True
        size = draft.spool.size + len(line) + 1
        is_full = n >= protocol.max_rows or size > protocol.max_bytes or (n > 0 and size > self._job_bytes)
        needed = draft.most.plus(highest_expense(call, draft.target)) if self._budgets else draft.most
        if is_full or not self._fits(needed):
            self._ready.appendleft(planned)
            return False
        draft.most = needed
        draft.spool.add(line)
        draft.rows.append(JobRow(n, planned.key, len(planned.replies) + 1, planned.tries))
        draft.planned.append(planned)
        return True

    def _take_back(self) -> None:
        """Take back the rows of a job that is not full yet, and delete its lines."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self._ready.extendleft(reversed(draft.planned))
            draft.spool.close()

    def drain(self) -> Iterator[Row]:
        """Yield the rows that were not sent: those already read, and the rest of the input if it is finite."""
        self._take_back()
        unsent = list(self._ready)
        self._ready.clear()
        self._journal.release(planned.key for planned in unsent)
        yield from (planned.row for planned in unsent)
        if self._source.finite:
            yield from self._source.rows

    def shrink(self, job: JobRecord, keys: Sequence[bytes], error: ChatError) -> None:
        """Make the next jobs smaller than one whose body was too large; if that had one row, the row has no job."""
        if len(keys) == 1:
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
                    found.append((row, fingerprint(self._build_call(row.prompt))))
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
                entry.raw.extend(self.raw.pop(key, ()))
                self.finished.append((row, restore_outcome(entry, self._schema)))
            elif entry is not None:
                self.waiting[key] = row
            elif last is not None and last.state == RowState.FAILED and keeps_failures:
                # A run of several calls asks a row that failed again only once all of its jobs have ended.
                self._finish_failed(row, key, self._journal.parse_error(last.record) or ChatError("the row failed"))
            else:
                self._plan(row, key, last, drafts.get(key, []))

    def _plan(self, row: Row, key: bytes, last: JobRow | None, drafts: Sequence[Reply]) -> None:
        """Plan a row for a job, or for a live call if it was not run in its last job."""
        state = None if last is None else last.state
        if drafts and state in (None, RowState.FAILED):
            # It starts from its first round again.
            self._journal.forget_drafts([key])
            drafts = ()
        is_unrun = last is not None and state == RowState.UNRUN
        planned = PlannedRow(row, key, last.tries + 1 if last is not None and is_unrun else 0, drafts)
        error = self._too_large.get(key)
        if self._late == "live" and (is_unrun or error is not None):
            self.live.append(planned)
        elif error is not None:
            self._finish_failed(row, key, error)
        else:
            self._ready.append(planned)

    def _try_call(self, planned: PlannedRow) -> Call | None:
        """Return the call of a row, None if the cache has its answer."""
        call = self.call_of(planned)
        cached = None if planned.replies else find_cached(call)
        if cached is None:
            return call
        self._journal.write([(planned.key, cached)])
        self.finished.append((planned.row, cached))
        return None

    def _try_build(self, planned: PlannedRow, call: Call, target: Target) -> RowRequest | None:
        try:
            return build_row(call, target, self.protocol_of(target, call))
        except ChatError as error:
            self._finish_failed(planned.row, planned.key, error)
            return None

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
