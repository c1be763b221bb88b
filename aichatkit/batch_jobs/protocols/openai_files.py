"""Jobs whose rows are an uploaded file and whose results are two: OpenAI, Azure, Groq, Mistral and Together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from aichatkit.batch_jobs.lines import FileBody, MultipartBody, Spool
from aichatkit.batch_jobs.protocols.base import FileJobProtocol, oldest_first, parse_count, parse_id, parse_time
from aichatkit.batch_jobs.records import JobRecord, RemoteJob, RowResult
from aichatkit.errors import BadResponseError, ChatError

__all__ = [
    "AzureEmbeddingJobs",
    "AzureJobs",
    "GroqJobs",
    "MistralEmbeddingJobs",
    "MistralJobs",
    "OpenAIEmbeddingJobs",
    "OpenAIJobs",
    "TogetherJobs",
]

_ENDED = ("completed", "failed", "expired", "cancelled")
#: How long before it was sent a job may have been created, in seconds: the clock of this machine may be wrong.
_SKEW = 2 * 86_400.0
_PAGE = 100
#: How long an uploaded file is kept that no job needs any more, in seconds: 30 days.
_KEPT = 2_592_000
#: States of a file that no job can be created from yet.
_UNREADY = ("notrunning", "pending", "running", "uploaded")
#: Codes of rows that were not run.
_UNRUN = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


class OpenAIJobs(FileJobProtocol):
    """Jobs of OpenAI: chat completions and Responses."""

    max_rows = 50_000
    max_bytes = 200_000_000
    prefix: ClassVar[str] = "/v1"
    purpose: ClassVar[str] = "batch"
    files_path: ClassVar[str] = "/files"
    jobs_path: ClassVar[str] = "/batches"
    upload_path: ClassVar[str] = "/files"
    #: How long the service keeps files, if it takes that with the upload.
    keeps: ClassVar[int | None] = _KEPT
    takes_metadata: ClassVar[bool] = True
    has_pages: ClassVar[bool] = True

    @property
    def base(self) -> str:
        """The URL that the paths are relative to."""
        return self.provider.url

    def api(self) -> str:
        return self.prefix + type(self.provider).path

    def build_line(self, row_id: str, body: bytes) -> bytes:
        head = json.dumps({"custom_id": row_id, "method": "POST", "url": self.api()})
        return head[:-1].encode() + b', "body": ' + body + b"}"

    def upload(self, job: JobRecord, spool: Spool) -> str:
        fields = {"purpose": self.purpose, **self.upload_fields(job)}
        if self.keeps is not None:
            fields = {**fields, "expires_after[anchor]": "created_at", "expires_after[seconds]": str(self.keeps)}
        record = self.http.upload(
            self._url(self.upload_path),
            lambda: MultipartBody(fields, spool, filename=f"{job.name}.jsonl"),
            _form_headers,
        )
        ref = parse_id(record.get("id"))
        if not ref:
            raise BadResponseError(f"{self.provider.name}: the upload was answered without the ID of the file")
        return ref

    def upload_fields(self, job: JobRecord) -> dict[str, str]:
        """Return further fields of the form that uploads a file."""
        return {}

    def create(self, job: JobRecord, spool: Spool | None) -> RemoteJob:
        return self.parse_job(self.http.post(self._url(self.jobs_path), self.creation(job), is_safe=False), job)

    def creation(self, job: JobRecord) -> dict[str, Any]:
        """Return the body that creates a job."""
        body: dict[str, Any] = {"input_file_id": job.input_ref, "endpoint": job.api, "completion_window": "24h"}
        return {**body, "metadata": {"aichatkit": job.nonce}} if self.takes_metadata else body

    def poll(self, job: JobRecord) -> RemoteJob:
        return self.parse_job(self.http.get(self._url(f"{self.jobs_path}/{job.remote}")), job)

    def find(self, job: JobRecord) -> list[RemoteJob]:
        found = []
        oldest = (job.sent or job.created) - _SKEW
        for record in self.iter_jobs():
            remote = self.parse_job(record, job)
            if remote.input_ref == job.input_ref:
                found.append(remote)
            # A service without paging sends all of them, in any order.
            if self.has_pages and remote.created is not None and remote.created < oldest:
                break
        return oldest_first(found)

    def iter_jobs(self) -> Iterator[dict[str, Any]]:
        """Yield the records of all jobs of the account, the newest first."""
        after = ""
        while True:
            params = {"limit": _PAGE, **({"after": after} if after else {})} if self.has_pages else {}
            page = self.http.get(self._url(self.jobs_path), params=params)
            records = [record for record in page.get("data") or () if isinstance(record, dict)]
            yield from records
            after = parse_id(records[-1].get("id")) if records else ""
            if not (self.has_pages and page.get("has_more") and after):
                return

    def iter_results(self, job: JobRecord, remote: RemoteJob) -> Iterator[RowResult]:
        # Every final state may have both files: expired and cancelled jobs hold answers that were paid for.
        for ref in (job.output_ref, job.error_ref):
            if ref:
                for record in self.read_lines(self._url(f"{self.files_path}/{ref}/content")):
                    yield self.parse_row(record, job)

    def parse_row(self, record: Mapping[str, Any], job: JobRecord) -> RowResult:
        """Return what one line of the results says."""
        row_id = parse_id(record.get("custom_id"))
        response, error = record.get("response"), record.get("error")
        if isinstance(response, dict) and response.get("body") is not None:
            status = response.get("status_code")
            body = response["body"]
            # Some lines of answers have the status 0.
            if status in (None, 0) or (isinstance(status, int) and 200 <= status < 300):
                return RowResult(row_id, body=body, record=record)
            return RowResult(row_id, error=self.refused(int(status), body, model=job.model), record=record)
        code = error.get("code") if isinstance(error, dict) else None
        if code in _UNRUN:
            return RowResult(row_id, reason=_UNRUN[code], record=record)
        return RowResult(row_id, error=self.reported({"error": error or "no answer"}, model=job.model), record=record)

    def cancel(self, job: JobRecord) -> None:
        self.http.post(self._url(f"{self.jobs_path}/{job.remote}/cancel"), {}, is_safe=True)

    def delete_input(self, ref: str) -> None:
        self.http.delete(self._url(f"{self.files_path}/{ref}"))

    def parse_job(self, record: Mapping[str, Any], job: JobRecord) -> RemoteJob:
        """Return the job that a record describes."""
        state = str(record.get("status") or "").lower()
        counts = record.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        failure, bad_lines = self._failure(record, job) if state == "failed" else (None, {})
        return RemoteJob(
            id=_job_id(record, self.provider.name),
            state=state,
            ended=state in _ENDED,
            total=parse_count(counts.get("total")) or None,
            answered=parse_count(counts.get("completed")),
            failed=parse_count(counts.get("failed")),
            output_ref=parse_id(record.get("output_file_id")),
            error_ref=parse_id(record.get("error_file_id")),
            created=parse_time(record.get("created_at")),
            deadline=parse_time(record.get("expires_at")),
            failure=failure,
            bad_lines=bad_lines,
            is_cancelled=state == "cancelled",
            is_expired=state == "expired",
            input_ref=parse_id(record.get("input_file_id")),
        )

    def _failure(self, record: Mapping[str, Any], job: JobRecord) -> tuple[ChatError, dict[int, str]]:
        errors = record.get("errors")
        data = errors.get("data") if isinstance(errors, dict) else errors
        problems = [problem for problem in data or () if isinstance(problem, dict)]
        first = problems[0] if problems else record.get("error")
        lines = {
            line - 1: str(problem.get("message") or problem.get("code"))
            for problem in problems
            if isinstance(line := problem.get("line"), int) and not isinstance(line, bool) and line > 0
        }
        return self.failure(first, job), lines

    def _url(self, path: str) -> str:
        return self.base + path


class AzureJobs(OpenAIJobs):
    """Jobs of Azure OpenAI: the model is a deployment of a batch type."""

    max_rows = 100_000

    @property
    def base(self) -> str:
        # The version of the provider's paths is that of the newer API.
        return f"{self.provider.url}/openai" + ("" if self.http.api_version[:1].isdigit() else "/v1")

    def api(self) -> str:
        return "/chat/completions"

    def is_ready(self, ref: str) -> bool:
        try:
            record = self.http.get(self._url(f"{self.files_path}/{ref}"))
        except ChatError as error:
            # What cannot be found out, the creation of the job says.
            return error.action != "retry"
        return str(record.get("status")).lower() not in _UNREADY

    def _url(self, path: str) -> str:
        version = self.http.api_version
        return f"{self.base}{path}?api-version={version}" if version[:1].isdigit() else self.base + path


class GroqJobs(OpenAIJobs):
    """Jobs of Groq."""

    max_bytes = 100_000_000
    price_factor = 0.5
    keeps = None
    has_pages = False


class MistralJobs(OpenAIJobs):
    """Jobs of Mistral: the model belongs to the job, not to its rows."""

    max_rows = 100_000
    max_bytes = 512_000_000
    price_factor = 0.5
    keeps = None
    jobs_path = "/batch/jobs"
    dropped = ("stream", "stream_options", "model")

    def build_line(self, row_id: str, body: bytes) -> bytes:
        return json.dumps({"custom_id": row_id})[:-1].encode() + b', "body": ' + body + b"}"

    def creation(self, job: JobRecord) -> dict[str, Any]:
        files = {"endpoint": job.api, "model": job.model, "input_files": [job.input_ref]}
        return {**files, "metadata": {"aichatkit": job.nonce}, "timeout_hours": 24}

    def iter_jobs(self) -> Iterator[dict[str, Any]]:
        number, records = 0, [dict[str, Any]()] * _PAGE
        while len(records) == _PAGE:
            params = {"page": number, "page_size": _PAGE, "order_by": "-created"}
            page = self.http.get(self._url(self.jobs_path), params=params)
            records = [record for record in page.get("data") or () if isinstance(record, dict)]
            yield from records
            number += 1

    def parse_job(self, record: Mapping[str, Any], job: JobRecord) -> RemoteJob:
        state = str(record.get("status") or "").lower()
        files = record.get("input_files") or [""]
        failure = None
        if state == "failed":
            errors = [error for error in record.get("errors") or () if isinstance(error, dict)]
            failure = self.failure(errors[0] if errors else None, job)
        created = parse_time(record.get("created_at"))
        return RemoteJob(
            id=_job_id(record, self.provider.name),
            state=state,
            ended=state in ("success", "failed", "timeout_exceeded", "cancelled"),
            total=parse_count(record.get("total_requests")) or None,
            answered=parse_count(record.get("succeeded_requests")),
            failed=parse_count(record.get("failed_requests")),
            output_ref=parse_id(record.get("output_file")),
            error_ref=parse_id(record.get("error_file")),
            created=created,
            deadline=None if created is None else created + 24 * 3600,
            failure=failure,
            is_cancelled=state == "cancelled",
            is_expired=state == "timeout_exceeded",
            input_ref=parse_id(files[0]) if isinstance(files, list) and files else "",
        )


class TogetherJobs(OpenAIJobs):
    """Jobs of Together: the answer to a creation contains the job, or null."""

    max_bytes = 100_000_000
    keeps = None
    purpose = "batch-api"
    upload_path = "/files/upload"
    takes_metadata = False
    has_pages = False

    def upload_fields(self, job: JobRecord) -> dict[str, str]:
        return {"file_name": f"{job.name}.jsonl", "file_type": "jsonl"}

    def creation(self, job: JobRecord) -> dict[str, Any]:
        return {**super().creation(job), "model_id": job.model}

    def parse_job(self, record: Mapping[str, Any], job: JobRecord) -> RemoteJob:
        inner = record.get("job", record)
        if not isinstance(inner, dict):
            raise BadResponseError(
                f"{self.provider.name}: the creation was answered without the job", maybe_processed=True
            )
        return super().parse_job(inner, job)


class OpenAIEmbeddingJobs(OpenAIJobs):
    """Jobs of OpenAI for embeddings; a line has one text, as the service takes at most 50,000 texts a job."""

    price_factor = 0.5

    def api(self) -> str:
        return self.prefix + "/embeddings"

    def adapt_body(self, body: dict[str, Any]) -> dict[str, Any]:
        # Numbers as text would be four times as much to download.
        return {**super().adapt_body(body), "encoding_format": "base64"}


class AzureEmbeddingJobs(AzureJobs):
    """Jobs of Azure OpenAI for embeddings."""

    price_factor = 0.5

    def api(self) -> str:
        return "/embeddings"

    def adapt_body(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**super().adapt_body(body), "encoding_format": "base64"}


class MistralEmbeddingJobs(MistralJobs):
    """Jobs of Mistral for embeddings."""

    def api(self) -> str:
        return self.prefix + "/embeddings"


def _form_headers(body: FileBody) -> Mapping[str, str]:
    assert isinstance(body, MultipartBody)
    return {"Content-Type": body.content_type}


def _job_id(record: Mapping[str, Any], provider: str) -> str:
    id = parse_id(record.get("id"))
    if not id:
        raise BadResponseError(f"{provider}: a job without an ID was sent", provider=provider, maybe_processed=True)
    return id
