"""Results of a job -> answers in the journal: each line by its ID, in blocks, so that a repeat changes nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from aichatkit._surrogates import repair
from aichatkit.batch.rows import Row
from aichatkit.batch_jobs.engine import FATAL, JobEngine
from aichatkit.batch_jobs.journal import Finding
from aichatkit.batch_jobs.lines import parse_row_id
from aichatkit.batch_jobs.protocols.base import JobProtocol
from aichatkit.batch_jobs.records import JobRecord, JobRow, RemoteJob, RowResult, RowState
from aichatkit.batch_jobs.work import RowWork
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BatchExpiredError,
    ChatError,
    ModelNotFoundError,
    QuotaExceededError,
    RateLimitError,
)
from aichatkit.reply import Reply

__all__ = ["Collection"]

logger = logging.getLogger(__name__)

#: Results written in one transaction.
_BLOCK = 300
#: How often a row that was not run is put into a job again.
_MAX_TRIES = 2
#: Errors of a row that every other row would meet as well.
_ENDS_RUN = (QuotaExceededError, AuthenticationError)


class Collection:
    """Collects the results of jobs; `waiting` are the rows of this run by key."""

    def __init__(
        self,
        engine: JobEngine,
        *,
        work: RowWork,
        waiting: Mapping[bytes, Row],
        late: str,
    ) -> None:
        #: The error in a result that every other row would meet as well.
        self.fatal: ChatError | None = None
        #: The last job that was refused as a whole because of its model, and because of a full queue.
        self.unsupported: ChatError | None = None
        self.queue_full = False
        self._engine = engine
        self._journal = engine.journal
        self._work = work
        self._waiting = waiting
        self._max_tries = 0 if late == "fail" else _MAX_TRIES
        self._protocol: JobProtocol

    def collect(self, job: JobRecord, remote: RemoteJob, *, has_other_models: bool) -> JobRecord:
        """Store every result of a job that has ended, and end it in the journal.

        A failed download changes nothing: it is tried again later, from its start.
        """
        protocol = self._engine.protocol_of(job)
        assert protocol is not None
        self._protocol = protocol
        job = self._journal.update(job, state="fetching")
        try:
            if remote.failure is None or remote.answered:
                job = self._read_all(job, remote)
        except ChatError as error:
            if error.status in (404, 410):
                return self._engine.lose(job, error)
            logger.info("%s: the results of %s could not be collected: %s", job.provider, job.id, error)
            return self._engine.put_off(job, self._engine.pause(job.tried + 1))
        if not protocol.is_named and not remote.output_ref:
            return self._engine.lose(job, ChatError("its results are archived"))
        self._end(job, remote, has_other_models=has_other_models)
        self._engine.clean_up(job)
        return next(each for each in self._journal.jobs() if each.job == job.job)

    def _read_all(self, job: JobRecord, remote: RemoteJob) -> JobRecord:
        foreign, block = 0, list[RowResult]()
        for result in self._protocol.iter_results(job, remote):
            if parse_row_id(job.nonce, result.row_id) is None:
                foreign += 1
                continue
            block.append(result)
            if len(block) >= _BLOCK:
                job, block = self._write(job, block), []
        job = self._write(job, block)
        if foreign:
            logger.warning("%s: %d results of the job %s are not of its rows", job.provider, foreign, job.id)
        return job

    def _write(self, job: JobRecord, block: list[RowResult]) -> JobRecord:
        by_number = {
            number: result for result in block if (number := parse_row_id(job.nonce, result.row_id)) is not None
        }
        rows = [row for row in self._journal.rows_at(job, list(by_number)).values() if row.state == RowState.OUT]
        drafts = self._journal.drafts([row.key for row in rows])
        findings = []
        for row in rows:
            finding = self._find(job, row, by_number[row.n], drafts.get(row.key, {}))
            if finding.state == RowState.DRAFT and finding.reply is not None:
                # The other lines of the row may be in the same block.
                drafts.setdefault(row.key, {})[row.round] = finding.reply
            findings.append(finding)
        return self._journal.write_findings(job, findings)

    def _find(self, job: JobRecord, row: JobRow, result: RowResult, drafts: Mapping[int, Reply]) -> Finding:
        if result.reason:
            return self._not_run(job, row, result.reason)
        if result.error is not None:
            return self._failed(job, row, result.error)
        waiting = self._waiting.get(row.key)
        try:
            return self._work.read(job, row, result, protocol=self._protocol, drafts=drafts, waiting=waiting)
        except ChatError as error:
            return self._failed(job, row, error)

    def _not_run(self, job: JobRecord, row: JobRow, reason: str) -> Finding:
        if reason == "cancelled":
            return Finding(row, RowState.FAILED, None, _cancelled(job))
        is_final = row.tries >= self._max_tries
        return Finding(row, RowState.FAILED if is_final else RowState.UNRUN, None, _expired(job))

    def _failed(self, job: JobRecord, row: JobRow, error: ChatError) -> Finding:
        error.provider, error.model = error.provider or job.provider, error.model or job.model
        if isinstance(error, _ENDS_RUN):
            self.fatal = self.fatal or error
            return Finding(row, RowState.UNRUN, None, error)
        may_repeat = error.action == "retry" or error.status in (408, 409) or self._heal(job, row, error)
        if may_repeat and row.tries < self._max_tries:
            return Finding(row, RowState.UNRUN, None, error)
        return Finding(row, RowState.FAILED, None, error)

    def _heal(self, job: JobRecord, row: JobRow, error: ChatError) -> bool:
        waiting = self._waiting.get(row.key)
        if not error._refused or waiting is None:
            return False
        return self._work.heal(job, row, error, protocol=self._protocol, waiting=waiting)

    def _end(self, job: JobRecord, remote: RemoteJob, *, has_other_models: bool) -> None:
        failure = remote.failure
        if failure is not None:
            self._end_failed(job, remote, failure, has_other_models=has_other_models)
        elif remote.is_cancelled:
            self._journal.finish(job, note=remote.state, error=_cancelled(job), max_tries=0)
        else:
            problem = _expired(job) if remote.is_expired else _missing(job)
            self._journal.finish(job, note=remote.state, error=problem, max_tries=self._max_tries)

    def _end_failed(self, job: JobRecord, remote: RemoteJob, failure: ChatError, *, has_other_models: bool) -> None:
        failure.provider, failure.model = failure.provider or job.provider, failure.model or job.model
        # By default, its rows are as if they had not been sent.
        max_tries = math.inf
        if isinstance(failure, RateLimitError):
            self.queue_full = True
        elif isinstance(failure, FATAL):
            self.fatal = self.fatal or failure
        elif remote.bad_lines:
            rows = self._journal.rows_at(job, list(remote.bad_lines))
            self._journal.write_findings(
                job,
                [Finding(row, RowState.FAILED, None, _bad_line(job, remote.bad_lines[n])) for n, row in rows.items()],
            )
            max_tries = self._max_tries
        elif has_other_models or isinstance(failure, ModelNotFoundError):
            self.unsupported = failure
        else:
            max_tries = self._max_tries if failure.action == "retry" else 0
        self._journal.finish(job, note=repair(failure.message), error=failure, max_tries=max_tries)


def _bad_line(job: JobRecord, reason: str) -> BadRequestError:
    return BadRequestError(f"{job.provider}: the row was refused: {reason}", provider=job.provider, model=job.model)


def _expired(job: JobRecord) -> BatchExpiredError:
    problem = "expired before this row was answered; leave out batch= to send it live, or pass late='live'"
    return _unanswered(job, f"the job {job.id} {problem}")


def _missing(job: JobRecord) -> BatchExpiredError:
    return _unanswered(job, f"the results of the job {job.id} lack this row")


def _unanswered(job: JobRecord, problem: str) -> BatchExpiredError:
    return BatchExpiredError(f"{job.provider}: {problem}", job=job.id, provider=job.provider, model=job.model)


def _cancelled(job: JobRecord) -> ChatError:
    return ChatError(
        f"{job.provider}: the job {job.id} was cancelled before this row was answered; the same call sends it again "
        "once no job is running, and without batch= sends it live",
        provider=job.provider,
        model=job.model,
    )
