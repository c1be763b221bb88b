"""A run of `map` in batch jobs: rows are planned, sent and collected job by job, until all have ended or time is up."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Callable

from aichatkit.batch.base_run import BaseRun
from aichatkit.batch.task_queue import FinishedRow
from aichatkit.batch_jobs import status
from aichatkit.batch_jobs.collection import Collection
from aichatkit.batch_jobs.engine import FATAL, JobEngine
from aichatkit.batch_jobs.holdings import Holdings
from aichatkit.batch_jobs.journal import JobJournal
from aichatkit.batch_jobs.planner import PlannedJob, Planner
from aichatkit.batch_jobs.records import FINAL, UNSENT, JobRecord, RemoteJob
from aichatkit.batch_jobs.run_options import JobRunOptions, pause
from aichatkit.errors import ChatError, JournalError
from aichatkit.middleware.estimates import Expense

__all__ = ["JobRun"]

logger = logging.getLogger(__name__)

#: How long to wait, after a job did not fit the service's queue, before the next is sent, in seconds.
_QUEUE_PAUSE = 600.0
#: How often to look for what other processes have collected, in seconds, and the longest sleep without a sign of life.
_LOOK, _SLICE = 5.0, 60.0
#: How long after its deadline a job that cannot be looked up is waited for, in seconds.
_PATIENCE = 3600.0


class JobRun(BaseRun):
    """One run of `map(batch=True)`: iterating advances it and yields outcomes as jobs end."""

    def __init__(self, planner: Planner, options: JobRunOptions) -> None:
        super().__init__(options.progress, raise_on_error=options.raise_on_error)
        self._planner = planner
        self._options = options
        self._journal = options.journal
        self._clock = options.clock
        self._engine = JobEngine(options.journal, options.call, clock=options.clock)
        self._collection = Collection(self._engine, work=options.work, waiting=planner.waiting, late=options.late)
        self._wake = threading.Event()
        #: The run that sends rows live at the end, once it has begun.
        self._live: BaseRun | None = None
        self._holdings = Holdings(options.budgets, options.run_budget)
        #: No job is sent before this time, and then one at a time, once the service's queue was full.
        self._not_before = 0.0
        self._is_queue_small = False
        self._latest: list[JobRecord] = []
        self._ends_at: float | None = None
        #: Blocks of keys of rows to be looked up again.
        self._looking: deque[Iterator[list[bytes]]] = deque()
        self._next_look = 0.0

    def __iter__(self) -> Generator[FinishedRow, None, None]:
        try:
            self._options.progress.start()
            with self.handling_interrupts():
                self._begin()
            while True:
                yield from self._send_jobs()
                yield from self._advance_jobs()
                if self._options.wait == 0:
                    # What was collected may have led to a further job, for which this call will not come back.
                    yield from self._send_jobs()
                if self._is_over():
                    break
                with self.handling_interrupts():
                    self._sleep()
            if self._planner.live and self.stopped is None:
                yield from self._ask_live()
            yield from self._emit_rest()
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure

    @property
    def journal(self) -> JobJournal:
        """The journal, which the run closes."""
        return self._journal

    def stop(self) -> None:
        """Send no more jobs, and wait for none; those that were sent go on."""
        self._stop_with(ChatError("not sent: the run was closed"))
        self._wake.set()
        if self._live is not None:
            self._live.stop()

    def notes(self) -> str:
        """Return the state of the jobs for the progress bar."""
        return status.progress_note(self._latest, self._clock())

    def next_look(self) -> float:
        """Return the seconds until jobs are looked at again."""
        return status.next_look(self._latest, self._clock())

    def _interrupt(self, signum: int, frame: Any) -> None:
        if self._live is None:
            super()._interrupt(signum, frame)
            return
        # The run that sends the rows live finishes those in flight.
        self._interrupts += 1
        self._live._interrupt(signum, frame)

    def _stop_on_interrupt(self) -> None:
        self._stop_with(status.interrupted_error(self._latest, self._journal.path))
        self._wake.set()

    def _begin(self) -> None:
        wait = self._options.wait
        self._ends_at = None if wait is None else self._clock() + wait
        for job in self._journal.take_over():
            is_unsent = job.state in UNSENT or (job.state == "uploaded" and not self._options.sends)
            if job.owner == self._journal.owner and is_unsent:
                # What was to be sent has to be read again, so its rows are planned again.
                self._engine.clean_up(job)
                self._journal.drop(job)
        for job in self._journal.jobs():
            if job.state in FINAL:
                self._holdings.count_past(job)
            else:
                self._holdings.hold(job.nonce, Expense(job.held, job.tokens))

    def _try_step(self, step: Callable[[], bool]) -> bool:
        """Take a step and return whether another one of its kind follows; none does if the journal fails."""
        with self.handling_interrupts():
            try:
                return step()
            except JournalError as error:
                self._looking.clear()
                self._fail(error)
                return False

    def _send_jobs(self) -> Iterator[FinishedRow]:
        """Send jobs as long as there are rows for them, and yield the rows that need none."""
        while self._try_step(self._send_next):
            yield from self._emit()
        yield from self._emit()

    def _send_next(self) -> bool:
        """Send the next job; return whether another one may follow now."""
        planner = self._planner
        if planner.failure is not None and planner.is_done:
            self._fail(planner.failure)
        if self.stopped is not None or planner.is_done or self._clock() < self._not_before:
            return False
        if not self._options.sends:
            planner.read_all()
            return False
        if self._is_queue_small and self._active():
            return False
        first_row = self._options.first_row
        if first_row is not None and first_row.holds_back(planner, is_waiting=any(map(self._may_end, self._active()))):
            return False
        planned = planner.next_job()
        if planned is not None:
            self._send(planned)
            return True
        if planner.over_budget is not None and not self._active():
            self._stop_with(planner.over_budget)
        return planner.is_paused or (planner.failure is not None and planner.is_done and self.stopped is None)

    def _send(self, planned: PlannedJob) -> None:
        planner = self._planner
        for each in planned.planned:
            planner.waiting[each.key] = each.row
        self._holdings.hold(planned.nonce, planned.most)
        try:
            job = self._engine.send(planned)
            if job.state == "refused":
                self._after_refusal(job, [each.key for each in planned.planned])
        except ChatError as error:
            if isinstance(error, JournalError):
                raise
            # The rows are free: the upload failed.
            self._holdings.release(planned.nonce)
            self._stop_with(error)
            self._looking.append(iter([[each.key for each in planned.planned]]))
        self._remember()

    def _after_refusal(self, job: JobRecord, keys: Sequence[bytes]) -> None:
        """Send the rows of a job that was not created elsewhere, in smaller jobs, or not at all."""
        error = self._engine.refusals.pop(job.nonce)
        self._holdings.release(job.nonce)
        if error.status == 413:
            self._planner.shrink(job, keys, error)
        else:
            self._try_next_model(error)
        self._look_again(job)

    def _try_next_model(self, error: ChatError) -> None:
        """Go on with the next model that has jobs; without one, the run stops, or its rows are sent live."""
        if not isinstance(error, FATAL) and len(self._planner.targets) > 1:
            del self._planner.targets[0]
        elif not isinstance(error, FATAL) and self._options.late == "live":
            self._planner.goes_live = True
        else:
            self._stop_with(error)

    def _advance_jobs(self) -> Iterator[FinishedRow]:
        """Take the next step of every job that is due, and yield the rows that end with it."""
        due: deque[JobRecord] = deque()

        def begin() -> bool:
            now = self._clock()
            if now >= self._next_look:
                self._next_look = now + _LOOK
                self._look_for_others()
            due.extend(job for job in self._journal.jobs() if self._is_due(job))
            return bool(due)

        def advance_next() -> bool:
            if self._interrupts:
                return False
            self._advance(due.popleft())
            self._remember()
            return bool(due)

        is_more = self._try_step(begin)
        yield from self._emit()
        while is_more:
            is_more = self._try_step(advance_next)
            yield from self._emit()

    def _is_due(self, job: JobRecord) -> bool:
        is_ours = job.owner == self._journal.owner and job.state not in FINAL
        return is_ours and (self._engine.is_due(job) or self._is_last_look())

    def _advance(self, job: JobRecord) -> None:
        try:
            self._take_step(job)
        except ChatError as error:
            if isinstance(error, JournalError):
                raise
            self._stop_with(error)

    def _take_step(self, job: JobRecord) -> None:
        job, remote = self._engine.advance(job)
        if remote is not None:
            job = self._collect(job, remote)
        if job.state == "refused" and job.nonce in self._engine.refusals:
            self._after_refusal(job, [row.key for rows in self._journal.iter_rows(job) for row in rows])
        elif job.state in FINAL:
            if self._options.first_row is not None:
                self._options.first_row.note_ended(job)
            self._holdings.settle(job)
            self._look_again(job)

    def _collect(self, job: JobRecord, remote: RemoteJob) -> JobRecord:
        collection = self._collection
        collection.unsupported, collection.queue_full = None, False
        job = collection.collect(job, remote, has_other_models=len(self._planner.targets) > 1)
        if collection.fatal is not None:
            self._stop_with(collection.fatal)
        if collection.unsupported is not None:
            self._try_next_model(collection.unsupported)
        if collection.queue_full:
            self._is_queue_small = True
            self._not_before = self._clock() + _QUEUE_PAUSE
            self._planner.job_rows = max(1, job.rows // 2)
        return job

    def _look_again(self, job: JobRecord) -> None:
        """Look the rows of a job up again, before anything else is sent."""
        if self._journal.find_job(job.nonce) is None:
            # It was dropped; which rows it had shows in what is no longer claimed.
            self._looking.append(self._free_blocks())
        else:
            self._looking.append([row.key for row in rows] for rows in self._journal.iter_rows(job))

    def _free_blocks(self) -> Iterator[list[bytes]]:
        """Yield the keys of rows that wait, but are in no job."""
        for block in self._planner.waiting.blocks():
            held = self._journal.jobs_of(block)
            yield [key for key in block if key not in held]

    def _look_at_next(self) -> bool:
        """Look the next block of rows up."""
        block = next(self._looking[0], None)
        if block is None:
            self._looking.popleft()
        else:
            self._planner.look_again(block)
        return True

    def _look_for_others(self) -> None:
        """Collect what other processes have answered, and take over the jobs of those that have ended."""
        if not self._planner.waiting:
            return
        self._journal.take_over()
        if any(job.owner != self._journal.owner for job in self._journal.jobs()) or not self._active():
            self._looking.append(self._free_blocks())

    def _remember(self) -> None:
        self._latest = self._journal.jobs()

    def _active(self) -> list[JobRecord]:
        return [job for job in self._journal.jobs() if job.state not in FINAL]

    def _is_last_look(self) -> bool:
        """Whether the run does not wait, so that every job is looked at now."""
        return self._options.wait == 0

    def _is_over(self) -> bool:
        if self.stopped is not None:
            return True
        planner = self._planner
        if self._options.wait == 0 or (self._ends_at is not None and self._clock() >= self._ends_at):
            return True
        if not planner.is_done:
            return False
        return not planner.waiting or not self._is_anything_expected()

    def _is_anything_expected(self) -> bool:
        """Whether a row is in a job that still may end, or with another process."""
        for block in self._planner.waiting.blocks():
            jobs = self._journal.jobs_of(block)
            if len(jobs) < len(block) or any(self._may_end(job) for job in jobs.values()):
                return True
        return False

    def _may_end(self, job: JobRecord) -> bool:
        if job.state in FINAL:
            return False
        if job.owner == self._journal.owner and self._engine.protocol_of(job) is None:
            return False
        is_overdue = job.deadline is not None and self._clock() > job.deadline + _PATIENCE
        return not (is_overdue and job.nonce in self._engine.unreachable)

    def _sleep(self) -> None:
        now = self._clock()
        times = [job.next_poll for job in self._active() if job.owner == self._journal.owner and self._may_end(job)]
        if self._planner.waiting and any(job.owner != self._journal.owner for job in self._active()):
            times.append(self._next_look)
        if not self._planner.is_done and self._not_before > now:
            times.append(self._not_before)
        if self._ends_at is not None:
            times.append(self._ends_at)
        seconds = max(0.05, min(min(times, default=now + _LOOK) - now, _SLICE))
        self._options.progress.tick()
        closing = self._options.call.context.closing
        pause(seconds, self._options.call.policy.sleep, self._wake, closing)
        if closing.is_set():
            self._stop_with(ChatError("not sent: the client was closed; jobs that were sent continue"))

    def _ask_live(self) -> Iterator[FinishedRow]:
        """Send the rows live that no job takes, and yield their outcomes."""
        assert self._options.ask_live is not None
        rows, self._planner.live = self._planner.live, []
        self._live = self._options.ask_live(rows)
        with contextlib.closing(iter(self._live)) as outcomes:
            while True:
                with self.handling_interrupts():
                    finished = next(outcomes, None)
                if finished is None:
                    break
                yield from self._emit_one(*finished)
        self.stopped = self.stopped or self._live.stopped
        self.unasked += self._live.unasked

    def _emit(self) -> Iterator[FinishedRow]:
        """Yield the rows that have an outcome, a block at a time: not all of a job need to fit into memory."""
        finished = self._planner.finished
        while finished or self._looking:
            while finished:
                yield from self._emit_one(*finished.popleft())
            if self._looking:
                self._try_step(self._look_at_next)

    def _emit_rest(self) -> Iterator[FinishedRow]:
        """Yield the rows that have no outcome: those in jobs, and those that were not sent."""
        yield from self._emit()
        full = ChatError("not sent yet: jobs before it have to end first; the same call sends it later")
        stopped = self.stopped or self._planner.over_budget or full
        for planned in self._planner.live:
            self.unasked += 1
            yield planned.row, stopped
        if not self._planner.is_done:
            for row in self._planner.drain(reads_on=self.stopped is None):
                self.unasked += row.error is None
                yield row, row.error or stopped
        yield from self._emit()
        waiting = self._planner.waiting
        for block in waiting.blocks():
            jobs = self._journal.jobs_of(block)
            for row, key in waiting.take(block):
                yield row, self._pending(jobs.get(key))

    def _pending(self, job: JobRecord | None) -> ChatError:
        is_ours = job is not None and job.owner == self._journal.owner
        is_reachable = not is_ours or job is None or self._engine.protocol_of(job) is not None
        return status.pending_error(job, self._journal.path, is_reachable=is_reachable)

    def _close(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._options.progress.close)
            stack.callback(self._journal.close)
            stack.callback(self._engine.close)
            stack.callback(self._planner.close)
            self._holdings.release_all()
            with contextlib.suppress(JournalError):
                self.jobs = [self._options.make_job(job) for job in self._journal.jobs()]
