"""Outcomes -> results: aligned with the input, in its order or as they come."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, overload

from aichatkit._dataclasses import dataclass, field, field_names
from aichatkit.batch import tables
from aichatkit.batch.result_store import ResultStore
from aichatkit.batch.rows import Row
from aichatkit.batch.task_queue import Finished, Outcome, restore_outcome
from aichatkit.chunks import Usage
from aichatkit.display import markup, reprs
from aichatkit.errors import ChatError, JournalError
from aichatkit.middleware.tool_rounds import Form
from aichatkit.reply import Reply

__all__ = ["Result", "Results"]


@dataclass(frozen=True)
class Result:
    """One row: its place and label in the input, its prompt, and its reply or its error."""

    position: int
    index: Any
    prompt: Any
    reply: Reply | None = None
    error: ChatError | None = None
    fields: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def text(self) -> str | None:
        """The text of the answer, None where there is none."""
        return None if self.reply is None else self.reply.text

    @property
    def data(self) -> Any:
        """What the answer is as the schema's type, None where there is none."""
        return None if self.reply is None else self.reply.data

    @property
    def usage(self) -> Usage:
        """The tokens it took."""
        return Usage() if self.reply is None else self.reply.usage

    @property
    def cost(self) -> float | None:
        """What it cost in US dollars, None where that is not known."""
        return None if self.reply is None else self.reply.cost


class RunState(Protocol):
    """What is asked of a run that may be over."""

    stopped: ChatError | None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run."""

    def listening(self) -> AbstractContextManager[None]:
        """Take Ctrl-C for the end of the run."""


class ActiveRun(RunState, Protocol):
    """A run that goes on as it is iterated over."""

    def leave(self) -> None:
        """Ask no more rows."""

    def __iter__(self) -> Generator[Finished, None, None]: ...


class Results(Sequence[Result]):
    """What came of every row, in the order of the input: `results[3].text`, `results[3].error`.

    With `as_completed=True` the first loop over it yields the rows as they come; everything else waits for the end.
    `stopped` tells why rows were not asked, None where all were.
    """

    def __init__(
        self,
        run: ActiveRun,
        shelf: ResultStore,
        *,
        form: Form | None = None,
        table: Any = None,
        as_completed: bool = False,
    ) -> None:
        self._run: RunState = run
        self._going: ActiveRun | None = run
        self._shelf = shelf
        self._form = form
        self._table = table
        self._live = as_completed
        self._trouble: JournalError | None = None
        self._coming: Generator[Finished, None, None] | None = run.__iter__()

    def __iter__(self) -> Iterator[Result]:
        if self._live:
            self._live = False
            return self._come()
        return map(self._at, range(len(self)))

    def __len__(self) -> int:
        self.finish()
        return len(self._shelf)

    @overload
    def __getitem__(self, position: int) -> Result: ...

    @overload
    def __getitem__(self, position: slice) -> list[Result]: ...

    def __getitem__(self, position: int | slice) -> Result | list[Result]:
        places = range(len(self))[position]
        return [self._at(place) for place in places] if isinstance(places, range) else self._at(places)

    def __repr__(self) -> str:
        if self._coming is not None:
            return f"<Results, {len(self._shelf)} so far>"
        failed = sum(result.error is not None for result in self)
        return f"<Results of {len(self)} rows, {failed} failed>"

    def _repr_html_(self) -> str:
        # What is still under way is not waited for.
        return f"<p>{markup.escape(self)}</p>" if self._coming is not None else reprs.results_html(self)

    @property
    def stopped(self) -> ChatError | None:
        """Why rows were not asked, None where all were."""
        self.finish()
        return self._run.stopped

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run."""
        self.finish()
        return self._run.interrupted

    @property
    def text(self) -> list[str | None]:
        """The texts of all rows, None where a row failed."""
        return [result.text for result in self._ordered()]

    @property
    def data(self) -> list[Any]:
        """The data of all rows, where a schema was given; None where a row failed."""
        return [result.data for result in self._ordered()]

    @property
    def errors(self) -> list[ChatError | None]:
        """The errors of all rows, None where a row was answered."""
        return [result.error for result in self._ordered()]

    @property
    def failed(self) -> list[Result]:
        """The rows that were not answered."""
        return [result for result in self._ordered() if result.error is not None]

    @property
    def usage(self) -> Usage:
        """The tokens of all answers, as far as the services told them."""
        usages = [result.usage for result in self._ordered()]
        columns = {name: [getattr(usage, name) for usage in usages] for name in field_names(Usage)}
        told = {name: [count for count in counts if count is not None] for name, counts in columns.items()}
        return Usage(**{name: sum(counts) if counts else None for name, counts in told.items()})

    @property
    def cost(self) -> float | None:
        """What all answers cost in US dollars, None where the cost of one is not known."""
        costs = [result.cost for result in self._ordered() if result.reply is not None]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def finish(self) -> Results:
        """Run to the end and return these results; an error that ends the run has them as `error.results`."""
        with self._run.listening():
            for _ in self._come():
                pass
        return self

    def save(self, path: Any) -> None:
        """Write columns of the input, answers and errors to a CSV or JSON lines file, whole or not at all."""
        tables.save(path, self._records)

    def to_frame(self) -> Any:
        """Return the input with columns for the answers: a polars frame where it was one, else a pandas frame."""
        return tables.build_frame(self._table, self._records, [result.index for result in self._ordered()])

    def close(self) -> None:
        """End a run that was left early; what is under way is finished first."""
        if self._going is not None:
            self._going.leave()
            self.finish()

    def _come(self) -> Iterator[Result]:
        """Go on with the run, and yield each row when it is kept."""
        while self._coming is not None and self._going is not None:
            try:
                row, outcome = next(self._coming)
            except StopIteration:
                self._coming = self._going = None
                if self._trouble is not None:
                    raise self._trouble from None
                return
            except ChatError as error:
                self._coming = self._going = None
                error.results = self  # type: ignore[attr-defined]
                raise
            try:
                self._shelf.put(row, outcome)
            except JournalError as error:
                # It is held in memory until the run has ended in good order.
                self._trouble = self._trouble or error
                self._trouble.results = self  # type: ignore[attr-defined]
                self._going.leave()
            yield self._result(row, outcome)

    def _ordered(self) -> Iterator[Result]:
        return map(self._at, range(len(self)))

    def _records(self) -> Iterator[tables.Record]:
        for result in self._ordered():
            yield result.fields, result.prompt, tables.outcome_columns(result.reply, result.error)

    def _at(self, position: int) -> Result:
        return self._result(*self._shelf.get(position))

    def _result(self, row: Row, outcome: Outcome) -> Result:
        if isinstance(outcome, Reply) and outcome.data is None:
            outcome = restore_outcome(outcome, self._form)
        reply, error = (outcome, None) if isinstance(outcome, Reply) else (None, outcome)
        return Result(row.position, row.index, row.prompt, reply, error, row.fields)

    def __getstate__(self) -> dict[str, Any]:
        self.finish()
        return {**self.__dict__, "_run": FinishedRun(self._run.stopped, self._run.interrupted)}


@dataclass(frozen=True)
class FinishedRun:
    """What is left of a run that is over."""

    stopped: ChatError | None
    interrupted: bool

    def listening(self) -> AbstractContextManager[None]:
        """Leave Ctrl-C alone."""
        return nullcontext()
