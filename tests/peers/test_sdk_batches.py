"""The batch jobs of the sandbox against the official SDKs, and our requests for such jobs next to theirs."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest

from aichatkit import Client
from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.batches.forms import parse_form

PROMPTS = ["I am sad", "I am sad about zażółć 🦊", "I am sad\u2028twice"]
ELIZA = "How long have you been sad?"
#: Module in sdks/ -> the states of a job that runs, has ended, is being cancelled, and was cancelled.
SDKS = {
    "anthropic_messages": ("in_progress", "ended", "canceling", "ended"),
    "gemini": ("JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED", "JOB_STATE_CANCELLED", "JOB_STATE_CANCELLED"),
    "groq_batches": ("validating", "completed", "cancelling", "cancelled"),
    "mistral_batches": ("RUNNING", "SUCCESS", "CANCELLATION_REQUESTED", "CANCELLED"),
    "openai_chat": ("validating", "completed", "cancelling", "cancelled"),
}
#: Module in sdks/ -> our model and the path of the base URL.
OURS = {
    "anthropic_messages": ("anthropic/claude-haiku-5-5", ""),
    "gemini": ("gemini/gemini-flash-latest", ""),
    "groq_batches": ("groq/openai/gpt-oss-20b", "/openai/v1"),
    "mistral_batches": ("mistral/mistral-small-latest", "/v1"),
    "openai_chat": ("openai/gpt-6-luna", "/v1"),
}
NOT_RUN = {"anthropic_messages": "canceled", "gemini": "error"}


@pytest.fixture(params=SDKS)
def sdk(request, sdk_named):
    return sdk_named(request.param)


def test_a_job_is_created_looked_at_and_collected(sdk, sandbox):
    running, ended, _, _ = SDKS[sdk.name]
    made = sdk.call("create_batch", url=sandbox.url, prompts=PROMPTS)
    assert made["status"] == running
    assert sdk.call("see_batch", url=sandbox.url, id=made["id"])["status"] == running
    sandbox.advance(61)
    seen = sdk.call("see_batch", url=sandbox.url, id=made["id"])
    assert seen["status"] == ended
    # Gemini's SDK leaves its counts out.
    assert seen["counts"] is None or 3 in seen["counts"]
    answers = sdk.call("batch_results", url=sandbox.url, id=made["id"])
    assert set(answers) == {"row-0", "row-1", "row-2"}
    assert answers["row-0"] == ELIZA
    assert sorted(row.prompt for row in sandbox.ledger) == sorted(PROMPTS)


def test_a_job_with_its_rows_inline_has_its_results_inline(sdk_named, sandbox):
    gemini, mistral = sdk_named("gemini"), sdk_named("mistral_batches")
    ids = [each.call("create_batch", url=sandbox.url, prompts=PROMPTS, inline=True)["id"] for each in (gemini, mistral)]
    sandbox.advance(61)
    rows = {"row-0", "row-1", "row-2"}
    assert set(gemini.call("batch_results", url=sandbox.url, id=ids[0])) == rows
    assert set(mistral.call("inline_results", url=sandbox.url, id=ids[1])) == rows


def test_jobs_are_listed_over_several_pages(sdk, sandbox):
    ids = [sdk.call("create_batch", url=sandbox.url, prompts=PROMPTS[:1])["id"] for _ in range(3)]
    assert sdk.call("list_batches", url=sandbox.url) == ids[::-1]


def test_a_job_is_cancelled_and_deleted(sdk, sandbox):
    _, _, cancelling, cancelled = SDKS[sdk.name]
    made = sdk.call("create_batch", url=sandbox.url, prompts=PROMPTS)
    assert sdk.call("cancel_batch", url=sandbox.url, id=made["id"])["status"] == cancelling
    sandbox.advance(10)
    assert sdk.call("see_batch", url=sandbox.url, id=made["id"])["status"] == cancelled
    answers = sdk.call("batch_results", url=sandbox.url, id=made["id"])
    assert set(answers.values()) == {NOT_RUN.get(sdk.name, "batch_cancelled")}
    assert sdk.call("delete_batch", url=sandbox.url, id=made["id"])


def test_a_job_of_another_key_is_not_found(sdk, sandbox):
    made = sdk.call("create_batch", url=sandbox.url, key="sk-one", prompts=PROMPTS)
    raised = sdk.fail("see_batch", url=sandbox.url, key="sk-two", id=made["id"])
    assert raised.status == 404


def test_a_wrong_key_is_refused_as_one(sdk):
    with Sandbox(api_keys=["sk-right"]) as sandbox:
        raised = sdk.fail("create_batch", url=sandbox.url, key="sk-wrong", prompts=PROMPTS)
    assert raised.status in (400, 401)


def test_a_rate_limit_of_a_creation_is_the_error_that_the_sdk_has_for_it(sdk, sandbox):
    sandbox.script("rate-limit,on=batch-create")
    assert sdk.fail("create_batch", url=sandbox.url, prompts=PROMPTS).status == 429
    assert not sandbox.jobs


@pytest.mark.parametrize("name", ["anthropic_messages", "openai_chat"])
def test_a_creation_is_repeated_by_the_sdk_and_never_by_us(sdk_named, sandbox, tmp_path, name):
    # The job is created, and the answer cut: whoever sends it again pays twice.
    sandbox.script("cut,on=batch-create")
    sdk_named(name).call("create_batch", url=sandbox.url, retries=2, prompts=PROMPTS)
    assert len(sandbox.jobs) == 2
    with Sandbox() as box:
        box.script("cut,on=batch-create")
        ours(name, box, tmp_path)
        assert len(box.jobs) == 1


def ours(name, sandbox, tmp_path):
    """Send the prompts with this package, collect them, and return the requests."""
    model, path = OURS[name]
    provider = model.partition("/")[0]
    with Client(model=model, api_key={provider: "sk-peers"}, base_url={provider: sandbox.url + path}) as client:
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "wait": False, "progress": False}
        extra = {"max_tokens": 500} if provider == "anthropic" else {}
        client.map(PROMPTS, **options, **extra)
        sandbox.advance(61)
        client.map(PROMPTS, **options, **extra)
    return list(sandbox.requests)


def rows_of(request):
    """Return the rows that a request carries, without what names them."""
    if request.path.endswith("/files") and "multipart" in request.headers.get("content-type", ""):
        data = parse_form(request).data
    elif request.headers.get("x-goog-upload-command", "").startswith("upload"):
        data = request.body
    else:
        return [
            {name: value for name, value in row.items() if name != "custom_id"} for row in request.json()["requests"]
        ]
    rows = [json.loads(line) for line in data.split(b"\n")[:-1]]
    return [{name: value for name, value in row.items() if name not in ("custom_id", "key")} for row in rows]


def described(requests):
    """Return the method and path of requests, with IDs and the version left out."""
    found = []
    for request in requests:
        path = urlsplit(request.path).path.replace("/v1beta/", "/v1/")
        words = re.sub(r"/(batches|files|jobs)/[\w-]+(?=[/:]|$)", r"/\1/ID", path)
        found.append((request.method, words))
    return list(dict.fromkeys(found))


def test_our_requests_are_those_of_the_sdk(sdk, sandbox, tmp_path):
    made = sdk.call("create_batch", url=sandbox.url, prompts=PROMPTS)
    sandbox.advance(61)
    sdk.call("see_batch", url=sandbox.url, id=made["id"])
    sdk.call("batch_results", url=sandbox.url, id=made["id"])
    theirs = list(sandbox.requests)
    with Sandbox() as box:
        mine = ours(sdk.name, box, tmp_path)
    sent = [request for request in described(mine) if request[0] != "DELETE"]
    assert sent == described(theirs)
    carriers = [
        next(request for request in requests if request.method == "POST" and b"I am sad" in request.body)
        for requests in (mine, theirs)
    ]
    assert rows_of(carriers[0]) == rows_of(carriers[1])
    assert shape(creation_in(mine)) == shape(creation_in(theirs))
    if "multipart" in carriers[0].headers.get("content-type", ""):
        forms = [parse_form(carrier) for carrier in carriers]
        # Whom a file is shown to is the default of Mistral's SDK.
        forms[1].fields.pop("visibility", None)
        assert forms[0].fields == forms[1].fields
        assert forms[0].filename.endswith(".jsonl")


#: Module in sdks/ -> our embedding model, and the width of its vectors in the sandbox.
EMBEDDERS = {
    "gemini": ("gemini/gemini-embedding-001", 64),
    "mistral_batches": ("mistral/mistral-embed", 64),
    "openai_chat": ("openai/text-embedding-3-small", 1536),
}


@pytest.mark.parametrize("name", EMBEDDERS)
def test_our_jobs_for_embeddings_are_those_of_the_sdk(sdk_named, sandbox, tmp_path, name):
    sdk, (model, width) = sdk_named(name), EMBEDDERS[name]
    made = sdk.call("create_embeddings_batch", url=sandbox.url, texts=PROMPTS)
    sandbox.advance(61)
    vectors = sdk.call("batch_vectors", url=sandbox.url, id=made["id"])
    assert vectors == {f"row-{number}": width for number in range(3)}
    theirs = list(sandbox.requests)
    provider = model.partition("/")[0]
    with Sandbox() as box:
        address = {provider: box.url + OURS[name][1]}
        with Client(api_key={provider: "sk-peers"}, base_url=address) as client:
            options = {"model": model, "batch": True, "resume": tmp_path / "vectors.sqlite", "wait": False}
            client.embed(PROMPTS, **options)
            box.advance(61)
            assert len(client.embed(PROMPTS, **options)[2]) == width
        mine = list(box.requests)
    carriers = [
        next(request for request in requests if request.method == "POST" and b"I am sad" in request.body)
        for requests in (mine, theirs)
    ]
    assert rows_of(carriers[0]) == rows_of(carriers[1])
    assert shape(creation_in(mine)) == shape(creation_in(theirs))
    paths = [{path for method, path in described(requests) if method == "POST"} for requests in (mine, theirs)]
    assert paths[0] == paths[1]


def test_vectors_of_contents_in_the_request_are_in_the_job(sdk_named, sandbox):
    gemini = sdk_named("gemini")
    made = gemini.call("create_embeddings_batch", url=sandbox.url, texts=PROMPTS, inline=True)
    sandbox.advance(61)
    vectors = gemini.call("batch_vectors", url=sandbox.url, id=made["id"])
    assert [width for width, _ in vectors] == [64] * 3
    assert all(tokens > 0 for _, tokens in vectors)


def creation_in(requests):
    """Return the body of the request that creates a job."""
    ends = ("/batches", "/batch/jobs", ":batchGenerateContent", ":asyncBatchEmbedContent")
    return next(request.json() for request in requests if request.method == "POST" and request.path.endswith(ends))


def shape(value):
    """Return a document with its names only."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__
