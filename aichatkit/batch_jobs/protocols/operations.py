"""Jobs of Gemini: a resumable upload, long-running operations, and results in a file or in the job itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from aichatkit.batch_jobs.lines import FileBody, Spool
from aichatkit.batch_jobs.protocols.base import (
    RPC_CANCELLED,
    RPC_STATUSES,
    FileJobProtocol,
    oldest_first,
    parse_count,
    parse_id,
    parse_time,
)
from aichatkit.batch_jobs.records import JobRecord, RemoteJob, RowResult
from aichatkit.errors import BadResponseError

__all__ = ["GeminiEmbeddingJobs", "GeminiJobs"]

_ENDED = ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
_PAGE = 100
#: How long before it was sent a job may have been created, in seconds: the clock of this machine may be wrong.
_SKEW = 2 * 86_400.0


class GeminiJobs(FileJobProtocol):
    """Jobs of the Gemini API, always with a file: results that come with a job have lost their order before."""

    max_rows = 100_000
    max_bytes = 2_000_000_000
    #: The field that names the uploaded file.
    file_field: ClassVar[str] = "fileName"

    def api(self) -> str:
        return "batchGenerateContent"

    def adapt_body(self, body: dict[str, Any]) -> dict[str, Any]:
        config = body.get("generationConfig")
        if isinstance(config, dict) and "responseJsonSchema" in config:
            # In jobs this field is accepted and without effect.
            schema = _plain_schema(config["responseJsonSchema"])
            others = {name: value for name, value in config.items() if name != "responseJsonSchema"}
            body = {**body, "generationConfig": {**others, **({"responseSchema": schema} if schema else {})}}
        return body

    def build_line(self, row_id: str, body: bytes) -> bytes:
        return json.dumps({"key": row_id})[:-1].encode() + b', "request": ' + body + b"}"

    def upload(self, job: JobRecord, spool: Spool) -> str:
        version = self.provider.version
        headers = self.http.start(
            f"{self.provider.url}/upload{version}/files",
            {"file": {"display_name": job.name, "mime_type": "application/jsonl", "size_bytes": spool.size}},
            {
                "X-Goog-Upload-Protocol": "resumable",
                "X-Goog-Upload-Command": "start",
                "X-Goog-Upload-Header-Content-Length": str(spool.size),
                "X-Goog-Upload-Header-Content-Type": "application/jsonl",
            },
        )
        url = headers.get("X-Goog-Upload-URL", "")
        if not url.startswith(("https://", self.provider.url)):
            raise BadResponseError("gemini: the upload was answered without the URL to upload to")
        steps = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
        record = self.http.upload(url, lambda: FileBody(spool), lambda body: steps)
        file = record.get("file")
        ref = parse_id(file.get("name")) if isinstance(file, dict) else ""
        if not ref:
            raise BadResponseError("gemini: the upload was answered without the name of the file")
        return ref

    def create(self, job: JobRecord, spool: Spool | None) -> RemoteJob:
        resource = job.model if "/" in job.model else f"models/{job.model}"
        url = self._url(f"{quote(resource)}:{job.api}")
        batch = {"displayName": job.name, "inputConfig": {self.file_field: job.input_ref}}
        return self._parse_job(self.http.post(url, {"batch": batch}, is_safe=False), job)

    def poll(self, job: JobRecord) -> RemoteJob:
        return self._parse_job(self.http.get(self._url(job.remote)), job)

    def find(self, job: JobRecord) -> list[RemoteJob]:
        oldest = (job.sent or job.created) - _SKEW
        found, token = [], ""
        while True:
            page = self.http.get(
                self._url("batches"), params={"pageSize": _PAGE, **({"pageToken": token} if token else {})}
            )
            records = [record for record in page.get("operations") or () if isinstance(record, dict)]
            jobs = [self._parse_job(record, job) for record in records]
            found += [remote for remote in jobs if remote.name == job.name]
            token = parse_id(page.get("nextPageToken"))
            if not token or any(remote.created is not None and remote.created < oldest for remote in jobs):
                return oldest_first(found)

    def iter_results(self, job: JobRecord, remote: RemoteJob) -> Iterator[RowResult]:
        # Small jobs may have their results in themselves although their input was a file.
        for record in remote.inline:
            yield self._parse_row(record, job)
        if job.output_ref:
            for line in self.read_lines(self._url(f"{job.output_ref}:download?alt=media")):
                yield self._parse_row(line, job)

    def cancel(self, job: JobRecord) -> None:
        self.http.post(self._url(f"{job.remote}:cancel"), {}, is_safe=True)

    def delete_input(self, ref: str) -> None:
        self.http.delete(self._url(ref))

    def _parse_row(self, record: Mapping[str, Any], job: JobRecord) -> RowResult:
        metadata = record.get("metadata")
        key = record.get("key") or (metadata.get("key") if isinstance(metadata, dict) else "")
        row_id = parse_id(key)
        error = record.get("error") or record.get("status")
        if isinstance(error, dict) and (error.get("code") or error.get("message")) and "response" not in record:
            code = error.get("code")
            if code == RPC_CANCELLED:
                return RowResult(row_id, reason="cancelled", record=record)
            status = RPC_STATUSES.get(code, 500) if isinstance(code, int) and code < 100 else parse_count(code) or 500
            body = {"error": {**error, "code": status}}
            return RowResult(row_id, error=self.refused(status, body, model=job.model), record=record)
        if "response" not in record:
            return RowResult(row_id, error=self.reported({"error": "no answer"}, model=job.model), record=record)
        return RowResult(row_id, body=record["response"], record=record)

    def _parse_job(self, record: Mapping[str, Any], job: JobRecord) -> RemoteJob:
        metadata, response = _object(record.get("metadata")), _object(record.get("response"))
        places: Sequence[Mapping[str, Any]] = (metadata, record)
        state = str(_first(places, "state")).replace("BATCH_STATE_", "").replace("JOB_STATE_", "")
        stats = _object(_first(places, "batchStats"))
        outputs = [_object(value) for value in (metadata.get("output"), response, record.get("dest"))]
        outputs += [_object(metadata.get("dest")), _object(response.get("output")), _object(record.get("output"))]
        output_ref = next((ref for output in outputs for name in _FILES if (ref := parse_id(output.get(name)))), "")
        inline = next((rows for output in outputs if (rows := _inline_rows(output))), [])
        id = parse_id(record.get("name")) or parse_id(metadata.get("name"))
        if not id:
            raise BadResponseError("gemini: a job without a name was sent", maybe_processed=True)
        error = _object(record.get("error")) or _object(metadata.get("error"))
        ended = state in _ENDED or (bool(record.get("done")) and state in ("", "UNSPECIFIED"))
        is_failed = state == "FAILED" or (ended and bool(error) and state in ("", "UNSPECIFIED"))
        failure = None
        if is_failed and not output_ref and not inline:
            code = error.get("code")
            status = RPC_STATUSES.get(code, 500) if isinstance(code, int) and code < 100 else 500
            failure = self.refused(status, {"error": error or {"message": "the job failed"}}, model=job.model)
        created = parse_time(_first(places, "createTime"))
        return RemoteJob(
            id=id,
            state=state.lower(),
            ended=ended,
            total=parse_count(stats.get("requestCount")) or None,
            answered=parse_count(stats.get("successfulRequestCount")),
            failed=parse_count(stats.get("failedRequestCount")),
            output_ref=output_ref,
            created=created,
            # The service aims at a day, and lets a job expire after two.
            deadline=None if created is None else created + 48 * 3600,
            failure=failure,
            is_cancelled=state == "CANCELLED",
            is_expired=state == "EXPIRED",
            name=str(_first(places, "displayName")),
            inline=inline,
        )

    def _url(self, path: str) -> str:
        return f"{self.provider.url}{self.provider.version}/{path}"


class GeminiEmbeddingJobs(GeminiJobs):
    """Jobs of the Gemini API for embeddings."""

    price_factor = 0.5
    # As the official SDK spells it here.
    file_field = "file_name"

    def api(self) -> str:
        return "asyncBatchEmbedContent"

    def adapt_body(self, body: dict[str, Any]) -> dict[str, Any]:
        # The URL of the job names the model.
        (request,) = body["requests"]
        merged = {**request, **{name: value for name, value in body.items() if name != "requests"}}
        return {name: value for name, value in merged.items() if name != "model"}

    def _parse_row(self, record: Mapping[str, Any], job: JobRecord) -> RowResult:
        result = super()._parse_row(record, job)
        if not isinstance(result.body, dict) or "embedding" not in result.body:
            return result
        # As the live endpoint would say it.
        usage = {"promptTokenCount": parse_count(result.body.get("tokenCount")) or None}
        return result._replace(body={"embeddings": [result.body["embedding"]], "usageMetadata": usage})


_FILES = ("responsesFile", "fileName", "file_name", "responses_file")
#: Keywords of JSON schema that the older schema of the service has under the same name.
_KEYWORDS = (
    *("type", "format", "title", "description", "enum", "items", "minItems", "maxItems", "properties", "required"),
    *("minimum", "maximum", "minLength", "maxLength", "pattern", "anyOf", "propertyOrdering", "nullable"),
)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(places: Sequence[Mapping[str, Any]], name: str) -> Any:
    return next((place[name] for place in places if place.get(name)), "")


def _inline_rows(output: Mapping[str, Any]) -> list[Any]:
    rows = output.get("inlinedResponses") or output.get("inlinedEmbedContentResponses")
    rows = rows.get("inlinedResponses") if isinstance(rows, dict) else rows
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _plain_schema(schema: Any, root: Any = None, depth: int = 0) -> dict[str, Any]:
    """Return a JSON schema in the service's own, older form; what that cannot express is left to the later check.

    >>> _plain_schema({"type": ["string", "null"], "const": "a", "additionalProperties": False})
    {'type': 'string', 'nullable': True, 'enum': ['a']}
    """
    if not isinstance(schema, Mapping) or depth > 20:
        return {}
    root = schema if root is None else root
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target: Any = root
        for part in reference.lstrip("#/").split("/"):
            target = target.get(part) if isinstance(target, Mapping) else None
        return _plain_schema(target, root, depth + 1)
    plain = {name: schema[name] for name in _KEYWORDS if name in schema}
    types = plain.get("type")
    if isinstance(types, list):
        named = [name for name in types if name != "null"]
        plain["type"] = named[0] if named else "string"
        if "null" in types:
            plain["nullable"] = True
    if "const" in schema:
        plain["enum"] = [schema["const"]]
    if any(not isinstance(value, str) for value in plain.get("enum", ())):
        # Its enumerations are of strings only.
        del plain["enum"]
    if isinstance(plain.get("items"), Mapping):
        plain["items"] = _plain_schema(plain["items"], root, depth + 1)
    if "properties" in plain:
        plain["properties"] = {
            name: _plain_schema(each, root, depth + 1) for name, each in schema["properties"].items()
        }
    choices = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(choices, list):
        kept = [each for each in choices if _object(each).get("type") != "null"]
        if len(kept) < len(choices):
            plain["nullable"] = True
        plain["anyOf"] = [_plain_schema(each, root, depth + 1) for each in kept]
        if len(kept) == 1:
            plain = {**{name: plain[name] for name in plain if name != "anyOf"}, **plain["anyOf"][0]}
    return plain
