"""The batch jobs of the sandbox, as plain requests see them: what each service checks, says and refuses."""

from __future__ import annotations

import json

import pytest
import requests

from aichatkit.sandbox import Sandbox

BEARER = {"Authorization": "Bearer sk-one"}
OTHER = {"Authorization": "Bearer sk-two"}
ANTHROPIC = {"x-api-key": "sk-one", "anthropic-version": "2023-06-01"}
GOOGLE = {"x-goog-api-key": "sk-one"}
CHAT = "/v1/chat/completions"
BATCHES = "/v1/messages/batches"


def row(id, prompt="I am sad", **fields):
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": prompt}]}
    return {"custom_id": id, "method": "POST", "url": CHAT, "body": body, **fields}


def lines(*rows):
    return b"".join(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in rows)


def upload(box, data, *, name="rows.jsonl", headers=BEARER, path="/v1/files", **fields):
    fields = {"purpose": "batch", **fields}
    return requests.post(box.url + path, data=fields, files={"file": (name, data)}, headers=headers, timeout=10)


def create(box, *rows, headers=BEARER, base="/v1", **fields):
    file = upload(box, lines(*rows), headers=headers, path=f"{base}/files").json()["id"]
    order = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h", **fields}
    answer = requests.post(f"{box.url}{base}/batches", json=order, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(box, path, headers=BEARER, **query):
    return requests.get(box.url + path, headers=headers, params=query, timeout=10)


def post(box, path, headers=BEARER, document=None):
    return requests.post(box.url + path, headers=headers, json=document or {}, timeout=10)


def delete(box, path, headers=BEARER):
    return requests.delete(box.url + path, headers=headers, timeout=10)


def job(box, id, headers=BEARER):
    return get(box, f"/v1/batches/{id}", headers).json()


def results(box, job, name="output_file_id"):
    return [json.loads(line) for line in get(box, f"/v1/files/{job[name]}/content").content.split(b"\n") if line]


def anthropic_rows(*ids):
    params = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "I am sad"}]}
    return {"requests": [{"custom_id": id, "params": params} for id in ids]}


# Files.


def test_a_file_is_kept_listed_read_and_deleted(box):
    file = upload(box, b"{}\n", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}).json()
    assert (file["bytes"], file["filename"], file["purpose"], file["status"]) == (3, "rows.jsonl", "batch", "processed")
    assert file["expires_at"] - file["created_at"] == 3600
    assert get(box, "/v1/files").json()["data"] == [file]
    assert get(box, "/v1/files", OTHER).json()["data"] == []
    assert get(box, f"/v1/files/{file['id']}").json() == file
    assert get(box, f"/v1/files/{file['id']}/content").content == b"{}\n"
    assert get(box, f"/v1/files/{file['id']}", OTHER).status_code == 404
    assert delete(box, f"/v1/files/{file['id']}").json()["deleted"]
    assert get(box, f"/v1/files/{file['id']}").status_code == 404


def test_a_file_expires(box):
    file = upload(box, b"{}\n", **{"expires_after[seconds]": "3600"}).json()
    box.advance(3599)
    assert get(box, f"/v1/files/{file['id']}").status_code == 200
    box.advance(2)
    assert get(box, f"/v1/files/{file['id']}").status_code == 404


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda box: upload(box, b"", name="rows.txt"), "Must be .jsonl"),
        (lambda box: upload(box, b"", **{"expires_after[seconds]": "60"}), "expires_after"),
        (lambda box: post(box, "/v1/files"), "multipart/form-data"),
    ],
)
def test_an_upload_that_a_service_would_refuse_is_refused(box, answer, problem):
    refused = answer(box)
    assert refused.status_code == 400
    assert problem in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"--x\r\n", "could not parse"),
        (b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n', "'file' is a required"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\nbatch\r\n--x--\r\n", "'file' is a required"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n'
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n',
            "the last part",
        ),
    ],
)
def test_a_form_that_is_not_one_is_refused(box, body, problem):
    headers = {**BEARER, "Content-Type": "multipart/form-data; boundary=x"}
    refused = requests.post(f"{box.url}/v1/files", data=body, headers=headers, timeout=10)
    assert refused.status_code == 400
    assert problem in refused.json()["error"]["message"]


# OpenAI and those like it.


def test_a_batch_goes_from_validating_to_completed_by_the_clock(box):
    made = create(box, row("a"), row("b"), metadata={"aichatkit": "n"})
    assert (made["status"], made["metadata"], made["endpoint"]) == ("validating", {"aichatkit": "n"}, CHAT)
    box.advance(30)
    assert job(box, made["id"])["status"] == "in_progress"
    assert job(box, made["id"])["request_counts"] == {"total": 2, "completed": 1, "failed": 0}
    box.advance(31)
    done = job(box, made["id"])
    assert (done["status"], done["error_file_id"]) == ("completed", None)
    assert done["completed_at"] >= done["created_at"] + 60
    found = {line["custom_id"]: line["response"]["body"] for line in results(box, done)}
    assert set(found) == {"a", "b"}
    assert found["a"]["choices"][0]["message"]["content"] == "How long have you been sad?"
    assert [(entry.id, entry.state, entry.prompt) for entry in box.ledger] == [
        ("a", "answered", "I am sad"),
        ("b", "answered", "I am sad"),
    ]
    assert [(each.service, each.state, each.is_ended) for each in box.jobs] == [("openai", "completed", True)]


def test_results_are_in_another_order(box):
    made = create(box, *(row(str(number)) for number in range(20)))
    box.advance(61)
    ids = [line["custom_id"] for line in results(box, job(box, made["id"]))]
    assert ids != sorted(ids, key=int)
    assert sorted(ids, key=int) == [str(number) for number in range(20)]


def test_a_sandbox_whose_jobs_take_no_time_ends_them_at_once():
    with Sandbox(batch_seconds=0) as box:
        assert job(box, create(box, row("a"))["id"])["status"] == "completed"


def test_refused_rows_are_in_the_error_file(box):
    box.script("rate-limit,on=batch-row")
    made = create(box, row("a"))
    box.advance(61)
    done = job(box, made["id"])
    assert (done["status"], done["output_file_id"]) == ("completed", None)
    (line,) = results(box, done, "error_file_id")
    assert line["response"]["status_code"] == 429
    assert line["response"]["body"]["error"]["code"] == "rate_limit_exceeded"
    assert box.ledger[0].state == "refused"


def test_a_row_whose_answer_is_no_document_failed(box):
    made = create(box, row("a"))
    box.script("html,on=batch-row")
    box.advance(61)
    (line,) = results(box, job(box, made["id"]), "error_file_id")
    assert line["response"]["status_code"] == 500


def test_a_row_that_streams_fails(box):
    made = create(box, row("a", body={**row("a")["body"], "stream": True}))
    box.advance(61)
    (line,) = results(box, job(box, made["id"]), "error_file_id")
    assert line["response"]["status_code"] == 400


@pytest.mark.parametrize(
    ("rows", "code", "line"),
    [
        ([row("a"), b"{\n"], "invalid_json_line", 2),
        ([row("a"), b"[]\n"], "invalid_json_line", 2),
        ([row("a"), row("a")], "duplicate_custom_id", 2),
        ([row("")], "missing_required_parameter", 1),
        ([row("a", url="/v1/responses")], "url_mismatch", 1),
        ([row("a", method="GET")], "invalid_method", 1),
        ([row("a"), row("b", body={"model": "other"})], "model_mismatch", 2),
        ([row("a", body="text"), row("b", body={})], "", None),
        ([], "empty_file", None),
        ([row(str(number)) for number in range(50_001)], "too_many_tasks", None),
    ],
)
def test_lines_are_checked_when_the_batch_is_looked_at(box, rows, code, line):
    made = create(box, *rows)
    failed = job(box, made["id"])
    problems = failed["errors"]["data"] if failed["errors"] else [{"code": "", "line": None}]
    assert (problems[0]["code"], problems[0]["line"]) == (code, line)
    assert failed["status"] == ("failed" if code else "validating")


def test_a_last_line_without_an_end_is_a_line(box):
    file = upload(box, lines(row("a"))[:-1]).json()["id"]
    order = {"input_file_id": file, "endpoint": CHAT}
    assert post(box, "/v1/batches", document=order).json()["status"] == "validating"
    assert [entry.id for entry in box.ledger] == ["a"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"endpoint": "/v1/images"}, "endpoint"), ({"metadata": dict.fromkeys(map(str, range(17)), "x")}, "metadata")],
)
def test_a_creation_with_a_bad_field_is_refused(box, fields, param):
    file = upload(box, lines(row("a"))).json()["id"]
    order = {"input_file_id": file, "endpoint": CHAT, **fields}
    refused = post(box, "/v1/batches", document=order)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert not box.ledger


def test_another_key_does_not_find_a_batch(box):
    made = create(box, row("a"))
    assert get(box, f"/v1/batches/{made['id']}", OTHER).status_code == 404
    assert get(box, "/v1/batches", OTHER).json()["data"] == []
    assert post(box, "/v1/batches", OTHER, {"input_file_id": made["input_file_id"]}).status_code == 404


def test_keys_are_checked():
    with Sandbox(api_keys=["sk-one"]) as box:
        assert create(box, row("a"))["status"] == "validating"
        assert get(box, "/v1/batches", OTHER).status_code == 401
        box.advance(61)
        assert [entry.state for entry in box.ledger] == ["answered"]


def test_batches_are_listed_in_pages_the_newest_first(box):
    ids = [create(box, row("a"))["id"] for _ in range(3)]
    page = get(box, "/v1/batches", limit=2).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[:0:-1], True)
    last = get(box, "/v1/batches", limit=2, after=page["last_id"]).json()
    assert ([each["id"] for each in last["data"]], last["has_more"]) == (ids[:1], False)


def test_a_cancelled_batch_keeps_what_it_answered(box):
    made = create(box, row("a"), row("b"))
    box.advance(30)
    assert post(box, f"/v1/batches/{made['id']}/cancel").json()["status"] == "cancelling"
    assert post(box, f"/v1/batches/{made['id']}/cancel").json()["status"] == "cancelling"
    box.advance(7)
    done = job(box, made["id"])
    assert done["status"] == "cancelled"
    assert done["request_counts"] == {"total": 2, "completed": 1, "failed": 0}
    (line,) = results(box, done, "error_file_id")
    assert line["error"]["code"] == "batch_cancelled"
    assert post(box, f"/v1/batches/{made['id']}/cancel").json()["status"] == "cancelled"
    assert delete(box, f"/v1/batches/{made['id']}").status_code == 405


def test_azure_and_groq_are_told_by_their_headers_and_paths(box):
    azure = create(box, row("a", url="/chat/completions"), headers={"api-key": "k"}, endpoint="/chat/completions")
    groq = create(box, row("a"), base="/openai/v1")
    assert [each.service for each in box.jobs] == ["azure", "groq"]
    assert get(box, f"/v1/batches/{azure['id']}", {"api-key": "k"}).json()["status"] == "validating"
    assert [each["id"] for each in get(box, "/openai/v1/batches").json()["data"]] == [groq["id"]]


def test_together_has_words_of_its_own(box):
    made = create(box, row("a"), model_id="gpt-6-luna")["job"]
    assert (made["status"], made["progress"], made["error"]) == ("VALIDATING", 0, None)
    assert [each["id"] for each in get(box, "/v1/batches").json()] == [made["id"]]
    assert post(box, f"/v1/batches/{made['id']}/cancel").json()["status"] == "CANCELING"
    box.advance(61)
    assert (job(box, made["id"])["status"], job(box, made["id"])["progress"]) == ("CANCELLED", 100.0)
    box.script("batch-token-limit")
    failed = create(box, row("a"), model_id="gpt-6-luna")["job"]
    assert "Enqueued token limit" in job(box, failed["id"])["error"]


def test_mistral_has_the_model_on_the_job_and_numbered_pages(box):
    file = upload(box, lines({"custom_id": "a", "body": {"messages": [{"role": "user", "content": "I am sad"}]}}))
    order = {"input_files": [file.json()["id"]], "endpoint": CHAT, "model": "mistral-small-latest"}
    made = post(box, "/v1/batch/jobs", document=order).json()
    assert (made["status"], made["total_requests"]) == ("RUNNING", 1)
    inline = post(box, "/v1/batch/jobs", document={**order, "input_files": [], "requests": [row("b")]}).json()
    assert inline["input_files"] == []
    assert [each["id"] for each in get(box, "/v1/batch/jobs", page=1, page_size=1).json()["data"]] == [made["id"]]
    box.advance(61)
    done = get(box, f"/v1/batch/jobs/{made['id']}", inline="true").json()
    assert (done["status"], done["succeeded_requests"], done["failed_requests"]) == ("SUCCESS", 1, 0)
    assert done["outputs"] == results(box, done, "output_file")
    assert post(box, f"/v1/batch/jobs/{made['id']}/cancel").json()["status"] == "SUCCESS"
    assert delete(box, f"/v1/batch/jobs/{made['id']}").json()["deleted"]
    assert get(box, f"/v1/batch/jobs/{made['id']}").status_code == 404
    assert len(box.ledger) == 2


def test_mistral_says_that_it_is_being_cancelled_and_why_a_job_failed(box):
    file = upload(box, lines({"custom_id": "a", "body": {"messages": []}})).json()["id"]
    order = {"input_files": [file], "endpoint": CHAT, "model": "mistral-small-latest"}
    made = post(box, "/v1/batch/jobs", document=order).json()
    assert post(box, f"/v1/batch/jobs/{made['id']}/cancel").json()["status"] == "CANCELLATION_REQUESTED"
    box.script("batch-model-refused")
    failed = post(box, "/v1/batch/jobs", document=order).json()
    failed = get(box, f"/v1/batch/jobs/{failed['id']}").json()
    assert (failed["status"], failed["errors"][0]["count"]) == ("FAILED", 1)


def test_xai_counts_rows_and_has_pages_of_results(box):
    rows = [row(str(number)) for number in range(3)]
    rows[1]["url"] = "/v1/nothing"
    rows[2] = {"custom_id": "2", "url": "/v1/responses", "body": {"model": "gpt-6-luna", "input": "I am sad"}}
    file = upload(box, lines(*rows)).json()["id"]
    made = post(box, "/v1/batches", document={"name": "ak-1", "input_file_id": file}).json()
    assert made["state"]["num_requests"] == 0
    id = made["batch_id"]
    box.advance(30)
    assert job(box, id)["state"]["num_pending"] == 3
    assert get(box, f"/v1/batches/{id}/results").json() == {"results": [], "pagination_token": None}
    box.advance(31)
    counts = {"num_requests": 3, "num_pending": 0, "num_success": 2, "num_error": 1, "num_cancelled": 0}
    assert job(box, id)["state"] == counts
    found, token = [], "0"
    while token is not None:
        page = get(box, f"/v1/batches/{id}/results", limit=2, pagination_token=token).json()
        found, token = found + page["results"], page["pagination_token"]
    by_id = {each["batch_request_id"]: each["batch_result"] for each in found}
    assert by_id["0"]["response"]["chat_get_completion"]["object"] == "chat.completion"
    assert by_id["1"]["error"]["code"] == 5
    assert by_id["2"]["response"]["responses"]["object"] == "response"
    assert get(box, "/v1/batches", limit=1).json()["batches"][0]["batch_id"] == id
    assert get(box, "/v1/files/file-0/results").status_code == 404


def test_xai_says_why_a_job_was_refused_and_how_rows_were_not_run(box):
    box.script("batch-model-refused", "batch-cancel,share=0")
    ids = []
    for _ in range(2):
        file = upload(box, lines(row("a"))).json()["id"]
        made = post(box, "/v1/batches", document={"name": "ak-1", "input_file_id": file}).json()
        ids.append(made["batch_id"])
    box.advance(61)
    assert "is not supported for batch processing" in job(box, ids[0])["cancel_by_xai_message"]
    (line,) = get(box, f"/v1/batches/{ids[1]}/results").json()["results"]
    assert line["batch_result"]["error"]["code"] == 1
    token = get(box, "/v1/batches", limit=1).json()["pagination_token"]
    assert get(box, "/v1/batches", limit=1, pagination_token=token).json()["batches"][0]["batch_id"] == ids[0]
    assert get(box, f"/v1/batches/{create(box, row('a'))['id']}/results").status_code == 404


# Anthropic.


def test_a_message_batch_counts_only_at_its_end(box):
    made = post(box, BATCHES, ANTHROPIC, anthropic_rows("a", "b")).json()
    assert (made["processing_status"], made["results_url"]) == ("in_progress", None)
    assert made["request_counts"] == {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    assert get(box, f"{BATCHES}/{made['id']}/results", ANTHROPIC).status_code == 404
    assert delete(box, f"{BATCHES}/{made['id']}", ANTHROPIC).status_code == 400
    box.script("overloaded,on=batch-row")
    box.advance(61)
    done = get(box, f"{BATCHES}/{made['id']}", ANTHROPIC).json()
    assert (done["processing_status"], done["request_counts"]["succeeded"]) == ("ended", 1)
    answer = requests.get(done["results_url"], headers=ANTHROPIC, timeout=10)
    assert answer.headers["Content-Type"] == "application/x-jsonl"
    found = {json.loads(line)["result"]["type"]: json.loads(line)["result"] for line in answer.text.splitlines()}
    assert found["succeeded"]["message"]["usage"]["service_tier"] == "batch"
    assert found["errored"]["error"]["error"]["type"] == "overloaded_error"
    assert delete(box, f"{BATCHES}/{made['id']}", ANTHROPIC).json()["type"] == "message_batch_deleted"
    assert get(box, f"{BATCHES}/{made['id']}", ANTHROPIC).status_code == 404
    assert len(box.ledger) == 2


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "at least 1 item"),
        (anthropic_rows("a" * 65), "at most 64 characters"),
        (anthropic_rows("a", "a"), "Duplicate"),
        ({"requests": [{"custom_id": "a"}]}, "params: Field required"),
        ({"requests": [{"custom_id": "a", "params": {"stream": True}}]}, "Streaming"),
    ],
)
def test_a_message_batch_of_a_bad_form_is_refused_as_a_whole(box, document, problem):
    refused = post(box, BATCHES, ANTHROPIC, document)
    assert refused.status_code == 400
    assert problem in refused.json()["error"]["message"]
    assert not box.ledger


def test_message_batches_need_the_version_and_are_listed_in_pages(box):
    assert post(box, BATCHES, {"x-api-key": "k"}, anthropic_rows("a")).status_code == 400
    assert get(box, BATCHES, ANTHROPIC).json() == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    ids = [post(box, BATCHES, ANTHROPIC, anthropic_rows("a")).json()["id"] for _ in range(3)]
    page = get(box, BATCHES, ANTHROPIC, limit=2).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[:0:-1], True)
    last = get(box, BATCHES, {**ANTHROPIC, "Authorization": "x"}, after_id=page["last_id"]).json()
    assert ([each["id"] for each in last["data"]], last["has_more"]) == (ids[:1], False)


def test_a_message_batch_is_cancelled(box):
    made = post(box, BATCHES, ANTHROPIC, anthropic_rows("a", "b")).json()
    assert post(box, f"{BATCHES}/{made['id']}/cancel", ANTHROPIC).json()["processing_status"] == "canceling"
    box.advance(7)
    done = get(box, f"{BATCHES}/{made['id']}", ANTHROPIC).json()
    assert (done["processing_status"], done["request_counts"]["canceled"]) == ("ended", 2)
    assert done["cancel_initiated_at"]
    text = get(box, f"{BATCHES}/{made['id']}/results", ANTHROPIC).text
    assert [json.loads(line)["result"] for line in text.splitlines()] == [{"type": "canceled"}] * 2


def test_a_queue_of_message_batches_that_is_full_is_a_rate_limit(box):
    box.script("batch-token-limit", "batch-archived")
    assert post(box, BATCHES, ANTHROPIC, anthropic_rows("a")).status_code == 429
    made = post(box, BATCHES, ANTHROPIC, anthropic_rows("a")).json()
    box.advance(61)
    done = get(box, f"{BATCHES}/{made['id']}", ANTHROPIC).json()
    assert done["archived_at"]
    assert done["results_url"] is None
    assert get(box, f"{BATCHES}/{made['id']}/results", ANTHROPIC).status_code == 404


# Gemini.


def start_upload(box, version="v1beta"):
    headers = {**GOOGLE, "X-Goog-Upload-Command": "start"}
    answer = post(box, f"/upload/{version}/files", headers, {"file": {"display_name": "rows"}})
    assert answer.headers["X-Goog-Upload-Status"] == "active"
    return answer.headers["X-Goog-Upload-URL"]


def send_piece(url, data, *, command="upload, finalize", offset=0):
    headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
    return requests.post(url, data=data, headers=headers, timeout=10)


def gemini_line(key):
    return {"key": key, "request": {"contents": [{"role": "user", "parts": [{"text": "I am sad"}]}]}}


def gemini_file(box, *rows):
    return send_piece(start_upload(box), lines(*rows)).json()["file"]["name"]


def gemini_job(box, config, model="gemini-3.8-flash", **fields):
    batch = {"displayName": "ak-1", "inputConfig": config, **fields}
    return post(box, f"/v1beta/models/{model}:batchGenerateContent", GOOGLE, {"batch": batch})


def test_a_resumable_upload_takes_pieces_in_their_order(box):
    url = start_upload(box)
    assert send_piece(url, b"one\n", command="upload").headers["X-Goog-Upload-Status"] == "active"
    assert send_piece(url, b"two\n").status_code == 400
    file = send_piece(url, b"two\n", offset=4).json()["file"]
    assert (file["sizeBytes"], file["displayName"]) == ("8", "rows")
    assert send_piece(url, b"two\n", offset=8).status_code == 400
    assert get(box, f"/v1beta/{file['name']}", GOOGLE).json() == file
    assert get(box, f"/v1beta/{file['name']}:download", GOOGLE, alt="media").status_code == 400
    assert delete(box, f"/v1beta/{file['name']}", GOOGLE).status_code == 200
    assert get(box, f"/v1beta/{file['name']}", GOOGLE).status_code == 404


def test_an_operation_has_its_results_in_a_file(box):
    made = gemini_job(box, {"fileName": gemini_file(box, gemini_line("a"), gemini_line("b"))}).json()
    assert made["metadata"]["state"] == "BATCH_STATE_RUNNING"
    assert made["metadata"]["batchStats"] == {"requestCount": "2", "pendingRequestCount": "2"}
    assert "done" not in made
    box.script("server-error,on=batch-row")
    box.advance(61)
    done = get(box, f"/v1beta/{made['name']}", GOOGLE).json()
    assert (done["done"], done["metadata"]["state"]) == (True, "BATCH_STATE_SUCCEEDED")
    ref = done["response"]["responsesFile"]
    assert get(box, f"/v1beta/{made['name']}", GOOGLE).json() == done
    text = get(box, f"/v1beta/{ref}:download", GOOGLE, alt="media").text
    found = [json.loads(line) for line in text.splitlines()]
    assert {each["key"] for each in found} == {"a", "b"}
    assert {"response", "error"} == {name for each in found for name in each if name != "key"}
    assert [each["error"]["code"] for each in found if "error" in each] == [13]


def test_an_operation_may_have_its_rows_and_results_in_itself(box):
    rows = [{"request": gemini_line("a")["request"], "metadata": {"key": "a"}}]
    made = gemini_job(box, {"requests": {"requests": rows}}).json()
    box.advance(61)
    (line,) = get(box, f"/v1beta/{made['name']}", GOOGLE).json()["response"]["inlinedResponses"]["inlinedResponses"]
    assert line["metadata"] == {"key": "a"}
    assert line["response"]["candidates"]
    assert [each["name"] for each in get(box, "/v1beta/batches", GOOGLE).json()["operations"]] == [made["name"]]
    other = gemini_job(box, {"requests": rows}).json()
    page = get(box, "/v1beta/batches", GOOGLE, pageSize=1).json()
    assert page["operations"][0]["name"] == other["name"]
    page = get(box, "/v1beta/batches", GOOGLE, pageSize=1, pageToken=page["nextPageToken"]).json()
    assert page["operations"][0]["name"] == made["name"]
    assert delete(box, f"/v1beta/{made['name']}", GOOGLE).status_code == 200
    assert get(box, f"/v1beta/{made['name']}", GOOGLE).status_code == 404


def test_an_operation_is_cancelled_at_once(box):
    made = gemini_job(box, {"fileName": gemini_file(box, gemini_line("a"))}).json()
    assert post(box, f"/v1beta/{made['name']}:cancel", GOOGLE).json() == {}
    done = get(box, f"/v1beta/{made['name']}", GOOGLE).json()
    assert (done["done"], done["metadata"]["state"]) == (True, "BATCH_STATE_CANCELLED")
    text = get(box, f"/v1beta/{done['response']['responsesFile']}:download", GOOGLE).text
    assert json.loads(text)["error"]["code"] == 1
    assert post(box, f"/v1beta/{made['name']}:cancel", GOOGLE).json() == {}


def test_an_operation_that_cannot_be_is_refused(box):
    file = gemini_file(box, gemini_line("a"))
    assert gemini_job(box, {"fileName": file}, displayName="").status_code == 400
    assert gemini_job(box, {"fileName": "files/none"}).status_code == 404
    assert gemini_job(box, {"fileName": gemini_file(box, b"{\n")}).status_code == 400
    assert gemini_job(box, {}).status_code == 400
    box.script("batch-model-refused")
    assert gemini_job(box, {"fileName": file}).status_code == 404
    assert not box.ledger


@pytest.mark.parametrize(("fault", "code"), [("batch-token-limit", 8), ("batch-invalid", 3), ("batch-fail", 13)])
def test_an_operation_fails_as_a_whole(box, fault, code):
    box.script(fault)
    made = gemini_job(box, {"fileName": gemini_file(box, gemini_line("a"))}).json()
    failed = get(box, f"/v1beta/{made['name']}", GOOGLE).json()
    assert (failed["metadata"]["state"], failed["error"]["code"]) == ("BATCH_STATE_FAILED", code)


def test_an_operation_that_never_began_has_no_results(box):
    box.script("batch-stuck")
    made = gemini_job(box, {"fileName": gemini_file(box, gemini_line("a"))}).json()
    box.advance(90_000)
    done = get(box, f"/v1beta/{made['name']}", GOOGLE).json()
    assert done["metadata"]["state"] == "BATCH_STATE_EXPIRED"
    assert "response" not in done


# Faults of jobs.


def job_with(box, fault, rows=4, seconds=61.0):
    box.script(fault)
    made = create(box, *(row(str(number)) for number in range(rows)))
    box.advance(seconds)
    return job(box, made["id"])


def test_the_results_of_an_operation_may_be_in_itself_although_its_rows_are_a_file(box):
    box.script("batch-inline")
    made = gemini_job(box, {"fileName": gemini_file(box, gemini_line("a"))}).json()
    box.advance(61)
    done = get(box, f"/v1beta/{made['name']}", GOOGLE).json()
    assert len(done["response"]["inlinedResponses"]["inlinedResponses"]) == 1


def test_a_job_may_expire_half_done(box):
    done = job_with(box, "batch-expire,share=0.5")
    assert done["status"] == "in_progress"
    box.advance(86_400)
    done = job(box, done["id"])
    assert (done["status"], done["request_counts"]["completed"]) == ("expired", 2)
    assert {line["error"]["code"] for line in results(box, done, "error_file_id")} == {"batch_expired"}


def test_a_job_may_be_cancelled_by_somebody(box):
    done = job_with(box, "batch-cancel")
    assert (done["status"], done["request_counts"]["completed"]) == ("cancelled", 2)


def test_a_job_may_never_begin(box):
    done = job_with(box, "batch-stuck", seconds=80_000)
    assert done["status"] == "validating"
    box.advance(10_000)
    assert job(box, done["id"])["status"] == "expired"


def test_all_rows_may_be_refused(box):
    done = job_with(box, "batch-all-errors,fault=rate-limit")
    assert (done["status"], done["output_file_id"]) == ("completed", None)
    assert {line["response"]["status_code"] for line in results(box, done, "error_file_id")} == {429}


@pytest.mark.parametrize(("value", "expected"), [("null", None), ("empty", ""), ("object", {})])
def test_a_missing_id_has_many_forms(box, value, expected):
    assert job_with(box, f"batch-ids,value={value}")["error_file_id"] == expected


def test_a_missing_id_may_be_absent(box):
    assert "error_file_id" not in job_with(box, "batch-ids,value=absent")


def test_counts_may_be_text_and_times_dates(box):
    assert job_with(box, "batch-count-strings")["request_counts"]["total"] == "4"
    assert len(job_with(box, "batch-dates")["created_at"]) == len("2026-11-26")


def lines_of(box, fault):
    done = job_with(box, fault)
    return get(box, f"/v1/files/{done['output_file_id']}/content").content


def test_a_line_may_be_what_is_wrong_with_a_job(box):
    assert job_with(box, "batch-invalid,line=3")["errors"]["data"][0]["line"] == 3


def test_a_job_may_fail_for_a_reason_of_the_service(box):
    assert job_with(box, "batch-fail")["errors"]["data"][0]["code"] == "internal_error"


def test_results_may_not_match_the_rows(box):
    assert len(lines_of(box, "batch-missing-row").splitlines()) == 3
    assert len(lines_of(box, "batch-double-row").splitlines()) == 5
    assert json.loads(lines_of(box, "batch-foreign-row").splitlines()[0])["custom_id"] == "request-7"
    found = [json.loads(line)["response"]["status_code"] for line in lines_of(box, "batch-status-zero").splitlines()]
    assert found == [0, 200, 200, 200]


def test_lines_may_be_odd(box):
    assert len(lines_of(box, "batch-separator").decode().splitlines()) > 4
    assert len(lines_of(box, "batch-long-line,megabytes=1").split(b"\n")[0]) > 1 << 20


def test_results_may_be_gone(box):
    done = job_with(box, "batch-output-gone")
    assert get(box, f"/v1/files/{done['output_file_id']}/content").status_code == 404


def test_the_clock_is_the_wall_clock_until_it_is_moved(box):
    start = box.now()
    box.advance(100)
    assert 100 <= box.now() - start < 110


def test_a_list_may_lag(box):
    made = job_with(box, "batch-lag,seconds=60", seconds=59)
    assert get(box, "/v1/batches").json()["data"] == []
    box.advance(2)
    assert [each["id"] for each in get(box, "/v1/batches").json()["data"]] == [made["id"]]


def test_one_request_may_create_two_jobs(box):
    job_with(box, "batch-twice", rows=1)
    assert len(box.jobs) == 2
    assert len(box.ledger) == 2


def test_a_creation_whose_answer_is_lost_is_in_the_ledger(box):
    box.script("cut,on=batch-create")
    # Older versions of urllib3 do not see that a body is cut.
    with pytest.raises(requests.RequestException):
        create(box, row("a"))
    assert [entry.state for entry in box.ledger] == ["asked"]


def test_a_file_that_is_still_checked_starts_no_job(sandbox):
    sandbox.script("batch-pending-file,seconds=30")
    file = upload(sandbox, lines(row("a"))).json()["id"]
    order = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    refused = post(sandbox, "/v1/batches", document=order)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == f"The file {file} is still being processed."
    sandbox.advance(30)
    assert post(sandbox, "/v1/batches", document=order).status_code == 200


def vector_row(id, text="red fox", **fields):
    body = {"model": "text-embedding-3-small", "input": text, "dimensions": 4, **fields}
    return {"custom_id": id, "method": "POST", "url": "/v1/embeddings", "body": body}


def test_a_job_for_embeddings_has_a_vector_for_each_row_and_refuses_rows_that_are_none(sandbox):
    rows = [vector_row("a"), vector_row("b", ""), vector_row("c", dimensions=0.5), vector_row("d", ["x", "y"])]
    job = create(sandbox, *rows, endpoint="/v1/embeddings")
    sandbox.advance(61)
    found = requests.get(f"{sandbox.url}/v1/batches/{job['id']}", headers=BEARER, timeout=10).json()
    assert found["request_counts"] == {"total": 4, "completed": 2, "failed": 2}
    assert sorted(row.state for row in sandbox.ledger) == ["answered", "answered", "refused", "refused"]


def test_a_job_for_embeddings_takes_fifty_thousand_texts(sandbox):
    job = create(sandbox, vector_row("a", ["x"] * 30_000), vector_row("b", ["x"] * 20_001), endpoint="/v1/embeddings")
    sandbox.advance(1)
    found = requests.get(f"{sandbox.url}/v1/batches/{job['id']}", headers=BEARER, timeout=10).json()
    assert found["errors"]["data"][0]["message"] == "The batch has 50001 inputs, and one for embeddings takes 50000."


def google_job(box, *requests_, method="asyncBatchEmbedContent"):
    entries = [{"request": each, "metadata": {"key": str(number)}} for number, each in enumerate(requests_)]
    batch = {"displayName": "vectors", "inputConfig": {"requests": {"requests": entries}}}
    url = f"{box.url}/v1beta/models/gemini-embedding-001:{method}"
    answer = requests.post(url, json={"batch": batch}, headers=GOOGLE, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()["name"]


def test_googles_job_for_embeddings_has_a_vector_and_its_tokens_for_each_content(sandbox):
    content = {"parts": [{"text": "red fox"}]}
    name = google_job(sandbox, {"content": content, "outputDimensionality": 4}, {"content": {"parts": []}}, {})
    sandbox.advance(61)
    found = requests.get(f"{sandbox.url}/v1beta/{name}", headers=GOOGLE, timeout=10).json()["metadata"]
    rows = found["output"]["inlinedEmbedContentResponses"]["inlinedResponses"]
    by_key = {row["metadata"]["key"]: row for row in rows}
    assert len(by_key["0"]["response"]["embedding"]["values"]) == 4
    assert by_key["0"]["response"]["tokenCount"] == "2"
    assert [by_key[key]["error"]["code"] for key in "12"] == [3, 3]


def test_googles_job_for_chats_takes_no_contents_for_embeddings(sandbox):
    google_job(sandbox, {"content": {"parts": [{"text": "red fox"}]}}, method="batchGenerateContent")
    sandbox.advance(61)
    assert [row.state for row in sandbox.ledger] == ["refused"]
