"""Jobs of Anthropic: one request contains all rows, and only the row IDs in the results identify a job."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aichatkit.batch_jobs.lines import FileBody, Spool
from aichatkit.batch_jobs.protocols.base import JobProtocol, oldest_first, parse_count, parse_id, parse_time
from aichatkit.batch_jobs.records import JobRecord, RemoteJob, RowResult
from aichatkit.errors import BadResponseError

__all__ = ["AnthropicJobs"]

#: How far from its sending a job may have been created, in seconds: the clock of this machine may be wrong.
_SKEW = 3600.0
_PAGE = 1000


class AnthropicJobs(JobProtocol):
    """Jobs of Anthropic's Messages API."""

    max_rows = 100_000
    max_bytes = 250_000_000
    is_named = False

    def build_line(self, row_id: str, body: bytes) -> bytes:
        return json.dumps({"custom_id": row_id})[:-1].encode() + b', "params": ' + body + b"}"

    def create(self, job: JobRecord, spool: Spool | None) -> RemoteJob:
        assert spool is not None
        return self._parse_job(self.http.post_spool(self._url(), lambda: FileBody(spool, b'{"requests":[', b"]}")))

    def poll(self, job: JobRecord) -> RemoteJob:
        return self._parse_job(self.http.get(self._url(f"/{job.remote}")))

    def find(self, job: JobRecord) -> list[RemoteJob]:
        sent = job.sent or job.created
        found, after = [], ""
        while True:
            page = self.http.get(self._url(), params={"limit": _PAGE, **({"after_id": after} if after else {})})
            jobs = [self._parse_job(record) for record in page.get("data") or () if isinstance(record, dict)]
            near = [remote for remote in jobs if abs((remote.created or sent) - sent) <= _SKEW]
            found += [remote for remote in near if remote.total == job.rows]
            is_past = bool(jobs) and (jobs[-1].created or sent) < sent - _SKEW
            after = jobs[-1].id if jobs else ""
            if is_past or not page.get("has_more") or not after:
                return oldest_first(found)

    def iter_results(self, job: JobRecord, remote: RemoteJob) -> Iterator[RowResult]:
        for record in self.read_lines(self._url(f"/{job.remote}/results")):
            yield self._parse_row(record, job)

    def cancel(self, job: JobRecord) -> None:
        self.http.post(self._url(f"/{job.remote}/cancel"), {}, is_safe=True)

    def _parse_row(self, record: Mapping[str, Any], job: JobRecord) -> RowResult:
        row_id = parse_id(record.get("custom_id"))
        result = record.get("result")
        result = result if isinstance(result, dict) else {}
        result_type = result.get("type")
        if result_type == "succeeded":
            return RowResult(row_id, body=result.get("message"), record=record)
        if result_type in ("canceled", "expired"):
            return RowResult(row_id, reason="cancelled" if result_type == "canceled" else "expired", record=record)
        return RowResult(row_id, error=self.reported(result.get("error") or result, model=job.model), record=record)

    def _parse_job(self, record: Mapping[str, Any]) -> RemoteJob:
        id = parse_id(record.get("id"))
        if not id:
            raise BadResponseError("anthropic: a job without an ID was sent", maybe_processed=True)
        counts = record.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        state = str(record.get("processing_status") or "")
        numbers = {name: parse_count(counts.get(name)) for name in counts}
        return RemoteJob(
            id=id,
            state=state,
            ended=state == "ended",
            total=sum(numbers.values()) or None,
            answered=numbers.get("succeeded", 0),
            failed=sum(numbers.get(name, 0) for name in ("errored", "canceled", "expired")),
            # The results of a job are archived some weeks after it.
            output_ref="" if record.get("archived_at") else id,
            created=parse_time(record.get("created_at")),
            deadline=parse_time(record.get("expires_at")),
            is_cancelled=bool(record.get("cancel_initiated_at")),
        )

    def _url(self, path: str = "") -> str:
        return f"{self.provider.url}/v1/messages/batches{path}"
