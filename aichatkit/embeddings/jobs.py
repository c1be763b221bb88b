"""Texts -> vectors in batch jobs: a line for each text, the journal of `embed`, and live requests for the rest."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from aichatkit._dataclasses import dataclass, replace
from aichatkit.batch.base_run import BaseRun
from aichatkit.batch.progress import Progress
from aichatkit.batch.rows import Row, Source
from aichatkit.batch.task_queue import FinishedRow
from aichatkit.batch_jobs.job import Job
from aichatkit.batch_jobs.journal import Finding, has_jobs
from aichatkit.batch_jobs.planner import Planner
from aichatkit.batch_jobs.protocols import EMBEDDINGS, find_protocol
from aichatkit.batch_jobs.protocols.base import JobProtocol
from aichatkit.batch_jobs.records import FINAL, JobRecord, JobRow, RowResult, RowState
from aichatkit.batch_jobs.run import JobRun
from aichatkit.batch_jobs.run_options import JobRunOptions, check_options, parse_wait, wall_clock
from aichatkit.batch_jobs.work import PlannedRow, RowLine, RowWork
from aichatkit.call.call import Call
from aichatkit.call.targets import Target
from aichatkit.catalog.tokens import estimate_tokens
from aichatkit.chunks import Usage
from aichatkit.embeddings.answers import read_vectors
from aichatkit.embeddings.job_store import VectorJobJournal
from aichatkit.embeddings.run import EmbeddingRun, RunSettings, Text
from aichatkit.embeddings.services import EmbeddingService
from aichatkit.embeddings.store import Stored, write_cache
from aichatkit.embeddings.vectors import Embeddings
from aichatkit.embeddings.wires import WIRES, EmbeddingOptions, build_request
from aichatkit.errors import BatchPendingError, ChatError, ConfigurationError
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.estimates import Expense
from aichatkit.reply import Reply

__all__ = ["EmbeddingJobRun", "EmbeddingWork", "JobPlan", "check_jobs", "has_jobs", "make_run", "share_of"]

_UNIT = 1_000_000
#: What counts of an estimated text may fall short, as a factor.
_MARGIN = 1.1


class EmbeddingWork(RowWork):
    """Rows that are texts; their indexes are their keys. `price` is in US dollars per million tokens."""

    endpoint = EMBEDDINGS

    def __init__(
        self,
        call: Call,
        service: EmbeddingService,
        options: EmbeddingOptions,
        *,
        width: int | None,
        normalize: bool,
        price: float | None,
    ) -> None:
        super().__init__()
        self._call = call
        self._service = service
        self._options = options
        self._width = width
        self._normalize = normalize
        self._price = price

    def fingerprint(self, row: Row) -> bytes:
        key = row.index
        assert isinstance(key, bytes)
        return key

    def build_lines(self, planned: PlannedRow, target: Target, protocol: JobProtocol) -> Sequence[RowLine]:
        texts = [planned.row.prompt]
        request = build_request(protocol.provider, self._service, target.model, texts, self._options, {})
        return [RowLine(1, json.dumps(protocol.adapt_body(dict(request.json or {}))).encode())]

    def highest_expense(self, planned: PlannedRow, target: Target) -> Expense:
        tokens = round(estimate_tokens(planned.row.prompt) * _MARGIN) + 1
        share = price_share(self._call, target, find_protocol(target.provider, EMBEDDINGS))
        return Expense(tokens * (self._price or 0.0) * (1.0 if share is None else share) / _UNIT, tokens)

    def read(
        self,
        job: JobRecord,
        row: JobRow,
        result: RowResult,
        *,
        protocol: JobProtocol,
        drafts: Mapping[int, Reply],
        waiting: Row | None,
    ) -> Finding:
        provider, wire = protocol.provider, WIRES[self._service.wire]
        width, normalize = self._width, self._normalize
        (vector,), tokens = read_vectors(result.body, wire, provider, job.model, 1, width=width, normalize=normalize)
        # All vectors of a journal have the same width.
        self._width = len(vector) // 4
        share = price_share(self._call, self._call.targets[0], protocol)
        is_known = None not in (tokens, self._price, share)
        cost = (tokens or 0) * (self._price or 0.0) * (share or 0.0) / _UNIT if is_known else None
        usage = Usage(input_tokens=tokens, total_tokens=tokens)
        reply = Reply("", provider.name, job.model, usage=usage, cost=cost, data=Stored(vector, tokens, share))
        return Finding(row, RowState.ANSWERED, reply, None, cost)


def share_of(call: Call, target: Target) -> float | None:
    """Return the share of the usual price that jobs at a target cost; raise ConfigurationError if it has none."""
    return price_share(call, target, find_protocol(target.provider, EMBEDDINGS))


def price_share(call: Call, target: Target, protocol: JobProtocol | type[JobProtocol]) -> float | None:
    """Return the share of the usual price that jobs cost: by the price table, else as the service documents it."""
    share = (call.context.record(target) or {}).get("batch")
    if isinstance(share, (int, float)):
        return float(share)
    return protocol.price_factor


@dataclass(frozen=True)
class JobPlan:
    """What `embed` asks of batch jobs; `expected` are the width of vectors, None if not known, and `normalize`."""

    client: Any
    call: Call
    options: EmbeddingOptions
    expected: Mapping[str, Any]
    resume: Any
    wait: bool | float
    late: str


def check_jobs(target: Target, *, wait: Any, late: Any, resume: Any, executor: Any) -> None:
    """Raise ConfigurationError if texts cannot be embedded in batch jobs, or an option is invalid."""
    find_protocol(target.provider, EMBEDDINGS)
    parse_wait(wait)
    check_options(late=late, resume=resume, executor=executor)


def make_run(source: Source, settings: RunSettings, plan: JobPlan, *, sends: bool) -> EmbeddingRun:
    """Return the run that embeds texts in batch jobs, or live what is not in jobs that were sent before."""
    if sends:
        return EmbeddingJobRun(source, settings, plan)
    collecting = _job_run(Source(iter(()), 0), replace(settings, budget=None), plan, None)
    with contextlib.closing(iter(collecting)) as outcomes:
        deque(outcomes, maxlen=0)
    return EmbeddingRun(source, replace(settings, journal=VectorJobJournal(plan.resume, settings.identity)))


class EmbeddingJobRun(EmbeddingRun):
    """One run of `embed` in batch jobs."""

    def __init__(self, source: Source, settings: RunSettings, plan: JobPlan) -> None:
        rows = Source(self._job_rows(), size=source.size, finite=source.finite, count=source.count)
        self._run = _job_run(rows, settings, plan, self._ask_live)
        # It is closed by the run of the jobs.
        journal = self._run.journal
        assert isinstance(journal, VectorJobJournal)
        super().__init__(source, replace(settings, journal=journal))
        self._executor: Any = None

    def _embeddings(self) -> Embeddings:
        embeddings = super()._embeddings()
        embeddings.jobs = list(self._run.jobs)
        embeddings.interrupted = self._run.interrupted
        return embeddings

    def _ask_live(self, rows: Sequence[PlannedRow]) -> BaseRun:
        return _LiveTexts(self, self._executor, rows)

    def _pending(self, keys: Sequence[bytes]) -> Mapping[bytes, ChatError]:
        return {}

    def _send_all(self, executor: Any) -> None:
        self._executor = executor
        for row, outcome in self._run:
            self._take(row.index, outcome)
        if self._run.stopped is not None:
            self._stop(self._run.stopped)

    def _job_rows(self) -> Iterator[Row]:
        for number, text in enumerate(self._new_texts()):
            yield Row(number, text.key, text.text)

    def _take(self, key: bytes, outcome: Reply | ChatError) -> None:
        if isinstance(outcome, ChatError):
            if not isinstance(outcome, BatchPendingError) and outcome is not self._run.stopped:
                outcome.message += f" (row {self._rows.index(key)})"
                outcome.args = (outcome.message,)
                if self._settings.raises:
                    self._stop(outcome)
                    self._run.stop()
            self._outcomes[key] = outcome
            return
        stored = outcome.data
        if not isinstance(stored, Stored):
            # It was sent live, and is kept.
            return
        self._check_width(stored)
        self._keep([(key, stored)])
        if self._settings.cache is not None:
            write_cache(self._settings.cache, self._settings.url, [(key, stored)])

    def send_live(self, executor: Any, texts: Iterable[Text]) -> ChatError | None:
        """Send texts as ordinary requests; return the error that ended that, None if all were sent."""
        self._send_texts(executor, texts)
        self._drain()
        return self._failure

    def stop_sending(self, error: ChatError) -> None:
        """Send no further request."""
        self._stop(error)

    def outcome_of(self, key: bytes) -> bytes | ChatError | None:
        """Return the vector or the error of a text, None if it was not sent."""
        return self._outcomes[key]


class _LiveTexts(BaseRun):
    """The run that sends texts live which no job takes."""

    def __init__(self, owner: EmbeddingJobRun, executor: Any, rows: Sequence[PlannedRow]) -> None:
        super().__init__(Progress(False, 0, {}), raise_on_error=False)
        self._owner = owner
        self._executor = executor
        self._rows = rows

    def __iter__(self) -> Generator[FinishedRow, None, None]:
        rows = [planned.row for planned in self._rows]
        texts = (Text(row.index, row.prompt, estimate_tokens(row.prompt)) for row in rows)
        failure = self._owner.send_live(self._executor, texts)
        if failure is not None:
            self._stop_with(failure)
        unsent = failure or ChatError("not sent: the run ended before")
        for row in rows:
            outcome = self._owner.outcome_of(row.index)
            yield row, Reply("", "", "") if isinstance(outcome, bytes) else outcome or unsent

    def stop(self) -> None:
        """Do nothing: a request that was sent is waited for."""

    def _stop_on_interrupt(self) -> None:
        error = ChatError("stopped with Ctrl-C; the same call sends the rest")
        self._stop_with(error)
        self._owner.stop_sending(error)


def _job_run(
    source: Source, settings: RunSettings, plan: JobPlan, ask_live: Callable[[Sequence[PlannedRow]], BaseRun] | None
) -> JobRun:
    """Return the run that advances the jobs; without `ask_live`, it sends none."""
    budgets = [] if settings.budget is None else [settings.budget]
    if settings.price is None and any(budget.money is not None for budget in budgets):
        name = f"{settings.provider}/{settings.model}"
        raise ConfigurationError(f"budget: the price of {name} is not known; pass prices={{{name!r}: (in, 0)}}")
    call, sends = plan.call, ask_live is not None
    journal = VectorJobJournal(plan.resume, settings.identity)
    work = EmbeddingWork(call, settings.service, plan.options, price=settings.price, **plan.expected)
    planner = Planner(
        source,
        work=work,
        call=call,
        targets=call.targets,
        journal=journal,
        schema=None,
        budgets=budgets,
        keeps_failures=sends and any(job.state not in FINAL for job in journal.jobs()),
        late=plan.late,
    )
    runs: list[JobRun] = []
    bar = Progress(
        None if sends else False,
        source.count,
        {"next look": lambda: runs[0].next_look() if runs else 0.0},
        {"jobs": lambda: runs[0].notes() if runs else ""},
    )
    options = JobRunOptions(
        call=call,
        work=work,
        journal=journal,
        budgets=budgets,
        run_budget=Budget(),
        progress=bar,
        raise_on_error=False,
        wait=parse_wait(plan.wait) if sends else 0.0,
        late=plan.late,
        make_job=partial(Job.of, path=journal.path, client=plan.client),
        ask_live=ask_live,
        sends=sends,
        clock=wall_clock(call.policy),
    )
    run = JobRun(planner, options)
    runs.append(run)
    return run
