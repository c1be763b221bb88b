"""Message batches of Anthropic: one request contains all rows, and the results are at a URL of the batch."""

from __future__ import annotations

import re
from typing import Any

from aichatkit.sandbox.batches.jobs import WINDOW, Batches, BatchJob, BatchRow, lines_response, text_of_time
from aichatkit.sandbox.exchange import APIError, Response, json_response
from aichatkit.sandbox.wires import Call, Route, Settings
from aichatkit.sandbox.wires.anthropic import Anthropic
from aichatkit.sandbox.wires.base import parse_json

__all__ = ["AnthropicBatches"]

_BASE = "/v1/messages/batches"
_SERVICE = "anthropic"
_PAGE, _MAX_PAGE = 20, 1000


class AnthropicBatches(Anthropic):
    """The batches of a key; only ones that have ended count their rows."""

    name = "anthropic-batches"
    routes = (
        Route("POST", _BASE, "create", "batch-create"),
        Route("GET", _BASE, "jobs", "batch-list"),
        Route("GET", f"{_BASE}/[^/]+", "job", "batch-poll"),
        Route("DELETE", f"{_BASE}/[^/]+", "delete", "batch-delete"),
        Route("GET", f"{_BASE}/[^/]+/results", "results", "batch-results"),
        Route("POST", f"{_BASE}/[^/]+/cancel", "cancel", "batch-cancel"),
    )

    def __init__(self, settings: Settings, batches: Batches) -> None:
        super().__init__(settings)
        self._batches = batches

    def create(self, call: Call) -> Response:
        """Check the form of the request, and start a batch; what is in its rows is checked row by row."""
        owner = self._check(call)
        entries = parse_json(call.request).get("requests")
        if not isinstance(entries, list) or not entries:
            raise APIError("bad-request", "requests: List should have at least 1 item after validation, not 0")
        rows: list[BatchRow] = []
        seen: set[str] = set()
        for number, entry in enumerate(entries):
            id, params = entry.get("custom_id"), entry.get("params")
            if not isinstance(id, str) or not re.fullmatch("[a-zA-Z0-9_-]{1,64}", id):
                problem = "String should have at most 64 characters and match the pattern '^[a-zA-Z0-9_-]{1,64}$'"
                raise APIError("bad-request", f"requests.{number}.custom_id: {problem}")
            if id in seen:
                raise APIError("bad-request", f"requests.{number}.custom_id: Duplicate custom_id: {id}")
            if not isinstance(params, dict):
                raise APIError("bad-request", f"requests.{number}.params: Field required")
            if params.get("stream"):
                raise APIError("bad-request", f"requests.{number}.params.stream: Streaming is not supported in batches")
            seen.add(id)
            rows.append(BatchRow(id, params, "/v1/messages"))
        if "batch-token-limit" in call.overrides:
            raise APIError("rate-limit", "This request would exceed the limit of batch requests in the queue.")
        job = self._batches.create(call, _SERVICE, rows, prefix="msgbatch_", owner=owner)
        return json_response(self._describe(job, call))

    def jobs(self, call: Call) -> Response:
        """List the batches, the newest first."""
        owner, query = self._check(call), call.request.query
        jobs = self._batches.list(owner, _SERVICE)
        ids = [job.id for job in jobs]
        if query.get("after_id") in ids:
            jobs = jobs[ids.index(query["after_id"]) + 1 :]
        limit = min(int(query.get("limit") or _PAGE), _MAX_PAGE)
        page = [self._describe(job, call) for job in jobs[:limit]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return json_response({"data": page, "has_more": len(jobs) > limit, **ends})

    def job(self, call: Call) -> Response:
        """Return a batch."""
        return json_response(self._describe(self._find(call), call))

    def cancel(self, call: Call) -> Response:
        """Cancel a batch; one that has ended stays as it is."""
        job = self._find(call)
        self._batches.cancel(job)
        return json_response(self._describe(job, call))

    def delete(self, call: Call) -> Response:
        """Delete a batch that has ended."""
        job = self._find(call)
        if not job.is_ended:
            raise APIError("bad-request", f"Message batch {job.id} cannot be deleted while it is in progress.")
        self._batches.delete(job)
        return json_response({"id": job.id, "type": "message_batch_deleted"})

    def results(self, call: Call) -> Response:
        """Return the results, in any order."""
        job = self._find(call)
        if not job.is_ended or "batch-archived" in job.quirks:
            raise APIError("not-found", f"The results of the message batch {job.id} are not available.")
        return lines_response(job, [_line(row) for row in job.order], "application/x-jsonl")

    def respond(self, call: Call) -> Response:
        """Respond to one call at a time."""
        with self._batches.lock:
            return super().respond(call)

    def _check(self, call: Call) -> str:
        self.check_key(call)
        if "anthropic-version" not in call.request.headers:
            raise APIError("bad-request", "anthropic-version: header is required")
        headers = call.request.headers
        return headers.get("x-api-key") or headers.get("authorization", "").partition(" ")[2]

    def _find(self, call: Call) -> BatchJob:
        return self._batches.find(call.request.path[len(_BASE) + 1 :].partition("/")[0], self._check(call), _SERVICE)

    def _describe(self, job: BatchJob, call: Call) -> dict[str, Any]:
        names = {"answered": "succeeded", "refused": "errored", "cancelled": "canceled", "expired": "expired"}
        counts = {"processing": 0 if job.is_ended else len(job.rows)}
        # Until the end, all others are 0.
        counts.update({name: job.count(state) if job.is_ended else 0 for state, name in names.items()})
        is_canceling = job.cancelled is not None and not job.is_ended
        is_archived = job.is_ended and "batch-archived" in job.quirks
        url = f"{self.settings.url}{call.request.prefix}{_BASE}/{job.id}/results"
        as_text = "batch-count-strings" in job.quirks
        return {
            "id": job.id,
            "type": "message_batch",
            "processing_status": "ended" if job.is_ended else "canceling" if is_canceling else "in_progress",
            "request_counts": {name: str(count) if as_text else count for name, count in counts.items()},
            "created_at": text_of_time(job.created, job=job),
            "expires_at": text_of_time(job.created + WINDOW, job=job),
            "ended_at": text_of_time(job.ended),
            "archived_at": text_of_time(job.ended) if is_archived else None,
            "cancel_initiated_at": text_of_time(job.cancelled),
            "results_url": url if job.is_ended and not is_archived else None,
        }


def _line(row: BatchRow) -> dict[str, Any]:
    result: dict[str, Any] = {"type": {"cancelled": "canceled"}.get(row.state, row.state)}
    if row.state == "answered":
        usage = {**row.result.get("usage", {}), "service_tier": "batch"}
        result = {"type": "succeeded", "message": {**row.result, "usage": usage}}
    elif row.state == "refused":
        error = row.result.get("error") or {}
        known = {"type": str(error.get("type") or "api_error"), "message": str(error.get("message") or "")}
        result = {"type": "errored", "error": {"type": "error", "error": known, "request_id": None}}
    return {"custom_id": row.id, "result": result}
