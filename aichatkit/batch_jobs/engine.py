"""One step of one job at a time: upload, create, search, poll; each is in the journal before the next."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Sequence
from typing import Callable

from aichatkit._dataclasses import replace
from aichatkit.batch_jobs.http import JobHTTP
from aichatkit.batch_jobs.journal import JobJournal
from aichatkit.batch_jobs.lines import Spool, parse_row_id
from aichatkit.batch_jobs.planner import PlannedJob
from aichatkit.batch_jobs.protocols import protocols_of
from aichatkit.batch_jobs.protocols.base import FileJobProtocol, JobProtocol
from aichatkit.batch_jobs.records import CANCELLED, UNSENT, JobRecord, RemoteJob
from aichatkit.call.call import Call
from aichatkit.errors import (
    APIError,
    AuthenticationError,
    BatchGoneError,
    ChatError,
    ConfigurationError,
    ConnectError,
    MissingKeyError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from aichatkit.providers.base import Provider
from aichatkit.registry import registry

__all__ = ["FATAL", "JobEngine"]

logger = logging.getLogger(__name__)

#: Seconds until the first poll, the second, and the longest pause between two; each pause is longer by a factor.
_FIRST, _SECOND, _LONGEST, _GROWTH = 5.0, 15.0, 300.0, 1.5
#: Searches for a job whose creation is not known, and the seconds between them: lists may lag behind.
_SEARCHES, _SEARCH_PAUSE = 3, 60.0
#: Jobs in a row that may vanish: each may have been created, and be paid, if the service's lists are wrong.
_MOST_VANISHED = 3
#: The longest pause before a step of a job, in seconds; one that is longer comes from a clock that was set back.
_MAX_PAUSE = 3600.0
#: How long to wait before a creation that hit a rate limit is sent again, unless the service says.
_RATE_PAUSE = 60.0
#: Statuses that do not say whether a job was created.
_UNCLEAR = (408, 409)
_GONE = (404, 410)
#: Errors that every further request would meet as well.
FATAL = (QuotaExceededError, AuthenticationError, PermissionDeniedError, ConfigurationError)


class JobEngine:
    """Advances jobs; `call` is a sample that brings the client's connections, keys and limits."""

    def __init__(self, journal: JobJournal, call: Call, *, clock: Callable[[], float]) -> None:
        #: Why services refused to create jobs, by their nonces; the state of such a job is "refused".
        self.refusals: dict[str, ChatError] = {}
        #: The IDs of jobs at the service that were looked at and belong to someone else.
        self.strangers: set[str] = set()
        #: The nonces of jobs whose last poll failed.
        self.unreachable: set[str] = set()
        self.journal = journal
        self._call = call
        self._clock = clock
        self._random = call.policy.random or random.random
        self._spools: dict[str, Spool] = {}
        self._turn = 0
        self._vanished = 0
        self._protocols: dict[tuple[str, str, str, str], JobProtocol | None] = {}

    def protocol_of(self, job: JobRecord) -> JobProtocol | None:
        """Return the protocol of a job with the key it was sent with, None if the client does not have that key."""
        memo = (job.provider, job.api, job.place, job.account)
        if memo not in self._protocols:
            self._protocols[memo] = self._find_protocol(job)
        return self._protocols[memo]

    def send(self, planned: PlannedJob) -> JobRecord:
        """Write a job down, upload its lines and create it.

        If the service refused it, no row was sent, and its rows are free.

        Raises:
            ChatError: the upload failed; its rows are free.
        """
        try:
            return self._send(planned)
        finally:
            if planned.nonce not in self._spools:
                planned.spool.close()

    def advance(self, job: JobRecord) -> tuple[JobRecord, RemoteJob | None]:
        """Take the next step of a job; return it, and what the service says once it has ended.

        Raises:
            ChatError: the key is no longer accepted.
        """
        protocol = self.protocol_of(job)
        if protocol is None:
            return job, None
        if job.state in UNSENT:
            spool = self._spools.get(job.nonce)
            if spool is None:
                # Its lines are gone with the process that made them, and nothing has been sent.
                self.journal.drop(job)
                return job._replace(state="released"), None
            return self._create(job, protocol, spool), None
        if job.state == "uploaded":
            return self._create(job, protocol, None), None
        if job.state == "sending":
            return self._search(job, protocol), None
        return self._poll(job, protocol)

    def cancel(self, job: JobRecord) -> JobRecord:
        """Cancel a job at its service, or forget it if it was not sent.

        One that may belong to another program is not cancelled: whose it is shows at its end.
        """
        protocol = self.protocol_of(job)
        assert protocol is not None
        if job.state in UNSENT or job.state == "uploaded":
            self.journal.drop(job)
            return job._replace(state="released")
        if job.state == "unsure":
            problem = "may belong to another program, so it was not cancelled; whose it is shows when it has ended"
            logger.warning("%s: the job %s %s", job.provider, job.id, problem)
        elif job.remote:
            protocol.cancel(job)
        return self.journal.update(job, note=CANCELLED, next_poll=self._clock() + _FIRST)

    def clean_up(self, job: JobRecord) -> None:
        """Delete the input of a job that has ended; a failure is logged, as the file expires anyway."""
        protocol = self.protocol_of(job)
        if isinstance(protocol, FileJobProtocol) and job.input_ref:
            try:
                protocol.delete_input(job.input_ref)
            except ChatError as error:
                logger.info("%s: the input of the job %s was not deleted: %s", job.provider, job.id, error)

    def close(self) -> None:
        """Delete what is left on the disk."""
        for spool in self._spools.values():
            spool.close()
        self._spools.clear()

    def is_due(self, job: JobRecord) -> bool:
        """Return whether it is time for the next step of a job."""
        now = self._clock()
        return not now < job.next_poll <= now + _MAX_PAUSE

    def pause(self, tried: int) -> float:
        """Return the seconds until the next poll, with a little jitter."""
        seconds = _FIRST if not tried else min(_LONGEST, _SECOND * _GROWTH ** min(tried - 1, 30))
        return seconds * (0.95 + 0.1 * self._random())

    def put_off(self, job: JobRecord, seconds: float) -> JobRecord:
        """Look at a job again later."""
        return self.journal.update(job, tried=job.tried + 1, next_poll=self._clock() + seconds)

    def _send(self, planned: PlannedJob) -> JobRecord:
        context, target = self._call.context, planned.target
        provider = context.provider(target.provider)
        keys = context.keys_for(provider)
        key = keys[self._turn % len(keys)]
        self._turn += 1
        call = replace(self._call, targets=[target])
        protocol = planned.protocol(JobHTTP(provider, key, call))
        now = self._clock()
        values = {
            "nonce": planned.nonce,
            "provider": provider.name,
            "place": place_of(provider),
            "account": account_of(planned.nonce, key),
            "api": protocol.api(),
            "model": target.model,
            "state": "planned",
            "rows": len(planned.rows),
            "bytes": planned.spool.size,
            "tokens": planned.most.tokens,
            "held": planned.most.money,
            "cost": 0.0,
            "created": now,
        }
        job = self.journal.plan(_new_record(values), planned.rows)
        self._protocols[(job.provider, job.api, job.place, job.account)] = protocol
        if not isinstance(protocol, FileJobProtocol):
            self._spools[job.nonce] = planned.spool
            return self._create(job, protocol, planned.spool)
        try:
            job = self.journal.update(job, state="uploading")
            ref = protocol.upload(job, planned.spool)
        except ChatError as error:
            self.journal.drop(job)
            if error.status == 413:
                self.refusals[job.nonce] = error
                return job._replace(state="refused")
            _add_hint(error)
            raise
        job = self.journal.update(job, state="uploaded", input_ref=ref)
        return self._create(job, protocol, None)

    def _create(self, job: JobRecord, protocol: JobProtocol, spool: Spool | None) -> JobRecord:
        if isinstance(protocol, FileJobProtocol) and not protocol.is_ready(job.input_ref):
            return self.put_off(job, _FIRST)
        now = self._clock()
        job = self.journal.update(job, state="sending", sent=now, tried=0, next_poll=now + _FIRST)
        try:
            remote = protocol.create(job, spool)
        except ChatError as error:
            failure = error
        else:
            self._drop_spool(job)
            return self._adopt(job, remote)
        if _was_not_sent(failure):
            seconds = min(_RATE_PAUSE if failure.retry_after is None else failure.retry_after, _MAX_PAUSE)
            state = "planned" if spool is not None else "uploaded"
            logger.warning("%s; the job is sent again in %.0f s", failure, seconds)
            return self.journal.update(job, state=state, tried=0, next_poll=self._clock() + seconds)
        if isinstance(failure, APIError) and 400 <= (failure.status or 0) < 500 and failure.status not in _UNCLEAR:
            self._drop_spool(job)
            _add_hint(failure)
            self.journal.finish(job, state="refused", note=failure.message)
            self.clean_up(job)
            self.refusals[job.nonce] = failure
            return job._replace(state="refused")
        # It may have been created: sent again, it might be paid twice.
        self._drop_spool(job)
        logger.warning("%s; whether the job was created is looked up before anything else is sent", failure)
        return job

    def _drop_spool(self, job: JobRecord) -> None:
        spool = self._spools.pop(job.nonce, None)
        if spool is not None:
            spool.close()

    def _adopt(self, job: JobRecord, remote: RemoteJob, state: str = "running") -> JobRecord:
        self._vanished = 0
        logger.info("%s: the job %s has %d rows", job.provider, remote.id, job.rows)
        return self.journal.update(
            job,
            state=state,
            remote=remote.id,
            deadline=remote.deadline,
            tried=0,
            next_poll=self._clock() + self.pause(0),
        )

    def _search(self, job: JobRecord, protocol: JobProtocol) -> JobRecord:
        """Look for a job whose creation is not known; if it is not there after three lists, it was not created.

        Raises:
            ServerError: this is the third such job in a row, so the lists may be wrong.
        """
        ours = {other.remote for other in self.journal.jobs() if other.remote}
        try:
            found = [each for each in protocol.find(job) if each.id not in ours and each.id not in self.strangers]
        except ChatError as error:
            if isinstance(error, FATAL):
                raise
            return self.put_off(job, _SEARCH_PAUSE)
        if found:
            oldest, *others = found
            if protocol.is_named:
                # A job that was cancelled before its creation was known is cancelled now.
                for each in found if job.note == CANCELLED else others:
                    self._try_cancel(job._replace(remote=each.id), protocol)
                return self._adopt(job, oldest)
            # Whose it is shows at its end: it may belong to another program.
            return self._adopt(job, oldest, "unsure")
        if job.tried + 1 < _SEARCHES:
            return self.put_off(job, _SEARCH_PAUSE)
        # Without its input, a job that appears after all cannot run.
        self.clean_up(job)
        self.journal.finish(job, state="released", note="not created")
        self._vanished += 1
        if self._vanished < _MOST_VANISHED:
            return job._replace(state="released")
        raise ServerError(
            f"{job.provider}: {self._vanished} jobs in a row were not confirmed, and are not in the service's list; "
            "look for them at the service before you make the same call again",
            provider=job.provider,
            model=job.model,
            maybe_processed=True,
        )

    def _try_cancel(self, job: JobRecord, protocol: JobProtocol) -> None:
        try:
            protocol.cancel(job)
        except ChatError as error:
            logger.warning("%s: the job %s, which is not needed, was not cancelled: %s", job.provider, job.id, error)

    def _poll(self, job: JobRecord, protocol: JobProtocol) -> tuple[JobRecord, RemoteJob | None]:
        try:
            remote = protocol.poll(job)
        except ChatError as error:
            if error.status in _GONE:
                return self.lose(job, error), None
            if isinstance(error, FATAL):
                raise
            logger.info("%s: the job %s could not be looked up: %s", job.provider, job.id, error)
            self.unreachable.add(job.nonce)
            return self.put_off(job, self.pause(job.tried + 1)), None
        self.unreachable.discard(job.nonce)
        if not remote.ended:
            if remote.state != job.note and job.note != CANCELLED:
                logger.info("%s: the job %s is %s", job.provider, remote.id, remote.state)
            job = self.journal.update(
                job,
                answered=remote.answered,
                failed=remote.failed,
                deadline=remote.deadline if remote.deadline is not None else job.deadline,
                note=job.note if job.note == CANCELLED else remote.state,
                tried=job.tried + 1,
                next_poll=self._clock() + self.pause(job.tried + 1),
            )
            return job, None
        logger.info("%s: the job %s has ended: %s", job.provider, remote.id, remote.state)
        if job.state == "unsure" and not self._is_ours(job, remote, protocol):
            self.strangers.add(remote.id)
            return self.journal.update(job, state="sending", remote="", tried=0, next_poll=self._clock()), None
        job = self.journal.update(
            job, state="ended", output_ref=remote.output_ref, error_ref=remote.error_ref, next_poll=self._clock()
        )
        return job, remote

    def _is_ours(self, job: JobRecord, remote: RemoteJob, protocol: JobProtocol) -> bool:
        for result in protocol.iter_results(job, remote):
            return parse_row_id(job.nonce, result.row_id) is not None
        return False

    def lose(self, job: JobRecord, error: ChatError) -> JobRecord:
        """Mark a job whose results the service no longer has; its rows stay claimed until it is released."""
        gone = BatchGoneError(
            gone_message(job), job=job.id, provider=job.provider, model=job.model, status=error.status
        )
        self.journal.finish(job, state="gone", note=error.message, error=gone)
        logger.warning("%s", gone)
        return job._replace(state="gone")

    def _find_protocol(self, job: JobRecord) -> JobProtocol | None:
        if job.provider not in registry:
            return None
        context = self._call.context
        classes: Sequence[type[Provider] | None] = (
            *(target.provider for target in self._call.targets if target.provider.name == job.provider),
            registry[job.provider],
            registry[job.provider].for_endpoint("responses"),
        )
        for provider_cls in filter(None, classes):
            provider = context.provider(provider_cls)
            if place_of(provider) != job.place:
                continue
            try:
                keys = context.keys_for(provider)
            except MissingKeyError:
                continue
            for key in keys:
                if account_of(job.nonce, key) == job.account:
                    http = JobHTTP(provider, key, self._call)
                    for protocol in (found(http) for found in protocols_of(provider_cls)):
                        if protocol.api() == job.api:
                            return protocol
        return None


def gone_message(job: JobRecord) -> str:
    """Return what to say about a job that its service no longer has."""
    return (
        f"{job.provider}: the service no longer has the job {job.id} or its results ({job.rows:,} rows); they may have "
        f"been answered and charged. To send its rows again, release it: `aichatkit jobs FILE --release {job.id}`, or "
        "job.release() of aichatkit.jobs(FILE)"
    )


def account_of(nonce: str, key: object) -> str:
    """Return a salted hash of an API key, or of the name of a function that returns keys."""
    return hashlib.sha256(f"{nonce}:{key or ''}".encode()).hexdigest()[:16]


def place_of(provider: Provider) -> str:
    """Return a hash of a base URL."""
    return hashlib.sha256(provider.url.encode()).hexdigest()[:16]


def _add_hint(error: ChatError) -> None:
    """Say what a refusal means if live calls work; some plans, and servers with the same protocol, have no jobs."""
    if error.status in (403, 404) and not isinstance(error, ModelNotFoundError):
        error.message += "; if live calls work, batch jobs are not open to this key, or not at this address"
        error.args = (error.message,)


def _was_not_sent(error: ChatError) -> bool:
    """Return whether a job certainly was not created, and may be later."""
    if isinstance(error, ConnectError):
        return not error.maybe_processed
    return isinstance(error, RateLimitError) and error.status == 429


def _new_record(values: dict[str, object]) -> JobRecord:
    empty = dict.fromkeys(JobRecord._fields, "")
    numbers = dict.fromkeys(("job", "rows", "answered", "failed", "bytes", "tokens", "tried"), 0)
    times = {**dict.fromkeys(("created", "next_poll", "until", "held"), 0.0), "sent": None, "deadline": None}
    return JobRecord(**{**empty, **numbers, **times, **values})  # type: ignore[arg-type]
