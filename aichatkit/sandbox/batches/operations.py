"""Batches of Gemini: resumable uploads, long-running operations, and results in a file or in the operation."""

from __future__ import annotations

import json
import re
from typing import Any

from aichatkit.sandbox.batches.jobs import Batches, BatchJob, BatchRow, StoredFile, lines_response, text_of_time
from aichatkit.sandbox.exchange import APIError, Request, Response, json_response
from aichatkit.sandbox.wires import Call, Route, Settings
from aichatkit.sandbox.wires.base import parse_json
from aichatkit.sandbox.wires.gemini import Gemini

__all__ = ["GeminiBatches"]

_VERSION = "/v1(?:alpha|beta)?"
_SERVICE = "gemini"
_EMBED = "asyncBatchEmbedContent"
_STATES = {"completed": "SUCCEEDED"}
#: HTTP status -> code of google.rpc.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14}
_LIFETIME = 172_800.0
_PAGE = 50
_MIME_TYPE = "application/json"


class GeminiBatches(Gemini):
    """Files and batches of a key."""

    name = "gemini-batches"
    routes = (
        Route("POST", f"/upload{_VERSION}/files", "upload", "batch-upload"),
        Route("GET", f"{_VERSION}/files/[^/:]+", "file", "file"),
        Route("DELETE", f"{_VERSION}/files/[^/:]+", "delete_file", "batch-delete"),
        Route("GET", f"{_VERSION}/files/[^/:]+:download", "results", "batch-results"),
        Route(
            "POST",
            f"{_VERSION}/models/[^/:]+:(?:batchGenerateContent|asyncBatchEmbedContent)",
            "create",
            "batch-create",
        ),
        Route("GET", f"{_VERSION}/batches", "jobs", "batch-list"),
        Route("GET", f"{_VERSION}/batches/[^/:]+", "job", "batch-poll"),
        Route("DELETE", f"{_VERSION}/batches/[^/:]+", "delete", "batch-delete"),
        Route("POST", f"{_VERSION}/batches/[^/:]+:cancel", "cancel", "batch-cancel"),
    )

    def __init__(self, settings: Settings, batches: Batches) -> None:
        super().__init__(settings)
        self._batches = batches

    def match(self, request: Request) -> tuple[Route | None, list[str]]:
        """Match the paths shared with OpenAI only if the key is sent in Gemini's header, or in the URL."""
        if "x-goog-api-key" not in request.headers and not {"key", "upload_id"} & set(request.query):
            return None, []
        return super().match(request)

    def respond(self, call: Call) -> Response:
        """Respond to one call at a time."""
        with self._batches.lock:
            return super().respond(call)

    def upload(self, call: Call) -> Response:
        """Take the steps of a resumable upload: start, then the bytes in one or more pieces."""
        headers, command = call.request.headers, call.request.headers.get("x-goog-upload-command", "")
        if command == "start":
            owner = self._check(call)
            asked = parse_json(call.request).get("file") or {}
            number = self._batches.next_id("up")
            name, mime_type = str(asked.get("display_name") or asked.get("displayName") or ""), "application/jsonl"
            mime_type = str(asked.get("mime_type") or asked.get("mimeType") or mime_type)
            self._batches.uploads[number] = StoredFile(number, b"", name, mime_type, owner)
            url = f"{self.settings.url}{call.request.prefix}{call.request.path}?upload_id={number}"
            return json_response({}, headers=[("X-Goog-Upload-URL", url), ("X-Goog-Upload-Status", "active")])
        begun = self._batches.uploads.get(call.request.query.get("upload_id", ""))
        if begun is None or not command.startswith("upload"):
            raise APIError("bad-request", "Invalid request: there is no such upload.")
        if int(headers.get("x-goog-upload-offset", "0")) != len(begun.data):
            raise APIError("bad-request", f"Invalid offset: {len(begun.data)} bytes were received.")
        begun.data += call.request.body
        if "finalize" not in command:
            return json_response({}, headers=[("X-Goog-Upload-Status", "active")])
        del self._batches.uploads[begun.id]
        details = {"name": begun.name, "purpose": begun.purpose, "owner": begun.owner}
        file = self._batches.store(begun.data, prefix="files/in", **details, expires=self._batches.now() + _LIFETIME)
        return json_response({"file": _describe_file(file)}, headers=[("X-Goog-Upload-Status", "final")])

    def file(self, call: Call) -> Response:
        """Return what is known of a file."""
        return json_response(_describe_file(self._find_file(call)))

    def delete_file(self, call: Call) -> Response:
        """Delete a file."""
        del self._batches.files[self._find_file(call).id]
        return json_response({})

    def create(self, call: Call) -> Response:
        """Start a batch from a file or from rows in the request."""
        owner = self._check(call)
        batch = parse_json(call.request).get("batch") or {}
        if not (batch.get("displayName") or batch.get("display_name")):
            raise APIError("bad-request", "* BatchGenerateContentRequest.batch.display_name: display_name is required")
        if "batch-model-refused" in call.overrides:
            raise APIError("model-not-found", "The model is not found, or does not support batchGenerateContent.")
        config = batch.get("inputConfig") or batch.get("input_config") or {}
        name = config.get("fileName") or config.get("file_name")
        model, _, method = call.request.path.rpartition("/")[2].partition(":")
        is_embedding = method == _EMBED
        path = f"/v1beta/models/{model}:{'embedContent' if is_embedding else 'generateContent'}"
        entries = self._lines(name, owner) if name else _inline(config)
        if not entries:
            raise APIError("bad-request", "* BatchGenerateContentRequest.batch.input_config: no requests are in it")
        keys = [str(entry.get("key") or (entry.get("metadata") or {}).get("key") or "") for entry in entries]
        fields = {"model": f"models/{model}"} if is_embedding else {}
        rows = [BatchRow(key, {**(entry.get("request") or {}), **fields}, path) for key, entry in zip(keys, entries)]
        details = {"name": batch.get("displayName") or batch.get("display_name"), "model": model, "file": name}
        job = self._batches.create(call, _SERVICE, rows, prefix="batches/b", owner=owner, **details)
        if "batch-token-limit" in job.quirks:
            job.problems = [{"code": 8, "message": "Resource has been exhausted (e.g. check quota)."}]
        if "batch-fail" in job.quirks:
            job.problems = [{"code": 13, "message": "An internal error has occurred."}]
        if "batch-invalid" in job.quirks:
            job.problems = [{"code": 3, "message": "Failed to parse the input file: line 1 is not valid."}]
        return json_response(self._describe(job))

    def jobs(self, call: Call) -> Response:
        """List the batches, the newest first."""
        jobs = self._batches.list(self._check(call), _SERVICE)
        query = call.request.query
        size, start = int(query.get("pageSize") or _PAGE), int(query.get("pageToken") or 0)
        document: dict[str, Any] = {"operations": [self._describe(job) for job in jobs[start : start + size]]}
        return json_response({**document, **({"nextPageToken": str(start + size)} if start + size < len(jobs) else {})})

    def job(self, call: Call) -> Response:
        """Return a batch as an operation."""
        return json_response(self._describe(self._find(call)))

    def cancel(self, call: Call) -> Response:
        """Cancel a batch at once."""
        self._batches.cancel(self._find(call), at_once=True)
        return json_response({})

    def delete(self, call: Call) -> Response:
        """Delete a batch."""
        self._batches.delete(self._find(call))
        return json_response({})

    def results(self, call: Call) -> Response:
        """Return the lines of a file with results."""
        file = self._find_file(call)
        job = next((job for job in self._batches.jobs if job.details.get("output") == file.id), None)
        if job is None:
            raise APIError("bad-request", "Only generated files can be downloaded.")
        return lines_response(job, [_line(row) for row in job.order], "application/octet-stream")

    def _check(self, call: Call) -> str:
        self.check_key(call)
        return call.request.headers.get("x-goog-api-key") or call.request.query.get("key", "")

    def _find(self, call: Call) -> BatchJob:
        id = re.sub(f"^{_VERSION}/", "", call.request.path).partition(":")[0]
        return self._batches.find(id, self._check(call), _SERVICE)

    def _find_file(self, call: Call) -> StoredFile:
        id = re.sub(f"^{_VERSION}/", "", call.request.path).partition(":")[0]
        return self._batches.find_file(id, self._check(call))

    def _lines(self, name: str, owner: str) -> list[dict[str, Any]]:
        try:
            lines = [json.loads(line) for line in self._batches.find_file(name, owner).data.split(b"\n") if line]
        except ValueError as error:
            raise APIError("bad-request", "Failed to parse the input file as JSON lines.") from error
        return lines

    def _describe(self, job: BatchJob) -> dict[str, Any]:
        # Rows of a job that failed, or expired before it began, are in no results.
        has_results = job.is_ended and not job.problems and any(row.state != "expired" for row in job.rows)
        is_inline = "batch-inline" in job.quirks or job.details["file"] is None
        output: dict[str, Any] = {}
        if has_results and is_inline:
            name = "inlinedEmbedContentResponses" if job.rows[0].path.endswith("embedContent") else "inlinedResponses"
            output = {name: {"inlinedResponses": [_inline_line(row) for row in job.order]}}
        elif has_results:
            if "output" not in job.details:
                job.details["output"] = self._batches.store(b"", prefix="files/batch-", owner=job.owner).id
            output = {"responsesFile": job.details["output"]}
        counts = {"requestCount": len(job.rows), "successfulRequestCount": job.count("answered")}
        counts.update(failedRequestCount=job.count("refused"), pendingRequestCount=job.count("asked"))
        state = _STATES.get(job.state, job.state.upper()) if job.is_ended else "RUNNING"
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "name": job.id,
            "model": f"models/{job.details['model']}",
            "displayName": job.details["name"],
            "state": f"BATCH_STATE_{state}",
            # Counts are 64-bit numbers, which its JSON has as text.
            "batchStats": {name: str(count) for name, count in counts.items() if count},
            "createTime": text_of_time(job.created, job=job),
            "updateTime": text_of_time(job.ended or job.created),
        }
        if output:
            metadata["output"] = output
        document: dict[str, Any] = {"name": job.id, "metadata": metadata}
        if job.is_ended:
            metadata["endTime"] = text_of_time(job.ended)
            document["done"] = True
        if job.is_ended and job.problems:
            document["error"] = dict(job.problems[0])
        elif output:
            document["response"] = {"@type": f"{metadata['@type']}Output", **output}
        return document


def _inline(config: dict[str, Any]) -> list[dict[str, Any]]:
    listed = config.get("requests") or {}
    entries = listed.get("requests") if isinstance(listed, dict) else listed
    return [entry for entry in entries or () if isinstance(entry, dict)]


def _describe_file(file: StoredFile) -> dict[str, Any]:
    return {
        "name": file.id,
        "displayName": file.name,
        "mimeType": file.purpose or _MIME_TYPE,
        "sizeBytes": str(len(file.data)),
        "createTime": text_of_time(file.created),
        "expirationTime": text_of_time(file.expires),
        "state": "ACTIVE",
    }


def _outcome(row: BatchRow) -> dict[str, Any]:
    if row.state == "answered":
        return {"response": row.result}
    if row.state == "refused":
        error = row.result.get("error") or {}
        return {"error": {"code": _CODES.get(row.status, 13), "message": str(error.get("message") or "")}}
    code, message = (1, "The batch was cancelled.") if row.state == "cancelled" else (4, "The batch expired.")
    return {"error": {"code": code, "message": message}}


def _line(row: BatchRow) -> dict[str, Any]:
    return {"key": row.id, **_outcome(row)}


def _inline_line(row: BatchRow) -> dict[str, Any]:
    return {"metadata": {"key": row.id}, **_outcome(row)}
