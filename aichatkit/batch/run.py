"""Many rows -> outcomes: so many at once, paced, within a budget, journaled before they are told."""

from __future__ import annotations

import contextlib
import queue
import secrets
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from itertools import count
from typing import Any, Callable

from aichatkit._dataclasses import dataclass
from aichatkit.batch.journal import Journal
from aichatkit.batch.progress import Progress
from aichatkit.batch.task_queue import Finished, Outcome, Task, TaskQueue
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
from aichatkit.middleware.budgets import Budget, Expense, expense_of
from aichatkit.reply import Reply

__all__ = ["BatchRun", "RunOptions"]

#: How often a row is asked again that met a rate limit in spite of all waits, or whose worker died.
_AGAIN, _LOST = 5, 2
#: How many executors may break in a row.
_BREAKS = 3
#: What Dask tells when a worker died too often; it asks again by itself before.
_KILLED = "KilledWorker"
_ENDING = (QuotaExceededError, AuthenticationError, MissingKeyError, ModelNotFoundError, BudgetExceededError)


@dataclass(frozen=True)
class RunOptions:
    """How a run goes; `make_executor` is None for threads of our own, `renews` says that it makes a new one."""

    ask: BoundAsk
    workers: int
    journal: Journal | None
    purses: Sequence[Budget]
    progress: Progress
    raises: bool
    max_wait: float
    make_executor: Callable[[], Any] | None = None
    renews: bool = True


class BatchRun:
    """One run: iterate over it to make it go, and it yields the outcomes as they come."""

    def __init__(self, intake: TaskQueue, plan: RunOptions) -> None:
        #: Why rows were not asked, None where all were.
        self.stopped: ChatError | None = None
        self._intake = intake
        self._plan = plan
        self._events: queue.SimpleQueue[tuple[Task, Future[Any]] | None] = queue.SimpleQueue()
        self._name = secrets.token_hex(8)
        self._tickets = count()
        self._flying = 0
        self._suspects = 0
        self._breaks = 0
        self._journal = plan.journal
        self._failure: ChatError | None = None
        self._executor: Any = None
        self._interrupts = 0
        self._listening = False

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run."""
        return self._interrupts > 0

    def __iter__(self) -> Generator[Finished, None, None]:
        try:
            self._plan.progress.start()
            while True:
                with self.listening():
                    self._feed()
                    waits = self._flying or (self._intake.waits and self.stopped is None)
                    if waits and not self._intake.finished:
                        self._collect()
                yield from self._tell()
                if not waits and not self._intake.finished and (self._intake.ended or self.stopped is not None):
                    break
            stopped = self.stopped
            if stopped is not None:
                yield from ((row, row.error or stopped) for row in self._intake.rest())
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        """Ask no more rows; what is under way is finished."""
        self._stop(ChatError("not asked: the run was left"))

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Let the first Ctrl-C end the run in good order and the second at once, where Python's own handler is set."""
        own = threading.current_thread() is threading.main_thread() and not self._listening
        if not own or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        self._listening = True
        signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            self._listening = False
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, signum: int, frame: Any) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt
        self._stop(ChatError("not asked: the run was stopped with Ctrl-C"))
        self._events.put(None)

    def _feed(self) -> None:
        while self.stopped is None and self._flying < (1 if self._suspects else self._plan.workers):
            task = self._intake.next()
            if task is None or not self._afford(task):
                return
            self._send(task)

    def _afford(self, task: Task) -> bool:
        """Hold back what the row may cost; where that does not fit, wait for rows under way, or stop."""
        for purse in self._plan.purses:
            held = purse.hold(task.expected)
            if held is None:
                self._settle(task, Expense())
                self._intake.requeue_first(task)
                if not self._flying:
                    self._stop(purse.exceeded())
                return False
            task.held.append(held)
        return True

    def _send(self, task: Task) -> None:
        try:
            if self._executor is None:
                self._executor = (self._plan.make_executor or self._threads)()
            ticket = f"{self._name}:{next(self._tickets)}"
            future = self._executor.submit(answer_row, self._plan.ask, task.row.prompt, ticket)
        except BrokenExecutor as error:
            self._settle(task, Expense())
            self._intake.requeue_first(task)
            self._replace_executor(error)
            return
        except RuntimeError as error:
            self._settle(task, Expense())
            self._intake.requeue_first(task)
            self._fail(ConfigurationError(f"executor: it takes no more rows ({error})"))
            return
        self._flying += 1
        future.add_done_callback(lambda done: self._events.put((task, done)))

    def _threads(self) -> ThreadWorkers:
        return ThreadWorkers(self._plan.workers)

    def _replace_executor(self, error: BrokenExecutor) -> None:
        self._breaks += 1
        self._executor = None
        if not self._plan.renews or self._breaks > _BREAKS:
            self._fail(
                ChatError(
                    f"executor: a worker died and took the executor with it ({type(error).__name__}); pass a function "
                    "that makes one, so that it can be replaced, or start again with resume="
                )
            )

    def _collect(self) -> None:
        """Wait until rows come back, and write them down together."""
        try:
            events = [self._events.get(timeout=0.25 if self._intake.waits else 1.0)]
        except queue.Empty:
            self._plan.progress.tick()
            return
        while not self._events.empty():
            events.append(self._events.get())
        landed = []
        for task, future in filter(None, events):
            outcome = self._land(task, future)
            if outcome is not None:
                landed.append((task, outcome))
        self._keep(landed)

    def _land(self, task: Task, future: Future[Any]) -> Outcome | None:
        """Return the outcome of a row that came back, None where it is asked again."""
        self._flying -= 1
        error = None if future.cancelled() else future.exception()
        outcome = None if future.cancelled() or error is not None else future.result()
        self._suspects -= task.lost > 0
        if isinstance(outcome, Reply):
            self._breaks = 0
            self._settle(task, None, outcome)
            return outcome
        if isinstance(outcome, ChatError):
            self._settle(task, None if outcome.maybe_processed or outcome.partial else Expense())
            return self._failed(task, outcome)
        self._settle(task, None)
        return self._lost(task, error)

    def _failed(self, task: Task, error: ChatError) -> ChatError | None:
        if self._ends_run(error):
            self._stop(error)
        elif isinstance(error, RateLimitError) and task.limited < _AGAIN:
            task.limited += 1
            self._intake.requeue_last(task)
            return None
        return error

    def _lost(self, task: Task, error: BaseException | None) -> ChatError | None:
        """A row whose worker died is asked again, alone, so that it is known which one kills."""
        told = type(error).__name__ if error is not None else "cancelled"
        if error is not None and not isinstance(error, (BrokenExecutor, KeyboardInterrupt)) and told != _KILLED:
            failure = error if isinstance(error, ChatError) else ChatError(f"a row could not be asked: {told}: {error}")
            self._fail(failure)
            return failure
        task.lost += 1
        if task.lost > _LOST:
            return ChatError(f"executor: the worker died {task.lost} times while it asked this row ({told})")
        self._suspects += 1
        self._intake.requeue_first(task)
        return None

    def _ends_run(self, error: ChatError) -> bool:
        """Tell whether every other row would fail in the same way."""
        if isinstance(error, AllProvidersFailedError):
            return all(map(self._ends_run, error.errors))
        if isinstance(error, RateLimitError):
            return (error.retry_after or 0.0) > self._plan.max_wait
        return isinstance(error, _ENDING)

    def _keep(self, landed: list[tuple[Task, Outcome]]) -> None:
        """Write answers down before they are told; where that fails the run ends, and its results hold them."""
        if self._journal is not None and landed:
            try:
                self._journal.write((task.key, outcome) for task, outcome in landed if isinstance(outcome, Reply))
                self._journal.release(task.key for task, outcome in landed if isinstance(outcome, ChatError))
            except JournalError as error:
                self._journal = None
                self._fail(error)
        self._intake.finished.extend((task.row, outcome) for task, outcome in landed)

    def _settle(self, task: Task, spent: Expense | None, reply: Reply | None = None) -> None:
        """Free what was held back; what is not known counts as it was expected."""
        for purse, held in zip(self._plan.purses, task.held):
            known = expense_of(reply, held) if reply is not None else spent
            purse.settle(held, held if known is None else known)
        task.held = []

    def _tell(self) -> Iterator[Finished]:
        finished = self._intake.finished
        while finished:
            row, outcome = finished.popleft()
            self._plan.progress.add(outcome)
            if self._plan.raises and isinstance(outcome, ChatError):
                self._fail(outcome)
            yield row, outcome

    def _stop(self, error: ChatError) -> None:
        self.stopped = self.stopped or error

    def _fail(self, error: ChatError) -> None:
        self._failure = self._failure or error
        self._stop(error)

    def _close(self) -> None:
        """Let what is under way end and write it down, unless the user is in a hurry."""
        if not self._intake.ended:
            self.leave()
        with contextlib.ExitStack() as stack:
            stack.callback(self._plan.progress.close)
            if self._plan.journal is not None:
                stack.callback(self._plan.journal.close)
            if self._executor is not None and (self._plan.make_executor is None or self._plan.renews):
                stack.callback(self._executor.shutdown, wait=False)
            with self.listening():
                while self._flying and self._interrupts < 2:
                    self._collect()
