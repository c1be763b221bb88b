"""The sandbox's embeddings refuse what the services refuse, and their faults change the answers."""

from __future__ import annotations

import pytest
import requests

from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.wires.embeddings import vector_of

LONG = "word " * 9000
OPENAI, GEMINI = "/v1/embeddings", "/v1beta/models/gemini-embedding-001:batchEmbedContents"
COHERE, OLLAMA = "/v2/embed", "/api/embed"
ENTRY = {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "fox"}]}}


@pytest.fixture(scope="module")
def box():
    with Sandbox() as running:
        yield running


def post(box, path, body):
    return requests.post(f"{box.url}{path}", json=body, headers={"Authorization": "Bearer k"}, timeout=20)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (OPENAI, {"input": "fox"}, "model parameter"),
        (OPENAI, {"model": "m", "input": []}, "Invalid 'input'"),
        (OPENAI, {"model": "m", "input": [""]}, "Invalid 'input'"),
        (OPENAI, {"model": "m", "input": "fox", "dimensions": True}, "dimensions"),
        (OPENAI, {"model": "m", "input": "fox", "dimensions": 9000}, "dimensions"),
        (OPENAI, {"model": "m", "input": ["fox"] * 2049}, "array too long"),
        (OPENAI, {"model": "m", "input": [LONG]}, "maximum context length"),
        (OPENAI, {"model": "m", "input": ["x" * 32000] * 40}, "max 300000 tokens per request"),
        (OPENAI, {"model": "voyage-4", "input": "fox", "encoding_format": "float"}, "'encoding_format' is not valid"),
        (OPENAI, {"model": "voyage-4", "input": "fox", "dimensions": 256}, "'dimensions' is not valid"),
        (OPENAI, {"model": "voyage-4", "input": ["fox"] * 129}, "batch size limit is 128"),
        (OPENAI, {"model": "voyage-4", "input": "word " * 30_000, "truncation": False}, "context length of 32000"),
        (OPENAI, {"model": "jina-embeddings-v3", "input": "word " * 30_000}, "context length of 32000"),
        (OPENAI, {"model": "jina-embeddings-v3", "input": "fox", "task": "query"}, "'task' is not valid"),
        (GEMINI, {"requests": []}, "at least one request"),
        (GEMINI, {"requests": [ENTRY] * 101}, "at most 100 requests"),
        (GEMINI, {"requests": [{**ENTRY, "outputDimensionality": -1}]}, "outputDimensionality"),
        (GEMINI, {"requests": [{**ENTRY, "model": ""}]}, "model is required"),
        (COHERE, {"texts": ["fox"], "input_type": "search_query"}, "model is required"),
        (COHERE, {"model": "m", "texts": ["fox"]}, "input_type"),
        (COHERE, {"model": "m", "texts": ["fox"], "input_type": "search_query", "output_dimension": -1}, "_dimension"),
        (COHERE, {"model": "m", "texts": [], "input_type": "search_query"}, "at least one text"),
        (COHERE, {"model": "m", "texts": ["fox"] * 97, "input_type": "search_query"}, "at most 96"),
        (OLLAMA, {"input": "fox"}, "model is required"),
        (OLLAMA, {"model": "m", "input": 3}, "invalid input type"),
        (OLLAMA, {"model": "m", "input": "fox", "dimensions": 10**9}, "dimensions"),
        (OLLAMA, {"model": "m", "input": LONG, "truncate": False}, "exceeds the context length"),
    ],
)
def test_a_request_that_the_service_refuses_is_refused(box, path, body, words):
    answer = post(box, path, body)
    assert answer.status_code == 400
    assert words in answer.text


@pytest.mark.parametrize("model", ["voyage-4", "jina-embeddings-v3"])
def test_services_without_chat_have_errors_of_their_own(box, model):
    answer = post(box, OPENAI, {"model": model, "input": []})
    assert (answer.status_code, list(answer.json())) == (400, ["detail"])
    answer = post(box, f"/fault/rate-limit,on=embeddings{OPENAI}", {"model": model, "input": "fox"})
    assert (answer.status_code, list(answer.json())) == (429, ["detail"])


def test_a_body_that_is_not_json_is_refused(box):
    answer = requests.post(f"{box.url}{OPENAI}", data=b"{", headers={"Content-Type": "application/json"}, timeout=20)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_a_long_text_is_cut_for_voyage_and_on_request_for_jina(box):
    text = "word " * 30_000
    assert post(box, OPENAI, {"model": "voyage-4", "input": text}).status_code == 200
    assert post(box, OPENAI, {"model": "jina-embeddings-v3", "input": text, "truncate": True}).status_code == 200


def test_vectors_are_sent_as_base64_on_request(box):
    record = post(box, OPENAI, {"model": "m", "input": "fox", "encoding_format": "base64"}).json()
    assert isinstance(record["data"][0]["embedding"], str)
    assert post(box, OLLAMA, {"model": "m", "input": "fox"}).json()["embeddings"] == [vector_of("fox", 64)]


def test_a_text_without_words_has_a_vector_too():
    assert sum(number * number for number in vector_of("?!", 8)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("path", "body", "vectors"),
    [
        (OPENAI, {"model": "m", "input": ["a", "b"]}, lambda record: [entry["embedding"] for entry in record["data"]]),
        (GEMINI, {"requests": [ENTRY, ENTRY]}, lambda record: [entry["values"] for entry in record["embeddings"]]),
        (
            COHERE,
            {"model": "m", "texts": ["a", "b"], "input_type": "search_query"},
            lambda record: record["embeddings"]["float"],
        ),
        (OLLAMA, {"model": "m", "input": ["a", "b"]}, lambda record: record["embeddings"]),
    ],
)
def test_a_fault_changes_the_vectors_of_every_protocol(box, path, body, vectors):
    assert vectors(post(box, f"/fault/zeros{path}", body).json()) == [[0.0] * 64] * 2
    assert len(vectors(post(box, f"/fault/one-vector{path}", body).json())) == 1


def test_a_fault_leaves_a_refusal_as_it_is(box):
    assert post(box, f"/fault/zeros{OPENAI}", {"input": "fox"}).status_code == 400


def test_keys_are_checked_where_the_sandbox_has_some():
    with Sandbox(api_keys=["good"]) as box:
        assert post(box, OPENAI, {"model": "m", "input": "fox"}).status_code == 401
