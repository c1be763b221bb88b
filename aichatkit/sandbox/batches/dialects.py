"""Job -> documents and lines of results, as each service with uploaded files words them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aichatkit.sandbox.batches.jobs import WINDOW, Batches, BatchJob, BatchRow, text_of_time

__all__ = ["DIALECTS", "Dialect"]

#: Status of a row -> code of google.rpc, by which a gRPC service reports it.
_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 503: 14}
#: What a service without a file may send in place of its ID.
_NO_IDS: Mapping[str, Any] = {"null": None, "empty": "", "object": {}}
_STARTING = 0.1


class Dialect(ABC):
    """How one service describes its jobs and the results of their rows."""

    service: ClassVar[str]
    #: Whether results of rows that were refused, or not run, are in a file of their own.
    has_error_file: ClassVar[bool] = True

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    @abstractmethod
    def describe(self, job: BatchJob) -> dict[str, Any]:
        """Return the document about a job."""

    def created(self, job: BatchJob) -> Any:
        """Return the document that answers the creation of a job."""
        return self.describe(job)

    def line(self, row: BatchRow) -> dict[str, Any]:
        """Return the line of a row in the results."""
        number, id = row.job.rpartition("_")[2], row.id
        if row.state in ("expired", "cancelled"):
            error = {"code": f"batch_{row.state}", "message": f"This request was not run: the batch is {row.state}."}
            return {"id": f"batch_req_{number}_{id}", "custom_id": id, "response": None, "error": error}
        response = {"status_code": row.status, "request_id": f"req_{number}_{id}", "body": row.result}
        return {"id": f"batch_req_{number}_{id}", "custom_id": id, "response": response, "error": None}

    def page(self, jobs: Sequence[BatchJob], query: Mapping[str, str]) -> Any:
        """Return a page of the list of jobs."""
        ids = [job.id for job in jobs]
        if query.get("after") in ids:
            jobs = jobs[ids.index(query["after"]) + 1 :]
        limit = min(int(query.get("limit") or 20), 100)
        page = [self.describe(job) for job in jobs[:limit]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return {"object": "list", "data": page, "has_more": len(jobs) > limit, **ends}

    def outcome_rows(self, job: BatchJob, *, errors: bool) -> list[BatchRow]:
        """Return the rows of the output file, or of the error file, in their order there."""
        return [row for row in job.order if (row.state != "answered") == errors or not self.has_error_file]

    def file_id(self, job: BatchJob, name: str) -> Any:
        """Return the ID of a file with results, or what the service sends if it has none."""
        is_error = name == "error"
        if job.is_ended and not job.problems and self.outcome_rows(job, errors=is_error):
            if name not in job.details:
                job.details[name] = self._batches.store(b"", prefix="file-", owner=job.owner, purpose="batch_output").id
            return job.details[name]
        return _NO_IDS.get(job.quirks.get("batch-ids", "null"))

    def count(self, job: BatchJob, value: int) -> Any:
        """Return a count, as text if the job has that fault."""
        return str(value) if "batch-count-strings" in job.quirks else value


class OpenAIDialect(Dialect):
    """OpenAI, and Azure, which says the same."""

    service = "openai"

    def describe(self, job: BatchJob) -> dict[str, Any]:
        answered, refused = job.count("answered"), job.count("refused")
        done = len(job.rows) if job.is_ended else int(self._batches.progress(job) * len(job.rows))
        counts = {
            "total": 0 if job.problems else len(job.rows),
            "completed": answered if job.is_ended else done,
            "failed": refused,
        }
        results = {f"{name}_file_id": self.file_id(job, name) for name in ("output", "error")}
        if "batch-ids" in job.quirks and job.quirks["batch-ids"] == "absent":
            results = {name: value for name, value in results.items() if value}
        created: Any = text_of_time(job.created, job=job) if "batch-dates" in job.quirks else int(job.created)
        return {
            "id": job.id,
            "object": "batch",
            "endpoint": job.details["endpoint"],
            "model": job.details["model"],
            "errors": {"object": "list", "data": list(job.problems)} if job.problems and job.is_ended else None,
            "input_file_id": job.details["file"],
            "completion_window": job.details["window"],
            "status": self.status(job),
            **results,
            "created_at": created,
            "in_progress_at": int(job.created),
            "expires_at": int(job.created + WINDOW),
            "completed_at": _at(job, "completed"),
            "failed_at": _at(job, "failed"),
            "expired_at": _at(job, "expired"),
            "cancelling_at": None if job.cancelled is None else int(job.cancelled),
            "cancelled_at": _at(job, "cancelled"),
            "request_counts": {name: self.count(job, count) for name, count in counts.items()},
            "metadata": job.details["metadata"],
        }

    def status(self, job: BatchJob) -> str:
        """Return the state of a job in OpenAI's words."""
        if job.is_ended:
            return job.state
        if job.cancelled is not None:
            return "cancelling"
        return "validating" if self._batches.progress(job) < _STARTING else "in_progress"


class AzureDialect(OpenAIDialect):
    """Azure OpenAI."""

    service = "azure"


class GroqDialect(OpenAIDialect):
    """Groq, whose lists have no pages."""

    service = "groq"

    def page(self, jobs: Sequence[BatchJob], query: Mapping[str, str]) -> Any:
        return {"object": "list", "data": [self.describe(job) for job in jobs]}


class TogetherDialect(OpenAIDialect):
    """Together: states in capitals, no counts, lists without anything around them."""

    service = "together"

    def describe(self, job: BatchJob) -> dict[str, Any]:
        document = super().describe(job)
        kept = ("id", "endpoint", "input_file_id", "output_file_id", "error_file_id")
        status = {"cancelling": "CANCELING"}.get(document["status"], document["status"].upper())
        return {
            **{name: document.get(name) for name in kept},
            "model_id": job.details["model"],
            "status": status,
            "progress": 100.0 if job.is_ended else round(100 * self._batches.progress(job)),
            "created_at": text_of_time(job.created, job=job),
            "completed_at": text_of_time(job.ended),
            "error": str(job.problems[0]["message"]) if job.problems and job.is_ended else None,
        }

    def created(self, job: BatchJob) -> Any:
        return {"job": self.describe(job), "warning": None}

    def page(self, jobs: Sequence[BatchJob], query: Mapping[str, str]) -> Any:
        return [self.describe(job) for job in jobs]


class MistralDialect(Dialect):
    """Mistral: the model is that of the job, and lists have numbered pages."""

    service = "mistral"

    def describe(self, job: BatchJob) -> dict[str, Any]:
        states = {"completed": "SUCCESS", "expired": "TIMEOUT_EXCEEDED"}
        status = states.get(job.state, job.state.upper()) if job.is_ended else "RUNNING"
        if not job.is_ended and job.cancelled is not None:
            status = "CANCELLATION_REQUESTED"
        answered, refused = job.count("answered"), job.count("refused")
        counts = {"total": len(job.rows), "completed": answered + refused, "succeeded": answered, "failed": refused}
        problems = job.problems if job.is_ended else ()
        return {
            "object": "batch",
            "id": job.id,
            "input_files": [job.details["file"]] if job.details["file"] else [],
            "metadata": job.details["metadata"],
            "endpoint": job.details["endpoint"],
            "model": job.details["model"],
            "output_file": self.file_id(job, "output"),
            "error_file": self.file_id(job, "error"),
            "errors": [{"message": problem["message"], "count": 1} for problem in problems],
            "status": status,
            "created_at": int(job.created),
            "started_at": int(job.created),
            "completed_at": None if job.ended is None else int(job.ended),
            **{f"{name}_requests": self.count(job, count) for name, count in counts.items()},
        }

    def page(self, jobs: Sequence[BatchJob], query: Mapping[str, str]) -> Any:
        size, number = int(query.get("page_size") or 100), int(query.get("page") or 0)
        page = [self.describe(job) for job in jobs[size * number : size * (number + 1)]]
        return {"object": "list", "data": page, "total": len(jobs)}


class XAIDialect(Dialect):
    """xAI: counters in place of a state, and dates without an hour."""

    service = "xai"
    has_error_file = False

    def describe(self, job: BatchJob) -> dict[str, Any]:
        counts = {"requests": len(job.rows), "pending": job.count("asked"), "success": job.count("answered")}
        counts.update(error=job.count("refused", "expired"), cancelled=job.count("cancelled"))
        refusal = (
            f"JSONL file validation failed: {job.problems[0]['message']}" if job.problems and job.is_ended else None
        )
        if not job.is_ended and self._batches.progress(job) < _STARTING:
            # The file is still being read.
            counts = dict.fromkeys(counts, 0)
        return {
            "batch_id": job.id,
            "name": job.details["name"],
            "input_file_id": job.details["file"],
            "create_time": (text_of_time(job.created) or "")[:10],
            "expire_time": (text_of_time(job.created + WINDOW) or "")[:10],
            "cancel_time": (text_of_time(job.cancelled) or "")[:10] or None,
            "cancel_by_xai_message": refusal,
            "state": {f"num_{name}": self.count(job, count) for name, count in counts.items()},
        }

    def line(self, row: BatchRow) -> dict[str, Any]:
        if row.state == "answered":
            name = "responses" if row.path.endswith("/responses") else "chat_get_completion"
            return {"batch_request_id": row.id, "batch_result": {"response": {name: row.result}}}
        message = f"This request was not run: the batch is {row.state}."
        code = {"cancelled": 1, "expired": 4}.get(row.state, _RPC_CODES.get(row.status, 13))
        if row.state == "refused":
            message = str((row.result.get("error") or {}).get("message") or "")
        return {"batch_request_id": row.id, "batch_result": {"error": {"code": code, "message": message}}}

    def page(self, jobs: Sequence[BatchJob], query: Mapping[str, str]) -> Any:
        size, start = int(query.get("limit") or 100), int(query.get("pagination_token") or 0)
        token = str(start + size) if start + size < len(jobs) else None
        return {"batches": [self.describe(job) for job in jobs[start : start + size]], "pagination_token": token}


DIALECTS: tuple[type[Dialect], ...] = (
    *(OpenAIDialect, AzureDialect, GroqDialect, TogetherDialect),
    *(MistralDialect, XAIDialect),
)


def _at(job: BatchJob, state: str) -> int | None:
    return int(job.ended) if job.ended is not None and job.state == state else None
