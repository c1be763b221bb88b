"""Many rows -> outcomes: limited concurrency, rate limits and budgets; journaled before they are yielded."""

from __future__ import annotations

import contextlib
import queue
import secrets
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from functools import partial
from itertools import count
from typing import Any, Callable

from aichatkit._dataclasses import dataclass
from aichatkit._reasons import reason_of
from aichatkit.batch.base_run import BaseRun
from aichatkit.batch.journal import Journal
from aichatkit.batch.progress import Progress
from aichatkit.batch.task_queue import FinishedRow, Outcome, Task, TaskQueue
from aichatkit.batch.workers import BoundAsk, ThreadWorkers, answer_row
from aichatkit.errors import (
    AllProvidersFailedError,
    AuthenticationError,
    BudgetExceededError,
    ChatError,
    ConfigurationError,
    JournalError,
    MissingKeyError,
    ModelNotFoundError,
    QuotaExceededError,
    RateLimitError,
)
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.estimates import Expense
from aichatkit.prompt_caching.runs import RunCache
from aichatkit.reply import Reply

__all__ = ["BatchRun", "RunOptions"]

#: How often a row is sent again after it hit a rate limit despite all waits.
_MAX_RATE_LIMITS = 5
#: How often a row is sent again after its worker died.
_MAX_WORKER_DEATHS = 2
#: How many executors may break in succession and be replaced.
_MAX_BROKEN_EXECUTORS = 3
#: The exception Dask raises once workers died too often; before that, it retries on its own.
_DASK_WORKER_DIED = "KilledWorker"
#: Errors that every other row would run into as well.
_FATAL = (QuotaExceededError, AuthenticationError, MissingKeyError, ModelNotFoundError, BudgetExceededError)


@dataclass(frozen=True)
class RunOptions:
    """How a batch runs.

    `make_executor` is None for our own threads. `owns_executor` is False if it returns an executor that belongs to the
    user, which is neither replaced nor shut down.
    """

    ask: BoundAsk
    workers: int
    journal: Journal | None
    budgets: Sequence[Budget]
    progress: Progress
    raise_on_error: bool
    max_wait: float
    make_executor: Callable[[], Any] | None = None
    owns_executor: bool = True
    #: The beginning that rows share, and how rows are sent if it is to be cached.
    cache: RunCache | None = None
    ask_cached: BoundAsk | None = None


class BatchRun(BaseRun):
    """One run of `map`: iterating advances it and yields outcomes as rows complete."""

    def __init__(self, tasks: TaskQueue, options: RunOptions) -> None:
        super().__init__(options.progress, raise_on_error=options.raise_on_error)
        self._queue = tasks
        self._options = options
        #: Futures that are done; None wakes up the main thread.
        self._completed: queue.SimpleQueue[tuple[Task, Future[Any]] | None] = queue.SimpleQueue()
        self._run_id = secrets.token_hex(8)
        self._tickets = count()
        self._in_flight = 0
        #: Number of rows that are sent again after their worker died; while there are any, rows are sent one at a time.
        self._suspected = 0
        self._broken_executors = 0
        #: The row that goes alone, until its answer begins, so that the others can read its beginning from the cache.
        self._first: Task | None = None
        self._journal = options.journal
        self._executor: Any = None

    def __iter__(self) -> Generator[FinishedRow, None, None]:
        try:
            self._options.progress.start()
            while True:
                with self.handling_interrupts():
                    self._submit_ready()
                    pending = self._in_flight or (self._queue.waits_for_others and self.stopped is None)
                    if pending and not self._queue.finished:
                        self._collect()
                yield from self._emit()
                if not pending and not self._queue.finished and (self._queue.is_exhausted or self.stopped is not None):
                    break
            stopped = self.stopped
            if stopped is not None:
                for row in self._queue.drain():
                    self.unasked += row.error is None
                    yield row, row.error or stopped
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Send no more rows; those in flight are finished."""
        self._stop_with(ChatError("not sent: the run was closed"))

    def _stop_on_interrupt(self) -> None:
        self._stop_with(ChatError("not sent: the run was stopped with Ctrl-C"))
        self._completed.put(None)

    def _submit_ready(self) -> None:
        while self.stopped is None and self._in_flight < self._max_in_flight():
            task = self._queue.next()
            if task is None and self._queue.failure is not None and not self._queue.waits_for_others:
                self._fail(self._queue.failure)
            if task is None or not self._reserve_budget(task):
                return
            self._submit(task)

    def _max_in_flight(self) -> int:
        cache = self._options.cache
        goes_alone = self._suspected or self._first is not None or (cache is not None and cache.is_cold)
        return 1 if goes_alone else self._options.workers

    def _choose_ask(self, task: Task) -> BoundAsk:
        """Return how to send a row: with its beginning marked for the cache, unless nothing is left to read it."""
        cache, ask = self._options.cache, task.ask or self._options.ask
        if cache is None:
            return ask
        is_cold = cache.is_cold
        if is_cold and cache.head.is_certain and not self._queue.has_more():
            return ask
        ask = self._options.ask_cached or ask
        if not is_cold:
            return ask
        self._first = task
        # Other executors tell only when a row has ended.
        return (
            ask if self._options.make_executor else BoundAsk(partial(ask.ask, on_begun=self._note_begun), ask.options)
        )

    def _note_begun(self) -> None:
        """Let the other rows follow the first one; called from its thread."""
        assert self._options.cache is not None
        self._first = None
        self._options.cache.note_begun()
        self._completed.put(None)

    def _note_finished(self, task: Task, outcome: Any) -> None:
        cache = self._options.cache
        if cache is None:
            return
        if isinstance(outcome, Reply):
            cache.note_answered(is_first=task is self._first)
        elif task is self._first:
            cache.note_failed()
        self._first = None if task is self._first else self._first

    def _reserve_budget(self, task: Task) -> bool:
        """Reserve what a row may cost; if that does not fit, wait for rows in flight, or stop if there are none."""
        for budget in self._options.budgets:
            reserved = budget.reserve(task.expected, task.highest)
            if reserved is None:
                self._settle(task, Expense())
                self._queue.requeue_first(task)
                if not self._in_flight:
                    self._stop_with(budget.exceeded())
                return False
            task.reserved.append(reserved)
        return True

    def _submit(self, task: Task) -> None:
        try:
            if self._executor is None:
                self._executor = (self._options.make_executor or self._make_threads)()
            ticket = f"{self._run_id}:{next(self._tickets)}"
            ask = self._choose_ask(task)
            future = self._executor.submit(answer_row, ask, task.row.prompt, ticket)
        except BrokenExecutor as error:
            self._settle(task, Expense())
            self._queue.requeue_first(task)
            self._replace_executor(error)
            return
        except RuntimeError as error:
            self._settle(task, Expense())
            self._queue.requeue_first(task)
            self._fail(ConfigurationError(f"executor: it takes no more rows ({error})", reason=reason_of(error)))
            return
        self._in_flight += 1
        future.add_done_callback(lambda done: self._completed.put((task, done)))

    def _make_threads(self) -> ThreadWorkers:
        return ThreadWorkers(self._options.workers)

    def _replace_executor(self, error: BrokenExecutor) -> None:
        self._broken_executors += 1
        self._executor = None
        if not self._options.owns_executor or self._broken_executors > _MAX_BROKEN_EXECUTORS:
            self._fail(
                ChatError(
                    f"executor: a worker died and broke the executor ({type(error).__name__}); pass a function "
                    "that makes one, so that it can be replaced, or start again with resume=",
                    reason=reason_of(error),
                )
            )

    def _collect(self) -> None:
        """Wait until rows complete, and journal them in one transaction."""
        try:
            completed = [self._completed.get(timeout=0.25 if self._queue.waits_for_others else 1.0)]
        except queue.Empty:
            self._options.progress.tick()
            return
        while not self._completed.empty():
            completed.append(self._completed.get())
        finished = []
        for task, future in filter(None, completed):
            outcome = self._finish(task, future)
            if outcome is not None:
                finished.append((task, outcome))
        self._record(finished)

    def _finish(self, task: Task, future: Future[Any]) -> Outcome | None:
        """Return the outcome of a completed row, None if it is sent again."""
        self._in_flight -= 1
        error = None if future.cancelled() else future.exception()
        outcome = None if future.cancelled() or error is not None else future.result()
        self._suspected -= task.worker_deaths > 0
        self._note_finished(task, outcome)
        if isinstance(outcome, Reply):
            self._broken_executors = 0
            self._settle(task, None, outcome)
            return outcome
        if isinstance(outcome, ChatError):
            self._settle(task, None if outcome.maybe_processed or outcome.partial else Expense())
            return self._finish_failed(task, outcome)
        self._settle(task, None)
        return self._finish_lost(task, error)

    def _finish_failed(self, task: Task, error: ChatError) -> ChatError | None:
        if self._ends_run(error):
            self._stop_with(error)
        elif isinstance(error, RateLimitError) and task.rate_limits < _MAX_RATE_LIMITS:
            task.rate_limits += 1
            self._queue.requeue_last(task)
            return None
        return error

    def _finish_lost(self, task: Task, error: BaseException | None) -> ChatError | None:
        """Resend a row after its worker died, one row at a time, to find out which row kills workers."""
        problem = type(error).__name__ if error is not None else "cancelled"
        reason = reason_of(error) if error is not None else ""
        worker_died = isinstance(error, (BrokenExecutor, KeyboardInterrupt)) or problem == _DASK_WORKER_DIED
        if error is not None and not worker_died:
            failure = (
                error
                if isinstance(error, ChatError)
                else ChatError(f"a row could not be sent: {problem}: {error}", reason=reason)
            )
            self._fail(failure)
            return failure
        task.worker_deaths += 1
        if task.worker_deaths > _MAX_WORKER_DEATHS:
            return ChatError(
                f"executor: the worker died {task.worker_deaths} times while it processed this row ({problem})",
                reason=reason,
            )
        self._suspected += 1
        self._queue.requeue_first(task)
        return None

    def _ends_run(self, error: ChatError) -> bool:
        """Return whether every other row would fail in the same way."""
        if isinstance(error, AllProvidersFailedError):
            return all(map(self._ends_run, error.errors))
        if isinstance(error, RateLimitError):
            return (error.retry_after or 0.0) > self._options.max_wait
        return isinstance(error, _FATAL)

    def _record(self, finished: list[tuple[Task, Outcome]]) -> None:
        """Journal outcomes before they are yielded.

        If that fails the run ends, and its results still contain the outcomes.
        """
        if self._journal is not None and finished:
            try:
                self._journal.write((task.key, outcome) for task, outcome in finished if isinstance(outcome, Reply))
                self._journal.release(task.key for task, outcome in finished if isinstance(outcome, ChatError))
            except JournalError as error:
                self._journal = None
                self._fail(error)
        self._queue.finished.extend((task.row, outcome) for task, outcome in finished)

    def _settle(self, task: Task, spent: Expense | None, reply: Reply | None = None) -> None:
        """Replace the reserved amounts with what was spent; if that is unknown, the expected amount counts."""
        actual = self._queue.expense_of(task, reply) if reply is not None else spent
        for budget, reserved in zip(self._options.budgets, task.reserved):
            budget.settle(reserved, task.expected if actual is None else actual)
        task.reserved = []

    def _emit(self) -> Iterator[FinishedRow]:
        finished = self._queue.finished
        while finished:
            yield from self._emit_one(*finished.popleft())

    def _close(self) -> None:
        """Finish and journal the rows in flight, unless Ctrl-C was pressed twice, and release all resources."""
        if not self._queue.is_exhausted:
            self.stop()
        with contextlib.ExitStack() as stack:
            stack.callback(self._options.progress.close)
            if self._options.journal is not None:
                stack.callback(self._options.journal.close)
            if self._executor is not None and (self._options.make_executor is None or self._options.owns_executor):
                stack.callback(self._executor.shutdown, wait=False)
            with self.handling_interrupts():
                while self._in_flight and self._interrupts < 2:
                    self._collect()
