"""Jobs of xAI: an uploaded file, a job without a state but with counters, and results in pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aichatkit.batch_jobs.protocols.base import (
    RPC_CANCELLED,
    RPC_STATUSES,
    oldest_first,
    parse_count,
    parse_id,
    parse_time,
)
from aichatkit.batch_jobs.protocols.openai_files import OpenAIJobs
from aichatkit.batch_jobs.records import JobRecord, RemoteJob, RowResult
from aichatkit.errors import BadResponseError

__all__ = ["XAIJobs"]

_PAGE = 1000
#: The shapes of an answer, by the protocol of the row.
_ANSWERS = ("chat_get_completion", "responses", "response")
#: How long before it was sent a job may have been created: the service may give dates only, and clocks differ.
_SKEW = 2 * 86_400.0


class XAIJobs(OpenAIJobs):
    """Jobs of xAI, with a file that holds all rows: a job that gets its rows one by one has no end."""

    max_rows = 100_000
    max_bytes = 100_000_000
    keeps = None

    def creation(self, job: JobRecord) -> dict[str, Any]:
        return {"name": job.name, "input_file_id": job.input_ref}

    def find(self, job: JobRecord) -> list[RemoteJob]:
        oldest = (job.sent or job.created) - _SKEW
        found, token = [], ""
        while True:
            params = {"limit": 100, **({"pagination_token": token} if token else {})}
            page = self.http.get(self._url(self.jobs_path), params=params)
            records = page.get("batches") or page.get("data") or ()
            jobs = [self.parse_job(record, job) for record in records if isinstance(record, dict)]
            found += [remote for remote in jobs if job.input_ref == remote.input_ref or remote.name == job.name]
            token = parse_id(page.get("pagination_token"))
            if not token or any(remote.created is not None and remote.created < oldest for remote in jobs):
                return oldest_first(found)

    def iter_results(self, job: JobRecord, remote: RemoteJob) -> Iterator[RowResult]:
        token = ""
        while True:
            params = {"limit": _PAGE, **({"pagination_token": token} if token else {})}
            page = self.http.get(self._url(f"{self.jobs_path}/{job.remote}/results"), params=params)
            yield from (self.parse_row(record, job) for record in page.get("results") or () if isinstance(record, dict))
            token = parse_id(page.get("pagination_token"))
            if not token:
                return

    def parse_row(self, record: Mapping[str, Any], job: JobRecord) -> RowResult:
        row_id = parse_id(record.get("batch_request_id")) or parse_id(record.get("custom_id"))
        result = record.get("batch_result")
        result = result if isinstance(result, dict) else record
        response, error = result.get("response"), result.get("error")
        if isinstance(response, dict):
            body = next((response[name] for name in _ANSWERS if isinstance(response.get(name), dict)), response)
            return RowResult(row_id, body=body, record=record)
        code = error.get("code") if isinstance(error, dict) else None
        if code == RPC_CANCELLED:
            return RowResult(row_id, reason="cancelled", record=record)
        if isinstance(code, int) and code in RPC_STATUSES:
            body = {"error": {**error, "code": RPC_STATUSES[code]}}  # type: ignore[dict-item]
            return RowResult(row_id, error=self.refused(RPC_STATUSES[code], body, model=job.model), record=record)
        return RowResult(row_id, error=self.reported({"error": error or "no answer"}, model=job.model), record=record)

    def cancel(self, job: JobRecord) -> None:
        self.http.post(self._url(f"{self.jobs_path}/{job.remote}:cancel"), {}, is_safe=True)

    def parse_job(self, record: Mapping[str, Any], job: JobRecord) -> RemoteJob:
        id = parse_id(record.get("batch_id")) or parse_id(record.get("id"))
        if not id:
            raise BadResponseError("xai: a job without an ID was sent", maybe_processed=True)
        state = record.get("state")
        counts = state if isinstance(state, dict) else {}
        total, answered, failed, cancelled = (
            parse_count(counts.get(f"num_{name}")) for name in ("requests", "success", "error", "cancelled")
        )
        pending = parse_count(counts.get("num_pending"))
        refusal = record.get("cancel_by_xai_message")
        failure = self.failure(refusal, job) if isinstance(refusal, str) and refusal else None
        is_done = total > 0 and pending == 0 and answered + failed + cancelled >= total
        return RemoteJob(
            id=id,
            state="refused" if failure else "ended" if is_done else "reading" if not total else "running",
            ended=is_done or failure is not None,
            total=total or None,
            answered=answered,
            failed=failed + cancelled,
            created=parse_time(record.get("create_time")),
            # Some of its times are dates without an hour.
            deadline=parse_time(record.get("expire_time")),
            failure=failure,
            is_cancelled=bool(record.get("cancel_time")) and failure is None,
            input_ref=parse_id(record.get("input_file_id")),
            name=parse_id(record.get("name")),
        )
