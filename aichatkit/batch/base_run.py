"""What every run of `map` does: Ctrl-C stops it, outcomes are counted, and the first failure is raised at its end."""

from __future__ import annotations

import contextlib
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit.batch.progress import Progress
from aichatkit.batch.rows import Row
from aichatkit.batch.task_queue import FinishedRow, Outcome
from aichatkit.errors import ChatError

if TYPE_CHECKING:
    from aichatkit.batch_jobs.job import Job

__all__ = ["BaseRun"]


class BaseRun(ABC):
    """A run of `map`, of live calls or of batch jobs: iterating advances it and yields outcomes."""

    def __init__(self, progress: Progress, *, raise_on_error: bool) -> None:
        #: The reason why rows were not sent, None if all were.
        self.stopped: ChatError | None = None
        #: Number of rows that were not sent.
        self.unasked = 0
        #: The jobs of the journal when the run ended; none for live calls.
        self.jobs: Sequence[Job] = ()
        self._progress = progress
        self._raise_on_error = raise_on_error
        self._failure: ChatError | None = None
        self._interrupts = 0
        self._handles_interrupts = False

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C stopped the run."""
        return self._interrupts > 0

    @abstractmethod
    def __iter__(self) -> Generator[FinishedRow, None, None]: ...

    @abstractmethod
    def stop(self) -> None:
        """Send no more rows."""

    @contextlib.contextmanager
    def handling_interrupts(self) -> Iterator[None]:
        """Stop gracefully on the first Ctrl-C, immediately on the second; a custom SIGINT handler is kept."""
        may_handle = threading.current_thread() is threading.main_thread() and not self._handles_interrupts
        if not may_handle or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        self._handles_interrupts = True
        signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            self._handles_interrupts = False
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @abstractmethod
    def _stop_on_interrupt(self) -> None:
        """Stop the run, and wake the main thread if it waits; called by the signal handler."""

    def _interrupt(self, signum: int, frame: Any) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt
        self._stop_on_interrupt()

    def _emit_one(self, row: Row, outcome: Outcome) -> Iterator[FinishedRow]:
        self._progress.add(outcome)
        if self._raise_on_error and isinstance(outcome, ChatError):
            self._fail(outcome)
        yield row, outcome

    def _stop_with(self, error: ChatError) -> None:
        self.stopped = self.stopped or error

    def _fail(self, error: ChatError) -> None:
        """Stop with an error that is raised once the run has ended."""
        self._failure = self._failure or error
        self._stop_with(error)
