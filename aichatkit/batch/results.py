"""Outcomes -> results: aligned with the input, in input order or in order of completion."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, overload

from aichatkit._dataclasses import dataclass, field
from aichatkit.batch import tables
from aichatkit.batch.base_run import BaseRun
from aichatkit.batch.result_store import ResultStore
from aichatkit.batch.rows import Row
from aichatkit.batch.task_queue import FinishedRow, Outcome, restore_outcome
from aichatkit.chunks import Usage
from aichatkit.display import markup, reprs
from aichatkit.errors import BatchPendingError, ChatError, JournalError
from aichatkit.reply import Reply, sum_known, sum_usage
from aichatkit.structured.forms import Form

if TYPE_CHECKING:
    from aichatkit.batch_jobs.job import Job

__all__ = ["Result", "Results"]


@dataclass(frozen=True)
class Result:
    """One row of a batch: its prompt, and its reply or error; one of these two is None.

    `position` counts the rows of the input from 0. `index` is the row's label: its index in a pandas frame, its key in
    a dict, otherwise its position. `fields` holds the row's columns, None if the input has none.
    """

    position: int
    index: Any
    prompt: Any
    reply: Reply | None = None
    error: ChatError | None = None
    fields: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def text(self) -> str | None:
        """The text of the reply, None if the row failed."""
        return None if self.reply is None else self.reply.text

    @property
    def data(self) -> Any:
        """The structured output, as the type passed as `schema`; None without one, or if the row failed."""
        return None if self.reply is None else self.reply.data

    @property
    def usage(self) -> Usage:
        """The token usage; all counts are None if the row failed."""
        return Usage() if self.reply is None else self.reply.usage

    @property
    def cost(self) -> float | None:
        """The cost in US dollars, None if it is unknown or the row failed."""
        return None if self.reply is None else self.reply.cost

    @property
    def saved(self) -> float | None:
        """What prompt caching saved in US dollars, None if it is unknown or the row failed."""
        return None if self.reply is None else self.reply.saved


class RunState(Protocol):
    """What `Results` needs of a run, active or finished."""

    stopped: ChatError | None
    unasked: int
    #: The batch jobs of the run.
    jobs: Sequence[Job]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C stopped the run."""

    def handling_interrupts(self) -> AbstractContextManager[None]:
        """Let Ctrl-C stop the run instead of raising KeyboardInterrupt."""


class Results(Sequence[Result]):
    """The results of `map`, one `Result` per row in input order: `results[3].text`, `results[3].error`.

    With `as_completed=True`, the first loop yields rows as they complete; everything else waits for the run to finish.
    """

    def __init__(
        self,
        run: BaseRun,
        store: ResultStore,
        *,
        schema: Form | None = None,
        table: Any = None,
        as_completed: bool = False,
    ) -> None:
        self._run: RunState = run
        self._active_run: BaseRun | None = run
        self._store = store
        self._schema = schema
        self._table = table
        self._is_live = as_completed
        #: Rows that `finish` has received and the first loop has not; None without such a loop, or after it.
        self._overtaken: deque[int] | None = deque() if as_completed else None
        self._store_error: JournalError | None = None
        self._outcomes: Generator[FinishedRow, None, None] | None = run.__iter__()

    def __iter__(self) -> Iterator[Result]:
        if self._is_live and self._overtaken is not None:
            self._is_live = False
            return self._iter_completed(self._overtaken)
        return map(self._result_at, range(len(self)))

    def __len__(self) -> int:
        self.finish()
        return len(self._store)

    @overload
    def __getitem__(self, position: int) -> Result: ...

    @overload
    def __getitem__(self, position: slice) -> list[Result]: ...

    def __getitem__(self, position: int | slice) -> Result | list[Result]:
        positions = range(len(self))[position]
        if isinstance(positions, range):
            return [self._result_at(each) for each in positions]
        return self._result_at(positions)

    def __repr__(self) -> str:
        if self._outcomes is not None:
            return f"<Results, {len(self._store)} so far>"
        pending = self.pending
        failed = sum(result.error is not None for result in self._iter_results()) - self._run.unasked - pending
        waiting = f", {pending} pending in batch jobs" if pending else ""
        unasked = f", {self._run.unasked} not asked" if self._run.unasked else ""
        return f"<Results of {len(self)} rows, {failed} failed{waiting}{unasked}>"

    def _repr_html_(self) -> str:
        # Displaying must not wait for a run that is still in progress.
        return (
            f"<p>{markup.escape(self)}</p>"
            if self._outcomes is not None
            else reprs.results_html(self, self._run.unasked)
        )

    @property
    def stopped(self) -> ChatError | None:
        """The error that ended the run before every row was sent, None if all rows were sent."""
        self.finish()
        return self._run.stopped

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C stopped the run."""
        self.finish()
        return self._run.interrupted

    @property
    def jobs(self) -> list[Job]:
        """The batch jobs that have rows of this run, as they are when it ends; empty without `batch=True`."""
        self.finish()
        return list(self._run.jobs)

    @property
    def pending(self) -> int:
        """The number of rows in batch jobs that have not ended; the error of such a row is a BatchPendingError."""
        return sum(isinstance(result.error, BatchPendingError) for result in self._iter_results())

    @property
    def text(self) -> list[str | None]:
        """The reply text of each row, None for rows that failed."""
        return [result.text for result in self._iter_results()]

    @property
    def data(self) -> list[Any]:
        """The structured output of each row, None for rows that failed; without `schema=`, None for all."""
        return [result.data for result in self._iter_results()]

    @property
    def errors(self) -> list[ChatError | None]:
        """The error of each row, None for rows that were answered."""
        return [result.error for result in self._iter_results()]

    @property
    def failed(self) -> list[Result]:
        """The rows that failed or were not sent."""
        return [result for result in self._iter_results() if result.error is not None]

    @property
    def usage(self) -> Usage:
        """The total token usage, as far as providers reported it; a count that none reported is None."""
        return sum_usage(result.usage for result in self._iter_results())

    @property
    def cost(self) -> float | None:
        """The total cost in US dollars, None if the cost of any reply is unknown."""
        return sum_known(result.cost for result in self._iter_results() if result.reply is not None)

    @property
    def saved(self) -> float | None:
        """What prompt caching saved in total, in US dollars; None if it is unknown for any reply."""
        return sum_known(result.saved for result in self._iter_results() if result.reply is not None)

    def finish(self) -> Results:
        """Wait for the run to finish and return these results.

        An error that ends the run has them as `error.results`.
        """
        with self._run.handling_interrupts():
            for result in self._advance():
                if self._overtaken is not None:
                    self._overtaken.append(result.position)
        return self

    def save(self, path: Any, *, escape_formulas: bool = False, bom: bool = False) -> None:
        """Write input columns, answers, errors, tokens and cost to a .csv, .tsv, .jsonl or .ndjson file, atomically.

        For spreadsheets, `escape_formulas` puts an apostrophe before text that could be run as a formula, and `bom`
        begins the file with a byte order mark, by which Excel detects UTF-8.
        """
        tables.save(path, self._iter_records, escape_formulas=escape_formulas, bom=bom)

    def to_frame(self) -> Any:
        """Return the input with the columns that `save` adds: a polars frame if it was one, else a pandas frame."""
        return tables.build_frame(self._table, self._iter_records, [result.index for result in self._iter_results()])

    def close(self) -> None:
        """End the run; requests in progress are finished first."""
        if self._active_run is not None:
            self._active_run.stop()
            self.finish()

    def _iter_completed(self, overtaken: deque[int]) -> Iterator[Result]:
        """Yield rows as they complete, then those that completed while something else waited for the run.

        `list` is an example: it takes the length first.
        """
        yield from self._advance()
        while overtaken:
            yield self._result_at(overtaken.popleft())
        self._overtaken = None

    def _advance(self) -> Iterator[Result]:
        """Advance the run and yield each row once it is stored."""
        while self._outcomes is not None and self._active_run is not None:
            try:
                row, outcome = next(self._outcomes)
            except StopIteration:
                self._outcomes = self._active_run = None
                if self._store_error is not None:
                    raise self._store_error from None
                return
            except ChatError as error:
                self._outcomes = self._active_run = None
                error.results = self  # type: ignore[attr-defined]
                raise
            try:
                self._store.put(row, outcome)
            except JournalError as error:
                # The result stays in memory; the error is raised once the rows in flight are finished.
                self._store_error = self._store_error or error
                self._store_error.results = self  # type: ignore[attr-defined]
                self._active_run.stop()
            yield self._result(row, outcome)

    def _iter_results(self) -> Iterator[Result]:
        return map(self._result_at, range(len(self)))

    def _iter_records(self) -> Iterator[tables.Record]:
        for result in self._iter_results():
            yield (
                result.fields,
                result.prompt,
                tables.outcome_columns(result.reply, result.error, getattr(self._schema, "columns", ())),
            )

    def _result_at(self, position: int) -> Result:
        return self._result(*self._store.get(position))

    def _result(self, row: Row, outcome: Outcome) -> Result:
        if isinstance(outcome, Reply) and outcome.data is None:
            outcome = restore_outcome(outcome, self._schema)
        reply, error = (outcome, None) if isinstance(outcome, Reply) else (None, outcome)
        return Result(row.position, row.index, row.prompt, reply, error, row.fields)

    def __getstate__(self) -> dict[str, Any]:
        self.finish()
        return {
            **self.__dict__,
            "_run": FinishedRun(self._run.stopped, self._run.unasked, self._run.interrupted, self.jobs),
        }


@dataclass(frozen=True)
class FinishedRun:
    """The picklable state of a finished run."""

    stopped: ChatError | None
    unasked: int
    interrupted: bool
    jobs: Sequence[Job] = ()

    def handling_interrupts(self) -> AbstractContextManager[None]:
        """Leave the SIGINT handler unchanged."""
        return nullcontext()
