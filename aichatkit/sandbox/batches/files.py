"""Batches whose rows are an uploaded file: OpenAI, Azure, Groq, Mistral, Together and xAI; the request says which."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from aichatkit.sandbox.batches.dialects import DIALECTS, Dialect
from aichatkit.sandbox.batches.forms import parse_form
from aichatkit.sandbox.batches.jobs import Batches, BatchJob, BatchRow, StoredFile, lines_response
from aichatkit.sandbox.exchange import APIError, Response, json_response
from aichatkit.sandbox.wires import Call, Route, Settings
from aichatkit.sandbox.wires.base import parse_json
from aichatkit.sandbox.wires.openai import ANY_BASE, OpenAIWire

__all__ = ["FileBatches"]

_FILE, _JOBS, _JOB = f"{ANY_BASE}/files/[^/]+", f"{ANY_BASE}/batch(?:es|/jobs)", f"{ANY_BASE}/batch(?:es|/jobs)/[^/:]+"
_ENDPOINTS = tuple(f"{v}/{name}" for v in ("/v1", "") for name in ("chat/completions", "responses", "embeddings"))
_MAX_ROWS = _MAX_TEXTS = 50_000
_MAX_METADATA = 16


class FileBatches(OpenAIWire):
    """The files and batches of a key, in the protocol of the service that a request is meant for."""

    name = "file-batches"
    routes = (
        Route("POST", f"{ANY_BASE}/files(?:/upload)?", "upload", "batch-upload"),
        Route("GET", f"{ANY_BASE}/files", "files", "file"),
        Route("GET", _FILE, "file", "file"),
        Route("DELETE", _FILE, "delete_file", "batch-delete"),
        Route("GET", f"{_FILE}/content", "content", "batch-results"),
        Route("POST", _JOBS, "create", "batch-create"),
        Route("GET", _JOBS, "jobs", "batch-list"),
        Route("GET", _JOB, "job", "batch-poll"),
        Route("DELETE", _JOB, "delete", "batch-delete"),
        Route("POST", f"{_JOB}[/:]cancel", "cancel", "batch-cancel"),
        Route("GET", f"{_JOB}/results", "results", "batch-results"),
    )

    def __init__(self, settings: Settings, batches: Batches) -> None:
        super().__init__(settings)
        self._batches = batches
        self._dialects: dict[str, Dialect] = {dialect.service: dialect(batches) for dialect in DIALECTS}

    def respond(self, call: Call) -> Response:
        """Respond to one call at a time."""
        with self._batches.lock:
            return super().respond(call)

    def upload(self, call: Call) -> Response:
        """Keep a file; its lines are read when a batch is created from it."""
        owner, form = self._check(call), parse_form(call.request)
        purpose = form.fields.get("purpose", "")
        if purpose == "batch" and not form.filename.endswith(".jsonl"):
            raise APIError("bad-request", "Invalid file format for Batch API. Must be .jsonl", param="file")
        if not form.is_file_last:
            raise APIError("bad-request", "The file has to be the last part of the form.")
        kept = form.fields.get("expires_after[seconds]")
        if kept is not None and not 3600 <= int(kept) <= 2_592_000:
            raise APIError("bad-request", f"Invalid 'expires_after.seconds': {kept}", param="expires_after")
        expires = None if kept is None else self._batches.now() + int(kept)
        details = {"name": form.filename, "purpose": purpose, "owner": owner, "expires": expires}
        details["ready"] = self._batches.now() + call.overrides.get("batch-pending-file", 0.0)
        return json_response(self._describe_file(self._batches.store(form.data, prefix="file-", **details)))

    def files(self, call: Call) -> Response:
        """List the files."""
        owner = self._check(call)
        found = [self._describe_file(file) for file in reversed(self._batches.files.values()) if file.owner == owner]
        return json_response({"object": "list", "data": found, "has_more": False})

    def file(self, call: Call) -> Response:
        """Return what is known of a file."""
        return json_response(self._describe_file(self._find_file(call)))

    def delete_file(self, call: Call) -> Response:
        """Delete a file."""
        file = self._find_file(call)
        del self._batches.files[file.id]
        return json_response({"id": file.id, "object": "file", "deleted": True})

    def content(self, call: Call) -> Response:
        """Return an uploaded file, or the lines of results."""
        file = self._find_file(call)
        for job in self._batches.jobs:
            if file.id in (job.details.get("output"), job.details.get("error")):
                dialect = self._dialects[job.service]
                rows = dialect.outcome_rows(job, errors=file.id == job.details.get("error"))
                return lines_response(job, [self._line(dialect, job, row) for row in rows], "application/octet-stream")
        return _text_response(file.data)

    def create(self, call: Call) -> Response:
        """Start a batch; what is wrong with its lines shows when it is looked at."""
        owner, record = self._check(call), parse_json(call.request)
        service = self._service_of(call, record)
        dialect = self._dialects[service]
        file, entries, problems = None, record.get("requests") or [], list[dict[str, Any]]()
        if service != "mistral" or not entries:
            names = record.get("input_files") or [record.get("input_file_id")]
            file = self._batches.find_file(str(names[0]), owner)
            if self._batches.now() < file.ready:
                raise APIError("bad-request", f"The file {file.id} is still being processed.", param="input_file_id")
            entries, problems = _parse_lines(file.data)
        endpoint = str(record.get("endpoint") or "")
        if service != "xai" and endpoint not in _ENDPOINTS:
            raise APIError("bad-request", f"Invalid value: '{endpoint}'.", param="endpoint", code="invalid_value")
        if len(record.get("metadata") or {}) > _MAX_METADATA:
            raise APIError("bad-request", "Invalid 'metadata': too many properties.", param="metadata")
        model = str(record.get("model") or record.get("model_id") or "")
        rows = [_row(entry, endpoint, model if service == "mistral" else "") for entry in entries]
        if not problems:
            problems = _problems(rows, entries, endpoint if service not in ("mistral", "xai") else "")
        job = self._batches.create(
            call,
            service,
            rows,
            prefix="batch_",
            owner=owner,
            file=None if file is None else file.id,
            endpoint=endpoint,
            model=model or next((str(row.body.get("model")) for row in rows), None),
            metadata=record.get("metadata"),
            window=record.get("completion_window"),
            name=record.get("name"),
        )
        job.problems = [*_quirk_problems(job), *problems]
        return json_response(dialect.created(job))

    def jobs(self, call: Call) -> Response:
        """List the batches of a service, the newest first."""
        owner = self._check(call)
        return json_response(self._listing(call, owner))

    def job(self, call: Call) -> Response:
        """Return a batch."""
        job = self._find(call)
        document = self._dialects[job.service].describe(job)
        if job.service == "mistral" and call.request.query.get("inline") == "true" and job.is_ended:
            document["outputs"] = [self._dialects["mistral"].line(row) for row in job.order]
        return json_response(document)

    def cancel(self, call: Call) -> Response:
        """Cancel a batch."""
        job = self._find(call)
        self._batches.cancel(job)
        return json_response(self._dialects[job.service].describe(job))

    def delete(self, call: Call) -> Response:
        """Delete a batch, which only Mistral can."""
        job = self._find(call)
        if job.service != "mistral":
            raise APIError("wrong-method")
        self._batches.delete(job)
        return json_response({"id": job.id, "object": "batch", "deleted": True})

    def results(self, call: Call) -> Response:
        """Return a page of results, as xAI has them."""
        job = self._find(call)
        if job.service != "xai" or "batch-output-gone" in job.quirks:
            raise APIError("not-found")
        lines = lines_response(job, [self._line(self._dialects["xai"], job, row) for row in job.order], "").body
        records = [json.loads(line) for line in lines.split(b"\n") if line] if job.is_ended else []
        size, start = int(call.request.query.get("limit") or 100), int(call.request.query.get("pagination_token") or 0)
        token = str(start + size) if start + size < len(records) else None
        return json_response({"results": records[start : start + size], "pagination_token": token})

    def _describe_file(self, file: StoredFile) -> dict[str, Any]:
        return {
            "id": file.id,
            "object": "file",
            "bytes": len(file.data),
            "created_at": int(file.created),
            "expires_at": None if file.expires is None else int(file.expires),
            "filename": file.name,
            "purpose": file.purpose,
            "status": "processed" if self._batches.now() >= file.ready else "pending",
            # Of Mistral's files.
            "sample_type": "batch_request",
            "source": "upload",
        }

    def _check(self, call: Call) -> str:
        self.check_key(call)
        headers = call.request.headers
        return headers.get("api-key") or headers.get("authorization", "").partition(" ")[2]

    def _service_of(self, call: Call, record: Mapping[str, Any]) -> str:
        """Return the service that a request to create a batch is meant for."""
        path = call.request.path
        if path.endswith("/batch/jobs"):
            return "mistral"
        if "api-key" in call.request.headers:
            return "azure"
        if path.startswith("/openai/"):
            return "groq"
        if "model_id" in record:
            return "together"
        return "xai" if "endpoint" not in record and "name" in record else "openai"

    def _listing(self, call: Call, owner: str) -> Any:
        if call.request.path.endswith("/batch/jobs"):
            return self._dialects["mistral"].page(self._batches.list(owner, "mistral"), call.request.query)
        services = [service for service in self._dialects if service != "mistral"]
        jobs = self._batches.list(owner, *services)
        # Several services have this path: it is that of the one whose job is the newest.
        service = jobs[0].service if jobs else "openai"
        return self._dialects[service].page([job for job in jobs if job.service == service], call.request.query)

    def _find(self, call: Call) -> BatchJob:
        found = re.search(r"/batch(?:es|/jobs)/([^/:]+)", call.request.path)
        assert found is not None
        return self._batches.find(found[1], self._check(call), *self._dialects)

    def _find_file(self, call: Call) -> StoredFile:
        id = re.sub(r".*/files/", "", call.request.path).partition("/")[0]
        return self._batches.find_file(id, self._check(call))

    def _line(self, dialect: Dialect, job: BatchJob, row: BatchRow) -> dict[str, Any]:
        line = dialect.line(row)
        if "batch-status-zero" in job.quirks and row is job.order[0] and line.get("response"):
            line["response"] = {**line["response"], "status_code": 0, "body": None}
        return line


def _text_response(data: bytes) -> Response:
    response = json_response(None)
    response.headers = [("Content-Type", "application/octet-stream")]
    response.pieces = [type(next(iter(response.pieces)))(data)]
    return response


def _parse_lines(data: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the records of a file, and what is wrong with its lines."""
    records, problems = [], []
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1] if not lines[-1] else lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            problems.append(_problem("invalid_json_line", "This line is not parseable as valid JSON.", number))
    return records, problems


def _row(entry: Mapping[str, Any], endpoint: str, model: str) -> BatchRow:
    body = entry.get("body")
    body = body if isinstance(body, dict) else {}
    path = "/v1/" + str(entry.get("url") or endpoint or "/v1/chat/completions").replace("/v1/", "/").lstrip("/")
    return BatchRow(str(entry.get("custom_id") or ""), {**body, **({"model": model} if model else {})}, path)


def _problems(rows: list[BatchRow], entries: list[dict[str, Any]], endpoint: str) -> list[dict[str, Any]]:
    """Return what is wrong with the lines of a batch; `endpoint` is "" for services that do not check it."""
    if not rows:
        return [_problem("empty_file", "The input file is empty.", None)]
    if len(rows) > _MAX_ROWS:
        return [_problem("too_many_tasks", f"The batch has more than {_MAX_ROWS} requests.", None)]
    texts = sum(len(text) if isinstance(text := row.body.get("input"), list) else 1 for row in rows)
    if endpoint.endswith("/embeddings") and texts > _MAX_TEXTS:
        message = f"The batch has {texts} inputs, and one for embeddings takes {_MAX_TEXTS}."
        return [_problem("too_many_tasks", message, None)]
    problems, seen = list[dict[str, Any]](), set[str]()
    models = {row.body.get("model") for row in rows[:1]}
    for number, (row, entry) in enumerate(zip(rows, entries), 1):
        if not row.id:
            problems.append(_problem("missing_required_parameter", "The custom_id is missing.", number, "custom_id"))
        elif row.id in seen:
            message = f"The custom_id '{row.id}' for this request is a duplicate of another request."
            problems.append(_problem("duplicate_custom_id", message, number, "custom_id"))
        seen.add(row.id)
        if endpoint and entry.get("method") != "POST":
            problems.append(_problem("invalid_method", "The method has to be POST.", number, "method"))
        if endpoint and entry.get("url") != endpoint:
            message = f"The URL provided for this request does not match the batch endpoint {endpoint}."
            problems.append(_problem("url_mismatch", message, number, "url"))
        if endpoint and row.body.get("model") not in models:
            problems.append(_problem("model_mismatch", "All requests must have the same model.", number, "body.model"))
    return problems


def _quirk_problems(job: BatchJob) -> list[dict[str, Any]]:
    """Return what a fault says is wrong with a batch."""
    if "batch-invalid" in job.quirks:
        line = job.quirks["batch-invalid"]
        return [_problem("invalid_json_line", f"Line {line} is not valid.", line)]
    if "batch-token-limit" in job.quirks:
        message = f"Enqueued token limit reached for {job.details['model']} in the organization of this key."
        return [_problem("token_limit_exceeded", message, None)]
    if "batch-fail" in job.quirks:
        return [_problem("internal_error", "The server had an error.", None)]
    if "batch-model-refused" in job.quirks:
        message = f"Model {job.details['model']} is not supported for batch processing"
        return [_problem("model_not_found", message, None, "model")]
    return []


def _problem(code: str, message: str, line: int | None, param: str | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": line}
