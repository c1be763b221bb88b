"""The interface of a service's batch jobs, and what the protocols share: lines, times, counts and errors of rows."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar

from aichatkit.batch_jobs.http import JobHTTP
from aichatkit.batch_jobs.lines import Spool, iter_lines
from aichatkit.batch_jobs.records import JobRecord, RemoteJob, RowResult
from aichatkit.classification import classify
from aichatkit.errors import BadRequestError, ChatError, ModelNotFoundError, RateLimitError, ServerError

__all__ = [
    "RPC_CANCELLED",
    "RPC_STATUSES",
    "FileJobProtocol",
    "JobProtocol",
    "oldest_first",
    "parse_count",
    "parse_id",
    "parse_time",
]

#: Codes of google.rpc -> HTTP statuses, and the code of a row that was cancelled; gRPC services report rows by them.
RPC_STATUSES = {3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 13: 500, 14: 503, 16: 401}
RPC_CANCELLED = 1
_FLAGS = re.IGNORECASE | re.DOTALL
#: What services say if a job as a whole was refused: some have codes for it, others only a text.
_FAILURES: Sequence[tuple[type[ChatError], str]] = (
    (RateLimitError, r"(token|request)_limit_exceeded|too_many_tasks|enqueued (token|request)s? limit"),
    (ModelNotFoundError, r"model_not_found|\bmodels?\b.*(not (supported|found|available)|unsupported|does(n't| not))"),
    (ServerError, r"internal|server[_ ]error|server had an error|try again|unavailable|timed out"),
)


class JobProtocol(ABC):
    """How one service takes batch jobs; the hooks are in the order in which they are called.

    The request that creates a job contains its rows, unless it is a `FileJobProtocol`.
    """

    #: The most rows, and bytes of lines, that one job may have.
    max_rows: ClassVar[int] = 50_000
    max_bytes: ClassVar[int] = 100_000_000
    #: What a job costs, as a share of the usual price, if the catalog has no batch price; None if not documented.
    price_factor: ClassVar[float | None] = None
    #: Whether a job that its service has created can be recognized by its input file or its name.
    is_named: ClassVar[bool] = True
    #: Fields of a body that jobs do not take.
    dropped: ClassVar[Sequence[str]] = ("stream", "stream_options")

    def __init__(self, http: JobHTTP) -> None:
        self.http = http
        self.provider = http.provider

    def api(self) -> str:
        """Return the endpoint that the rows of a job are for."""
        return type(self.provider).path

    def adapt_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a row: that of a call, without what jobs do not take."""
        return {name: value for name, value in body.items() if name not in self.dropped}

    @abstractmethod
    def build_line(self, row_id: str, body: bytes) -> bytes:
        """Return the line of a row; `body` is JSON."""

    @abstractmethod
    def create(self, job: JobRecord, spool: Spool | None) -> RemoteJob:
        """Create a job; never sent twice. `spool` holds the lines if the request contains them."""

    @abstractmethod
    def poll(self, job: JobRecord) -> RemoteJob:
        """Return a job as it is now."""

    @abstractmethod
    def find(self, job: JobRecord) -> list[RemoteJob]:
        """Return the jobs that may be this one, whose creation is not known; the oldest first."""

    @abstractmethod
    def iter_results(self, job: JobRecord, remote: RemoteJob) -> Iterator[RowResult]:
        """Yield the results of a job that has ended, in any order."""

    @abstractmethod
    def cancel(self, job: JobRecord) -> None:
        """Cancel a job; what it answered until then can still be collected."""

    def refused(self, status: int, body: Any, *, model: str) -> ChatError:
        """Return the error of a row that was refused with a status and a body."""
        return classify.response_error(
            status,
            {},
            json.dumps(body).encode(),
            provider=self.provider.name,
            model=model,
            rules=self.provider.rules,
        )

    def reported(self, record: Any, *, model: str) -> ChatError:
        """Return the error that an error record describes."""
        return classify.event_error(record, provider=self.provider.name, model=model, rules=self.provider.rules)

    def failure(self, problem: Any, job: JobRecord) -> ChatError:
        """Return the error of a job that was refused as a whole; `problem` is a record, or a text, that says why."""
        record = problem if isinstance(problem, Mapping) else {"message": str(problem or "")}
        error = self.reported({"error": dict(record)}, model=job.model)
        code, text = parse_id(record.get("code")), str(record.get("message") or "")
        error_type = type(error)
        if error_type in (ServerError, BadRequestError, ModelNotFoundError):
            # A reason that is not known is not one that passes.
            says = f"{code} {text}"
            error_type = next((each for each, words in _FAILURES if re.search(words, says, _FLAGS)), BadRequestError)
        reason = text or code or "the service gives no reason"
        return error_type(
            f"{self.provider.name}: the job {job.id} was refused: {reason}",
            provider=self.provider.name,
            model=job.model,
            code=code or error.code,
        )

    def read_lines(self, url: str) -> Iterator[Mapping[str, Any]]:
        """Download a file of JSON lines and yield its records; a line that is not one is skipped."""
        spool = self.http.download(url)
        try:
            for line in iter_lines(spool.file):
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(record, dict):
                    yield record
        finally:
            spool.close()


class FileJobProtocol(JobProtocol):
    """How a service takes batch jobs whose rows are in a file that is uploaded first."""

    @abstractmethod
    def upload(self, job: JobRecord, spool: Spool) -> str:
        """Upload the lines of a job and return the name of the file."""

    def is_ready(self, ref: str) -> bool:
        """Return whether a job can be created from the uploaded file now; some services check it first."""
        return True

    @abstractmethod
    def delete_input(self, ref: str) -> None:
        """Delete the uploaded file."""


def oldest_first(found: Sequence[RemoteJob]) -> list[RemoteJob]:
    """Return jobs of a list that has the newest first, in the order of their creation; some times are only dates."""
    ordered = list(found)
    ordered.reverse()
    ordered.sort(key=lambda remote: remote.created or 0.0)
    return ordered


def parse_time(value: Any) -> float | None:
    """Return a time in seconds since 1970, from a number, an ISO time or a date; None for anything else.

    >>> parse_time("2026-11-26T00:00:00Z"), parse_time("2026-11-26"), parse_time(5), parse_time({})
    (1795651200.0, 1795651200.0, 5.0, None)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    text = value.strip().replace("Z", "+00:00")
    head, dot, rest = text.partition(".")
    if dot:
        # Python 3.9 and 3.10 read no fractions but of three or six digits.
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = head + rest[digits:]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def parse_count(value: Any) -> int:
    """Return a count, which some services write as text.

    >>> parse_count("12"), parse_count(3), parse_count(None)
    (12, 3, 0)
    """
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def parse_id(value: Any) -> str:
    """Return an ID, "" for what some services send in place of none.

    >>> parse_id("file-1"), parse_id({}), parse_id(None)
    ('file-1', '', '')
    """
    return value if isinstance(value, str) else ""
