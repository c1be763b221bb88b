"""What services send about jobs is read as they write it, with its oddities."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from aichatkit.batch_jobs.http import Document, JobHTTP
from aichatkit.batch_jobs.lines import FileBody, MultipartBody, Spool, iter_lines, parse_row_id, row_id
from aichatkit.batch_jobs.protocols import PROVIDERS, find_protocol
from aichatkit.batch_jobs.protocols.base import FileJobProtocol, JobProtocol, parse_count, parse_id, parse_time
from aichatkit.batch_jobs.protocols.operations import _plain_schema
from aichatkit.batch_jobs.records import JobRecord
from aichatkit.batch_jobs.status import progress_note
from aichatkit.errors import BadResponseError, ModelNotFoundError, RateLimitError, ServerError
from aichatkit.registry import registry

EMPTY = dict.fromkeys(JobRecord._fields, "")
JOB = JobRecord(
    **{**EMPTY, "job": 1, "nonce": "a1", "model": "m", "remote": "j", "rows": 2, "created": 0.0, "sent": None}
)


@pytest.fixture
def protocol_of(client):
    """Make the protocol of a provider."""

    def make(name):
        call = client._build_call("?", 0)
        provider = registry[name]("https://service.example")
        return find_protocol(registry[name])(JobHTTP(provider, None, call))

    return make


def test_ids_of_rows_go_there_and_back():
    assert [parse_row_id("ab", row_id("ab", n)) for n in (0, 35, 36, 10**9)] == [0, 35, 36, 10**9]
    assert [parse_row_id("ab", text) for text in ("ac-1", "ab", "ab-", "ab-A", None, 5, "ab-" + "1" * 13)] == [None] * 7


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T00:01:00.123456789Z", 60),
        ("1970-01-01T02:01:00+02:00", 60),
        ("1970-01-02", 86400),
        (60, 60),
        ("soon", None),
        (True, None),
        (None, None),
    ],
)
def test_times_are_read_in_every_form(text, seconds):
    assert parse_time(text) == seconds


def test_counts_and_ids_are_read_as_they_come():
    assert [parse_count(value) for value in ("7", 7, True, None, -1, "x")] == [7, 7, 0, 0, 0, 0]
    assert [parse_id(value) for value in ("f", "", None, {}, 5)] == ["f", "", "", "", ""]


@pytest.mark.parametrize("base", [JobProtocol, FileJobProtocol])
def test_a_protocol_without_its_steps_cannot_be_used(protocol_of, base):
    with pytest.raises(TypeError, match="abstract"):
        type("Unfinished", (base,), {})(protocol_of("openai").http)


def test_only_services_with_an_upload_have_files(protocol_of):
    protocols = {name: protocol_of(name) for name in PROVIDERS}
    assert [name for name, protocol in protocols.items() if not isinstance(protocol, FileJobProtocol)] == ["anthropic"]


@pytest.mark.parametrize(
    "record",
    [
        {"name": "batches/b", "metadata": {"state": "JOB_STATE_SUCCEEDED", "output": {"responsesFile": "files/o"}}},
        {"name": "batches/b", "state": "BATCH_STATE_SUCCEEDED", "dest": {"fileName": "files/o"}},
        {"metadata": {"name": "batches/b", "state": "BATCH_STATE_SUCCEEDED"}, "response": {"responsesFile": "files/o"}},
        {"name": "batches/b", "done": True, "response": {"output": {"responsesFile": "files/o"}}},
    ],
)
def test_a_job_of_gemini_is_read_in_each_of_its_forms(protocol_of, record):
    remote = protocol_of("gemini")._parse_job(record, JOB)
    assert (remote.id, remote.ended, remote.output_ref, remote.failure) == ("batches/b", True, "files/o", None)


def test_results_in_the_job_itself_are_read(protocol_of):
    protocol = protocol_of("gemini")
    rows = [{"metadata": {"key": "a1-0"}, "response": {"candidates": []}}]
    record = {
        "name": "b",
        "metadata": {"state": "SUCCEEDED", "output": {"inlinedResponses": {"inlinedResponses": rows}}},
    }
    remote = protocol._parse_job(record, JOB)
    (result,) = protocol.iter_results(JOB, remote)
    assert (result.row_id, result.body) == ("a1-0", {"candidates": []})


def test_rows_of_gemini_have_errors_by_their_codes(protocol_of):
    protocol = protocol_of("gemini")

    def read(record):
        return protocol._parse_row({"key": "a1-0", **record}, JOB)

    assert isinstance(read({"error": {"code": 8, "message": "x"}}).error, RateLimitError)
    assert isinstance(read({"error": {"code": 503, "message": "x"}}).error, ServerError)
    assert isinstance(read({"status": {"code": "odd", "message": "x"}}).error, ServerError)
    assert read({"error": {"code": 1}}).reason == "cancelled"
    assert read({}).error is not None


@pytest.mark.parametrize("name", ["gemini", "xai"])
def test_every_code_of_grpc_is_an_error_with_a_status(protocol_of, name):
    parse = protocol_of(name)._parse_row if name == "gemini" else protocol_of(name).parse_row
    errors = [parse({"error": {"code": code, "message": "x"}}, JOB).error for code in (3, 8, 9, 10, 13)]
    assert [error.status for error in errors] == [400, 429, 400, 409, 500]


def test_a_failed_operation_is_a_failed_job(protocol_of):
    record = {"name": "batches/b", "done": True, "error": {"code": 8, "message": "quota"}}
    assert protocol_of("gemini")._parse_job(record, JOB).failure is not None


@pytest.mark.parametrize("name", ["openai", "mistral", "gemini", "xai", "anthropic"])
def test_a_job_without_an_id_is_a_bad_response_that_may_have_cost_something(protocol_of, name):
    protocol = protocol_of(name)
    parse = protocol.parse_job if hasattr(protocol, "parse_job") else protocol._parse_job
    with pytest.raises(BadResponseError) as raised:
        parse({}) if name == "anthropic" else parse({}, JOB)
    assert raised.value.maybe_processed


def test_a_creation_that_together_answers_without_the_job_may_have_made_one(protocol_of):
    with pytest.raises(BadResponseError) as raised:
        protocol_of("together").parse_job({"job": None, "warning": "x"}, JOB)
    assert raised.value.maybe_processed


def test_a_job_that_xai_refused_names_the_model_error(protocol_of):
    protocol = protocol_of("xai")
    refused = {
        "batch_id": "b",
        "cancel_by_xai_message": "JSONL file validation failed: Model grok-4.5 is not supported",
    }
    assert isinstance(protocol.parse_job(refused, JOB).failure, ModelNotFoundError)
    other = protocol.parse_job({"batch_id": "b", "cancel_by_xai_message": "No credit"}, JOB)
    assert other.ended
    assert other.failure is not None
    assert protocol.parse_job({"batch_id": "b", "state": {"num_requests": 0}}, JOB).state == "reading"


def test_rows_of_xai_are_read_in_each_of_their_forms(protocol_of):
    protocol = protocol_of("xai")

    def read(result):
        return protocol.parse_row({"batch_request_id": "a1-0", "batch_result": result}, JOB)

    assert read({"response": {"chat_get_completion": {"choices": []}}}).body == {"choices": []}
    assert read({"response": {"choices": [1]}}).body == {"choices": [1]}
    assert isinstance(read({"error": {"code": 14, "message": "x"}}).error, ServerError)
    assert read({"error": {"code": 1}}).reason == "cancelled"
    assert read({"error": "no"}).error is not None
    assert read({}).error is not None


def test_rows_of_openai_are_read_in_each_of_their_forms(protocol_of):
    protocol = protocol_of("openai")
    body = {"choices": []}
    assert protocol.parse_row({"custom_id": "a", "response": {"status_code": 0, "body": body}}, JOB).body == body
    assert protocol.parse_row({"custom_id": "a", "error": {"code": "batch_expired"}}, JOB).reason == "expired"
    assert protocol.parse_row({"custom_id": "a"}, JOB).error is not None


def test_a_job_of_openai_that_failed_names_lines_and_reasons(protocol_of):
    errors = {"data": [{"code": "duplicate_custom_id", "line": 7, "message": "twice"}, "odd", {"line": True}]}
    remote = protocol_of("openai").parse_job({"id": "b", "status": "failed", "errors": errors}, JOB)
    assert remote.bad_lines == {6: "twice"}
    assert remote.failure.code == "duplicate_custom_id"
    bare = protocol_of("openai").parse_job({"id": "b", "status": "failed", "errors": None}, JOB)
    assert "the service gives no reason" in str(bare.failure)


def test_azure_has_two_forms_of_urls(protocol_of, monkeypatch):
    assert protocol_of("azure")._url("/files") == "https://service.example/openai/v1/files"
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    assert protocol_of("azure")._url("/files") == "https://service.example/openai/files?api-version=2024-10-21"


def test_schemas_are_written_in_the_older_form():
    schema = {
        "$defs": {"A": {"type": "object", "properties": {"n": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}},
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": "array", "items": {"enum": [1, 2]}}},
        "additionalProperties": False,
    }
    assert _plain_schema(schema) == {
        "type": "object",
        "properties": {
            "a": {"type": "object", "properties": {"n": {"type": "integer", "nullable": True}}},
            "b": {"type": "array", "items": {}},
        },
    }
    assert _plain_schema({"type": ["null"]}) == {"type": "string", "nullable": True}
    two = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert _plain_schema(two) == two
    assert _plain_schema({"$ref": "#/none"}) == {}
    endless = {"$ref": "#"}
    assert _plain_schema(endless) == {}


def test_a_form_ends_with_its_file():
    spool = Spool()
    spool.add(b'{"a": 1}')
    body = MultipartBody({"purpose": "batch"}, spool, filename="ak-1.jsonl")
    text = b"".join(body)
    assert len(body) == len(text)
    assert text.index(b"purpose") < text.index(b'{"a": 1}\n')
    assert text.endswith(b"--\r\n")
    spool.close()


def test_lines_end_at_line_feeds_only():
    spool = Spool()
    spool.write('\ufeff\n{"a": "x\u2028y\u0085z"}\r\n\n  \n{}'.encode())
    assert [json.loads(line) for line in iter_lines(spool.file)] == [{"a": "x\u2028y\u0085z"}, {}]
    spool.close()


def test_an_upload_takes_no_more_memory_for_ten_times_the_rows():
    def peak(rows):
        tracemalloc.start()
        spool = Spool()
        for _ in range(rows):
            spool.add(b"x" * 1000)
        for _ in FileBody(spool):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        spool.close()
        return found

    assert peak(40_000) < 2 * peak(4_000)


def test_joined_rows_are_separated_by_commas():
    spool = Spool(joined=True)
    spool.add(b"1")
    spool.add(b"2")
    assert b"".join(FileBody(spool, b"[", b"]")) == b"[1,2]"
    spool.close()


class Pages:
    """The access to a service that answers with one page after the other."""

    def __init__(self, protocol, *pages):
        self.pages, self.asked = list(pages), []
        protocol.http.get = self.get

    def get(self, url, *, params=None):
        self.asked.append(dict(params or {}))
        return self.pages.pop(0)


SENT = JOB._replace(sent=1_000_000.0, created=1_000_000.0, input_ref="f", rows=3)


def test_a_search_reads_page_after_page_until_jobs_are_too_old(protocol_of):
    protocol = protocol_of("openai")
    first = {"data": [{"id": "b", "input_file_id": "other", "created_at": 1_000_001}], "has_more": True}
    second = {
        "data": [{"id": "a", "input_file_id": "f", "created_at": 1_000_000}, {"id": "z", "created_at": 1}],
        "has_more": True,
    }
    pages = Pages(protocol, first, second)
    assert [remote.id for remote in protocol.find(SENT)] == ["a"]
    assert pages.asked == [{"limit": 100}, {"limit": 100, "after": "b"}]


def test_a_search_at_mistral_counts_its_pages(protocol_of):
    protocol = protocol_of("mistral")
    page = {"data": [{"id": f"m{number}", "input_files": []} for number in range(100)]}
    pages = Pages(protocol, page, {"data": [{"id": "a", "input_files": ["f"]}]})
    assert [remote.id for remote in protocol.find(SENT)] == ["a"]
    assert [asked["page"] for asked in pages.asked] == [0, 1]


def test_a_search_at_gemini_follows_its_tokens(protocol_of):
    protocol = protocol_of("gemini")
    ours = {"name": "b", "metadata": {"displayName": SENT.name}}
    old = {"name": "c", "metadata": {"displayName": "x", "createTime": "1970-01-01T00:00:00Z"}}
    pages = Pages(protocol, {"operations": [], "nextPageToken": "t"}, {"operations": [ours, old], "nextPageToken": "u"})
    assert [remote.id for remote in protocol.find(SENT)] == ["b"]
    assert pages.asked[1]["pageToken"] == "t"


def test_a_search_at_xai_follows_its_tokens(protocol_of):
    protocol = protocol_of("xai")
    ours, old = {"batch_id": "b", "input_file_id": "f"}, {"batch_id": "c", "create_time": "1970-01-01"}
    pages = Pages(protocol, {"batches": [ours], "pagination_token": "t"}, {"data": [old], "pagination_token": "u"})
    assert [remote.id for remote in protocol.find(SENT)] == ["b"]
    assert pages.asked[1]["pagination_token"] == "t"


def test_a_search_at_anthropic_takes_jobs_of_the_same_size_and_time(protocol_of):
    protocol = protocol_of("anthropic")

    def job(id, created, rows=3):
        return {"id": id, "created_at": created, "request_counts": {"processing": rows}}

    first = {"data": [job("late", 1_010_000), job("a", 1_000_002), job("small", 1_000_000, 2)], "has_more": True}
    second = {"data": [job("b", 999_000), job("old", 900_000)], "has_more": True}
    pages = Pages(protocol, first, second)
    assert [remote.id for remote in protocol.find(SENT)] == ["b", "a"]
    assert pages.asked[1]["after_id"] == "small"


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "xai", "mistral"])
def test_a_job_is_cancelled_where_its_service_takes_that(protocol_of, name):
    protocol, sent = protocol_of(name), []
    protocol.http.post = lambda url, payload, *, is_safe: sent.append((url, is_safe))
    protocol.cancel(JOB)
    ((url, is_safe),) = sent
    assert is_safe
    assert url.endswith((":cancel", "/cancel"))


@pytest.mark.parametrize("name", ["openai", "gemini"])
def test_an_upload_that_names_no_file_is_a_bad_response(protocol_of, name):
    protocol, spool = protocol_of(name), Spool()
    protocol.http.start = lambda *args: {"X-Goog-Upload-URL": "https://upload.example/1"}
    protocol.http.upload = lambda *args: {}
    with pytest.raises(BadResponseError):
        protocol.upload(JOB, spool)
    spool.close()


def test_an_upload_goes_nowhere_without_a_url(protocol_of):
    protocol, spool = protocol_of("gemini"), Spool()
    protocol.http.start = lambda *args: {}
    with pytest.raises(BadResponseError, match="without the URL"):
        protocol.upload(JOB, spool)
    spool.close()


def test_schemas_take_types_that_are_lists():
    assert _plain_schema({"type": ["integer", "string"]}) == {"type": "integer"}


def test_a_list_of_jobs_without_anything_around_it_is_read(protocol_of, monkeypatch):
    http = protocol_of("together").http
    monkeypatch.setattr(JobHTTP, "_exchange", lambda self, *args, **kwargs: Document([{"id": "a"}], {}))
    assert http.get("https://service.example") == {"data": [{"id": "a"}]}
    monkeypatch.setattr(JobHTTP, "_exchange", lambda self, *args, **kwargs: Document(5, {}))
    with pytest.raises(BadResponseError, match="a JSON object was expected"):
        http.get("https://service.example")


def test_a_note_about_no_jobs_is_empty():
    assert progress_note([], 0.0) == ""


def test_a_deadline_is_shown_with_its_day_unless_that_is_today():
    job = JOB._replace(state="running", answered=0)
    noon = time.mktime((2026, 11, 27, 12, 0, 0, 0, 0, -1))
    shown = [progress_note([job._replace(deadline=noon + hours * 3600)], noon) for hours in (2, 24)]
    assert shown == ["0/1, 0/2 rows ready, ends by 14:00", "0/1, 0/2 rows ready, ends by Sat 12:00"]
