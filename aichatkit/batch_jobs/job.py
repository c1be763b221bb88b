"""Batch jobs for their owner: what the journal knows of them, and the three things that can be done with one."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import dataclass, field
from aichatkit._reasons import reason_of
from aichatkit.batch_jobs.engine import JobEngine
from aichatkit.batch_jobs.journal import JobJournal, has_jobs
from aichatkit.batch_jobs.records import CANCELLED, FINAL, JobRecord
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.params import parse_path
from aichatkit.registry import registry

if TYPE_CHECKING:
    from aichatkit.client import Client

__all__ = ["Job", "list_jobs"]

#: How SQLite files begin.
_SIGNATURE = b"SQLite format 3\0"
#: The wall clock, by which jobs are looked up.
_clock = time.time


@dataclass(frozen=True)
class Job:
    """A batch job of a journal, as it was when it was read.

    `id` is the service's ID, or ours if the service has not named it yet. `state` is "planned", "uploading",
    "uploaded", "sending", "unsure" (it may have been created), "running", "ended", "fetching", or one of the final
    ones: "done", "refused", "gone" and "released". `answered` and `failed` count its rows as far as the service reports
    them before the end. `sent` and `deadline` are datetimes in UTC, None if not known. `cost` is in US dollars, for the
    answers collected so far, None if a price is not known.
    """

    id: str
    provider: str
    model: str
    state: str
    rows: int
    answered: int
    failed: int
    sent: datetime | None
    deadline: datetime | None
    cost: float | None
    #: What the service said last, or why the job ended as it did.
    note: str = ""
    _path: str = field(default="", repr=False)
    _nonce: str = field(default="", repr=False)
    _client: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, record: JobRecord, path: str, client: Client | None = None) -> Job:
        """Return the job that a record describes."""
        return cls(
            record.id,
            record.provider,
            record.model,
            record.state,
            record.rows,
            record.answered,
            record.failed,
            _moment(record.sent),
            _moment(record.deadline),
            record.cost,
            record.note,
            path,
            record.nonce,
            client,
        )

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job."""
        return self.state in FINAL

    def refresh(self) -> Job:
        """Look the job up at its service and return it as it is now.

        The answers of a job that has ended are collected by the call of `map` that sent it.
        """
        return self._change(lambda engine, job: job if job.state in FINAL else engine.advance(job)[0])

    def cancel(self) -> Job:
        """Cancel the job at its service and return it; what it answered until then is charged, and still collected."""

        def cancel(engine: JobEngine, job: JobRecord) -> JobRecord:
            if job.state in FINAL:
                return job
            try:
                return engine.cancel(job)
            except ChatError as error:
                # Services refuse to cancel a job that has ended, which the journal does not know yet.
                if error.status not in (400, 409) or engine.advance(job)[0].state != "ended":
                    raise
                return job

        return self._change(cancel)

    def release(self) -> Job:
        """Give the job up, so that its rows are sent again: they may then be answered, and charged, twice.

        It is meant for jobs that the service no longer has, whose state is "gone". A job that may still run has to be
        cancelled first.

        Raises:
            ConfigurationError: the job is running.
        """

        def release(engine: JobEngine, job: JobRecord) -> JobRecord:
            if job.state in ("done", "refused", "released"):
                return job
            if job.state != "gone" and job.note != CANCELLED:
                raise ConfigurationError(
                    f"{job.provider}: the job {job.id} may still run ({job.state}), and its rows would be charged "
                    "twice; cancel it first"
                )
            engine.journal.release_job(job, note="released")
            return job._replace(state="released", note="released")

        return self._change(release)

    def _change(self, change: Callable[[JobEngine, JobRecord], JobRecord]) -> Job:
        client = self._client if self._client is not None else _default_client()
        with closing(JobJournal(self._path)) as journal:
            journal.take_over()
            job = journal.find_job(self._nonce)
            if job is None:
                raise ConfigurationError(f"the journal {self._path!r} no longer has the job {self.id}")
            if job.state not in FINAL and job.owner != journal.owner:
                raise ConfigurationError(
                    f"{job.provider}: another process looks after the job {job.id} now; end it first, or wait for it"
                )
            provider_cls = registry[job.provider]
            call = client._build_call("?", 0, model=f"{provider_cls.name}/{job.model}")
            engine = JobEngine(journal, call, clock=_clock)
            if engine.protocol_of(job) is None and job.state not in FINAL:
                raise ConfigurationError(
                    f"{job.provider}: the job {job.id} was sent with another API key or to another base_url; use a "
                    "client that has the same ones, as in Client(api_key=..., base_url=...).jobs(path)"
                )
            changed = change(engine, job)
            current = journal.find_job(self._nonce)
            return Job.of(changed if current is None else current, self._path, client)

    def __reduce__(self) -> tuple[Any, ...]:
        # A client is not pickled with its jobs.
        values = [getattr(self, name) for name in type(self).__match_args__]
        return type(self), (*values[:-1], None)


def list_jobs(path: Any, client: Client | None = None) -> list[Job]:
    """Return the batch jobs of a journal, in the order in which they were planned."""
    path = parse_path(path, "jobs: the path must be that of a journal, such as 'run.sqlite'")
    if not has_jobs(path):
        _check_database(path)
        return []
    with closing(JobJournal(path)) as journal:
        return [Job.of(record, journal.path, client) for record in journal.jobs()]


def _check_database(path: str) -> None:
    """Raise ConfigurationError for a file that is something else than a journal, which may be empty or missing."""
    reason = ""
    try:
        with open(path, "rb") as file:
            start = file.read(len(_SIGNATURE))
    except FileNotFoundError:
        start = b""
    except OSError as error:
        reason, start = reason_of(error), b"?"
    if start not in (b"", _SIGNATURE):
        raise ConfigurationError(
            f"jobs: {path[:200]!r} is not a journal, or cannot be read; pass the path of resume=", reason=reason
        )


def _default_client() -> Any:
    # The functions of the package come after this module; jobs read from a journal alone need their client.
    from aichatkit.api import default_client

    return default_client()


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
