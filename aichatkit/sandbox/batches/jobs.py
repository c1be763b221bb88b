"""Rows -> jobs -> results: what every service with batch jobs does, by the sandbox's clock."""

from __future__ import annotations

import itertools
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import dataclass, field
from aichatkit.sandbox.exchange import APIError, Headers, Piece, Request, Response
from aichatkit.sandbox.wires import Call

__all__ = ["BatchJob", "BatchRow", "Batches", "StoredFile", "lines_response", "text_of_time"]

#: How long after its creation a job ends unfinished, in seconds.
WINDOW = 86_400.0
#: The share of a job's time that it takes to cancel it.
_CANCELLING = 0.1
_LONG_LINE = "batch-long-line"


@dataclass
class BatchRow:
    """A row of a batch job, in the ledger from the moment the job is created.

    `body` is what the row asks, `prompt` the user's last message once it was answered. `state` is "asked", "answered",
    "refused", "expired" or "cancelled"; an answered row would be charged. `status` and `result` are the response to it.
    """

    id: str
    body: Mapping[str, Any] = field(repr=False)
    path: str = field(default="", repr=False)
    job: str = ""
    state: str = "asked"
    prompt: str = ""
    status: int = 0
    result: Any = field(default=None, repr=False)
    #: Called when its job has ended.
    finish: Callable[[], None] | None = field(default=None, repr=False)


@dataclass
class BatchJob:
    """A batch job: `state` is "running", "completed", "failed", "expired" or "cancelled".

    `service` is whose protocol it was created in. Times are in seconds since 1970, by the sandbox's clock.
    """

    id: str
    service: str
    rows: list[BatchRow] = field(repr=False)
    created: float
    state: str = "running"
    ended: float | None = None
    cancelled: float | None = None
    #: Why the job as a whole was refused: codes, messages, and the numbers of the lines that are to blame.
    problems: Sequence[Mapping[str, Any]] = ()
    details: dict[str, Any] = field(default_factory=dict, repr=False)
    quirks: Mapping[str, Any] = field(default_factory=dict, repr=False)
    owner: str = field(default="", repr=False)
    headers: Headers = field(default_factory=Headers, repr=False)
    #: The rows in the order of the results: not that of the input.
    order: list[BatchRow] = field(default_factory=list, repr=False)

    def count(self, *states: str) -> int:
        """Return the number of rows in these states."""
        return sum(row.state in states for row in self.rows)

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens to the job."""
        return self.state != "running"


@dataclass
class StoredFile:
    """An uploaded file, or one with results."""

    id: str
    data: bytes = field(repr=False)
    name: str = ""
    purpose: str = ""
    owner: str = field(default="", repr=False)
    created: float = 0.0
    expires: float | None = None
    #: When a job can be created from it.
    ready: float = 0.0


class Batches:
    """The files and jobs of a sandbox. `seconds` is how long a job takes.

    `answer` responds to the request of a row, with a fault if one is named.
    """

    def __init__(self, answer: Callable[[Request, BatchRow, str], Response], *, seconds: float, seed: int) -> None:
        self.seconds = seconds
        self.jobs: list[BatchJob] = []
        self.files: dict[str, StoredFile] = {}
        #: Uploads that have begun, by their numbers: what was said of the file.
        self.uploads: dict[str, StoredFile] = {}
        self.lock = threading.RLock()
        self._answer = answer
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        #: Other than those of a sandbox that ran before: its jobs are not found here.
        self._own = secrets.token_hex(3)
        self._moved = 0.0

    def now(self) -> float:
        """Return the time by the sandbox's clock, in seconds since 1970."""
        return time.time() + self._moved

    def advance(self, seconds: float) -> None:
        """Move the clock, and end the jobs whose time is up."""
        with self.lock:
            self._moved += seconds
            for job in self.jobs:
                self._settle(job)

    def next_id(self, prefix: str) -> str:
        """Return an ID that nothing has yet."""
        return f"{prefix}{self._own}{next(self._numbers)}"

    def store(self, data: bytes, *, prefix: str, **details: Any) -> StoredFile:
        """Keep a file."""
        file = StoredFile(self.next_id(prefix), data, created=self.now(), **details)
        self.files[file.id] = file
        return file

    def find_file(self, id: str, owner: str) -> StoredFile:
        """Return a file of a key."""
        file = self.files.get(id)
        if file is None or file.owner != owner or (file.expires is not None and self.now() >= file.expires):
            raise APIError("not-found", f"No such File object: {id}")
        return file

    def create(
        self, call: Call, service: str, rows: Sequence[BatchRow], *, prefix: str, owner: str, **given: Any
    ) -> BatchJob:
        """Create a job from a request; faults of the request make it a special one."""
        quirks = dict(call.overrides)
        # A row that is asked again has to show in the ledger even if the answer to its creation is lost.
        for _ in range(2 if "batch-twice" in quirks else 1):
            id = self.next_id(prefix)
            copies = [BatchRow(row.id, row.body, row.path, id) for row in rows]
            job = BatchJob(id, service, copies, self.now(), quirks=quirks, owner=owner, headers=call.request.headers)
            job.details.update(given)
            job.order = self._random.sample(copies, len(copies))
            self.jobs.append(job)
        return job

    def find(self, id: str, owner: str, *services: str) -> BatchJob:
        """Return a job of a key as it is now; another key's jobs are not found."""
        for job in self.jobs:
            if job.id == id and job.owner == owner and (not services or job.service in services):
                self._settle(job)
                return job
        raise APIError("not-found", f"No batch found with id '{id}'.")

    def list(self, owner: str, *services: str) -> list[BatchJob]:
        """Return the jobs of a key, the newest first; those of a fault appear late."""
        jobs = [job for job in reversed(self.jobs) if job.owner == owner and job.service in services]
        shown = [job for job in jobs if self.now() >= job.created + job.quirks.get("batch-lag", 0.0)]
        for job in shown:
            self._settle(job)
        return shown

    def cancel(self, job: BatchJob, *, at_once: bool = False) -> None:
        """Cancel a job that has not ended; what it has answered by then stays."""
        if not job.is_ended and job.cancelled is None:
            job.cancelled = self.now()
        if at_once and not job.is_ended:
            self._end(job, "cancelled", self.progress(job))

    def delete(self, job: BatchJob) -> None:
        """Forget a job, but not its rows: they stay in the ledger."""
        job.owner = "\0deleted"

    def progress(self, job: BatchJob) -> float:
        """Return the share of a running job that is done."""
        if "batch-stuck" in job.quirks:
            return 0.0
        until = self.now() if job.cancelled is None else job.cancelled
        share = 1.0 if self.seconds <= 0 else min(1.0, (until - job.created) / self.seconds)
        return min(share, float(job.quirks.get("batch-expire", 1.0)))

    def _settle(self, job: BatchJob) -> None:
        if job.is_ended:
            return
        now, quirks = self.now(), job.quirks
        is_over = now >= job.created + self.seconds
        if job.problems:
            job.state, job.ended = "failed", now
        elif job.cancelled is not None and now >= job.cancelled + self.seconds * _CANCELLING:
            self._end(job, "cancelled", self.progress(job))
        elif "batch-stuck" in quirks or "batch-expire" in quirks:
            if now >= job.created + WINDOW:
                self._end(job, "expired", self.progress(job))
        elif is_over and "batch-cancel" in quirks:
            job.cancelled = now
            self._end(job, "cancelled", quirks["batch-cancel"])
        elif is_over:
            self._end(job, "completed", 1.0)

    def _end(self, job: BatchJob, state: str, share: float) -> None:
        job.state, job.ended = state, self.now()
        done = len(job.order) if state == "completed" else int(share * len(job.order))
        for number, row in enumerate(job.order):
            if number < done:
                self._answer_row(job, row)
            else:
                row.state = state
        for row in job.order:
            if row.finish is not None:
                row.finish()

    def _answer_row(self, job: BatchJob, row: BatchRow) -> None:
        if row.body.get("stream"):
            error = {"message": "Streaming is not supported in batches.", "type": "invalid_request_error"}
            row.status, row.result, row.state = 400, {"error": error}, "refused"
            return
        document = json.dumps(row.body).encode()
        fields = [(name, value) for name, value in job.headers.fields if name.lower() != "content-type"]
        headers = Headers([*fields, ("Content-Type", "application/json")])
        fault = job.quirks.get("batch-all-errors", "")
        response = self._answer(Request("POST", row.path, {}, headers, document, 0), row, fault)
        row.status = response.status
        try:
            row.result = json.loads(response.body)
        except ValueError:
            row.status, row.result = 500, {"error": {"message": "The server had an error.", "type": "server_error"}}
        row.state = "answered" if row.status == 200 else "refused"


def lines_response(job: BatchJob, lines: Sequence[Mapping[str, Any]], content_type: str) -> Response:
    """Build the response with the lines of results, with the faults of the job."""
    if "batch-output-gone" in job.quirks:
        raise APIError("not-found", "The file with the results is gone.")
    return Response(200, [("Content-Type", content_type)], [Piece(result_lines(job, lines))])


def result_lines(job: BatchJob, lines: Sequence[Mapping[str, Any]]) -> bytes:
    """Return results as JSON lines, with the faults of the job."""
    edited = list(lines)
    if edited and "batch-missing-row" in job.quirks:
        del edited[0]
    if edited and "batch-double-row" in job.quirks:
        edited.append(edited[0])
    if edited and "batch-foreign-row" in job.quirks:
        edited.insert(0, {name: "request-7" if isinstance(value, str) else value for name, value in edited[0].items()})
    if edited and "batch-separator" in job.quirks:
        # Raw separators that some languages take for the end of a line.
        edited[0] = {**edited[0], "note": "one\u2028two\x85three"}
    if edited and _LONG_LINE in job.quirks:
        edited[0] = {**edited[0], "note": "x" * (job.quirks[_LONG_LINE] << 20)}
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in edited)


def text_of_time(seconds: float | None, *, job: BatchJob | None = None) -> str | None:
    """Return a time as text, as most services write it; for some faults, as a date only."""
    if seconds is None:
        return None
    moment = time.gmtime(seconds)
    if job is not None and "batch-dates" in job.quirks:
        return time.strftime("%Y-%m-%d", moment)
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", moment)
