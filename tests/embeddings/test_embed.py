"""`Client.embed`: texts go out in batches and come back as vectors in their order."""

from __future__ import annotations

import base64
import json
import pickle
import re
import sqlite3
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import responses

import aichatkit as ai
from aichatkit import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BudgetExceededError,
    ChatError,
    Client,
    ConfigurationError,
    ContextTooLongError,
    JournalError,
    MissingKeyError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    UnknownModelError,
    UnknownProviderError,
)
from aichatkit.embeddings import services
from aichatkit.embeddings.run import EmbeddingRun
from aichatkit.embeddings.store import Stored, VectorJournal
from aichatkit.embeddings.vectors import from_bytes
from aichatkit.registry import registry
from aichatkit.sandbox.wires.embeddings import vector_of

MODEL = "openai/text-embedding-3-small"
URL = "https://api.openai.com/v1/embeddings"
TEXTS = ["red fox", "grey wolf", "red wolf"]
BASES = {
    "openai": "/v1",
    "azure": "",
    "gemini": "",
    "cohere": "",
    "mistral": "/v1",
    "ollama": "",
    "openrouter": "/v1",
    "together": "/v1",
    "fireworks": "/v1",
    "nebius": "/v1",
    "deepinfra": "/v1",
    "lmstudio": "/v1",
    "vllm": "/v1",
    "llamacpp": "/v1",
    "ollama-v1": "/v1",
    "voyage": "/v1",
    "jina": "/v1",
}


def near(text, width):
    return pytest.approx(vector_of(text, width), abs=1e-6)


def bodies(sandbox):
    return [request.json() for request in sandbox.requests]


@pytest.fixture
def every(sandbox, policy):
    """A client of every service that has embeddings."""
    urls = {name: sandbox.url + path for name, path in BASES.items()}
    with Client(api_key=dict.fromkeys(BASES, "sk-test"), base_url=urls, retry=policy) as client:
        yield client


def faulty(sandbox, policy, fault):
    return Client(api_key={"openai": "sk-test"}, base_url={"openai": f"{sandbox.url}/fault/{fault}/v1"}, retry=policy)


@pytest.mark.parametrize("provider", BASES)
def test_every_service_gives_each_text_its_vector(every, provider):
    embeddings = every.embed(TEXTS, model=f"{provider}/some-model", dimensions=32, normalize=False)
    assert len(embeddings) == 3
    assert embeddings.dimensions == 32
    assert [list(vector) for vector in embeddings] == [near(text, 32) for text in TEXTS]
    assert (embeddings.provider, embeddings.model) == (provider, "some-model")
    assert embeddings.usage.input_tokens == (None if provider == "gemini" else 7)


def test_every_service_and_every_known_model_has_a_provider():
    names = {*services._SERVICES, *(name.partition("/")[0] for name in services._MODELS)}
    assert [name for name in sorted(names) if name not in registry] == []


def test_what_openai_gets(every, sandbox):
    every.embed(TEXTS, model=MODEL, dimensions=256, kind="query", extra={"user": "u1"})
    (request,) = sandbox.requests
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.json() == {
        "model": "text-embedding-3-small",
        "input": TEXTS,
        "encoding_format": "float",
        "dimensions": 256,
        "user": "u1",
    }


def test_what_gemini_gets_is_one_content_for_each_text(every, sandbox):
    every.embed(TEXTS[:2], model="gemini/gemini-embedding-001", dimensions=128, kind="query")
    every.embed(TEXTS[:1], model="gemini/gemini-embedding-2", kind="query")
    first, second = sandbox.requests
    assert first.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert first.json()["requests"] == [
        {
            "model": "models/gemini-embedding-001",
            "content": {"parts": [{"text": text}]},
            "outputDimensionality": 128,
            "taskType": "RETRIEVAL_QUERY",
        }
        for text in TEXTS[:2]
    ]
    assert "taskType" not in second.json()["requests"][0]


def test_what_cohere_gets_names_the_purpose_and_forbids_cutting(every, sandbox):
    every.embed(TEXTS, model="cohere/embed-v4.0")
    every.embed(TEXTS, model="cohere/embed-v4.0", kind="query", truncate=True, dimensions=256)
    first, second = bodies(sandbox)
    assert first == {
        "model": "embed-v4.0",
        "texts": TEXTS,
        "input_type": "search_document",
        "embedding_types": ["float"],
        "truncate": "NONE",
    }
    assert (second["input_type"], second["truncate"], second["output_dimension"]) == ("search_query", "END", 256)


def test_what_ollama_and_mistral_get(every, sandbox):
    every.embed(TEXTS, model="ollama/nomic-embed-text")
    every.embed(TEXTS, model="mistral/codestral-embed", dimensions=64)
    ollama, mistral = sandbox.requests
    assert (ollama.path, ollama.json()["truncate"]) == ("/api/embed", False)
    assert mistral.json()["output_dimension"] == 64


def test_what_voyage_and_jina_get(every, sandbox):
    voyage = every.embed(TEXTS, model="voyage", kind="query", dimensions=256)
    jina = every.embed(TEXTS, model="jina", kind="document", truncate=True)
    first, second = sandbox.requests
    assert first.headers["authorization"] == second.headers["authorization"] == "Bearer sk-test"
    assert first.json() == {
        "model": "voyage-4",
        "input": TEXTS,
        "output_dimension": 256,
        "input_type": "query",
        "truncation": False,
    }
    assert second.json() == {
        "model": "jina-embeddings-v3",
        "input": TEXTS,
        "task": "retrieval.passage",
        "truncate": True,
    }
    assert voyage.cost == pytest.approx(7 * 0.06 / 1e6)
    assert (jina.usage.input_tokens, jina.cost) == (7, None)
    assert (voyage.dimensions, jina.dimensions) == (256, 1024)


@pytest.mark.parametrize("name", ["voyage", "jina"])
def test_services_without_chat_say_so_and_are_not_listed(every, sandbox, name):
    with pytest.raises(ConfigurationError, match=rf"{name} does not chat; call embed\(texts, model='{name}/"):
        every.ask("Hi", model=name)
    assert sandbox.requests == []
    assert name in registry
    assert name not in list(registry)
    with Client() as client:
        with pytest.raises(ConfigurationError, match="does not chat"):
            client.map(["Hi"], model=name, progress=False)
        with pytest.raises(MissingKeyError, match=f"{name.upper()}_API_KEY"):
            client.embed(TEXTS, model=name)


@pytest.mark.parametrize("name", ["voyage", "jina"])
def test_a_text_that_is_too_long_for_voyage_or_jina_fails_alone(every, name):
    texts = ["red fox", "word " * 30_000, "grey wolf"]
    embeddings = every.embed(texts, model=name, on_error="keep")
    assert [type(error) for error in embeddings.errors] == [type(None), ContextTooLongError, type(None)]


@pytest.mark.parametrize(("name", "encoding"), [("openai", "base64"), ("voyage", "base64"), ("jina", None)])
def test_base64_is_requested_where_it_is_known_to_work(name, encoding):
    vector = [0.25] * {"openai": 1536}.get(name, 1024)
    url = registry[name].url.replace("/v1", "")
    text = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    with responses.RequestsMock() as mock, Client(api_key={name: "sk-test"}) as client:
        mock.post(f"{url}/v1/embeddings", json={"data": [{"index": 0, "embedding": text}]})
        assert client.embed("x", model=name) == vector
        assert json.loads(mock.calls[0].request.body).get("encoding_format") == encoding


def test_azure_with_a_dated_version_uses_the_path_of_the_deployment(every, sandbox, monkeypatch):
    every.embed(TEXTS, model="azure/mine")
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    every.embed(TEXTS, model="azure/mine")
    assert [request.target for request in sandbox.requests] == [
        "/openai/v1/embeddings",
        "/openai/deployments/mine/embeddings?api-version=2024-10-21",
    ]


def test_a_single_text_becomes_one_list_of_numbers(every):
    vector = every.embed("red fox", model=MODEL)
    assert isinstance(vector, list)
    assert vector == near("red fox", 1536)
    assert (vector.provider, vector.model) == ("openai", "text-embedding-3-small")
    assert vector.usage.input_tokens == 2
    assert vector.cost == pytest.approx(2 * 0.02 / 1e6)


def test_the_function_of_the_package_uses_the_default_client():
    assert len(ai.embed(TEXTS, model="offline")) == 3


def test_a_provider_alone_stands_for_its_usual_model(every):
    assert every.embed("x y", model="openai").model == "text-embedding-3-small"
    assert every.embed("x y", model="text-embedding-3-large").model == "text-embedding-3-large"


def test_equal_texts_are_sent_once(every, sandbox):
    embeddings = every.embed(["red", "wolf", "red"], model=MODEL)
    assert bodies(sandbox)[0]["input"] == ["red", "wolf"]
    assert embeddings[0] == embeddings[2] != embeddings[1]


def test_batches_stay_within_the_limits_of_the_service(every, sandbox):
    texts = [f"text {number}" for number in range(250)]
    embeddings = every.embed(texts, model="cohere/embed-v4.0", workers=1)
    assert [len(body["texts"]) for body in bodies(sandbox)] == [96, 96, 58]
    assert embeddings[249] == near("text 249", 64)


def test_batches_stay_within_the_tokens_of_a_request(every, sandbox):
    every.embed(["a" * 20_000, "b" * 20_000, "c" * 20_000], model="mistral/mistral-embed", workers=1)
    assert [len(body["input"]) for body in bodies(sandbox)] == [2, 1]


def test_a_batch_that_is_too_large_for_the_service_is_halved(every, sandbox):
    sandbox.script("context-too-long,on=embeddings")
    embeddings = every.embed(TEXTS, model=MODEL)
    assert [len(body["input"]) for body in bodies(sandbox)] == [3, 1, 2]
    assert [list(vector) for vector in embeddings] == [near(text, 1536) for text in TEXTS]


@pytest.mark.parametrize(
    "message",
    [
        "output_dimension must be at most 1024",
        "Invalid token in header",
        "unknown field: kind",
        "inputs must be a list of strings",
        "items of 'texts' must be strings",
    ],
)
def test_a_batch_that_is_refused_for_another_reason_is_sent_once(message):
    with responses.RequestsMock() as mock, Client(api_key={"openai": "k"}) as client:
        mock.post(URL, status=400, json={"error": {"message": message}})
        embeddings = client.embed(["red", "grey", "fox"], model="openai/mine", on_error="keep")
        assert len(mock.calls) == 1
    assert [type(error) for error in embeddings.errors] == [BadRequestError] * 3


@pytest.mark.parametrize(
    "message",
    [
        "Requested 400000 tokens, max 300000 tokens per request",
        "Too many inputs in request",
        "at most 100 requests can be in one batch",
        "invalid request: total number of texts must be at most 96 - received 97",
        "List should have at most 2 items after validation, not 3",
        "batch size 33 > maximum allowed batch size 32",
        "The input token count is 30000 but the model supports up to 20000",
        "The request exceeds 20 MB",
    ],
)
def test_a_batch_that_services_call_too_large_is_halved(message):
    def answer(request):
        texts = json.loads(request.body)["input"]
        if len(texts) > 1:
            return 400, {}, json.dumps({"error": {"message": message}})
        return 200, {}, json.dumps({"data": [{"index": 0, "embedding": [len(texts[0]), 1]}]})

    with responses.RequestsMock() as mock, Client(api_key={"openai": "k"}) as client:
        mock.add_callback("POST", URL, answer)
        assert [vector[0] for vector in client.embed(["red", "grey"], model="openai/mine")] == [3, 4]


def test_halves_without_usage_have_no_tokens(sandbox, policy):
    client = faulty(sandbox, policy, "no-usage")
    sandbox.script("context-too-long,on=embeddings")
    assert client.embed(TEXTS, model=MODEL).usage.input_tokens is None


def test_a_text_that_is_too_long_is_the_only_one_that_fails(every):
    texts = ["red fox", "long " * 9000, "grey wolf"]
    embeddings = every.embed(texts, model=MODEL, on_error="keep")
    assert [type(error) for error in embeddings.errors] == [type(None), ContextTooLongError, type(None)]
    assert embeddings[2] == near("grey wolf", 1536)
    with pytest.raises(ContextTooLongError, match=r"\(row 1\)"):
        embeddings[1]
    with pytest.raises(ContextTooLongError) as caught:
        every.embed(texts, model=MODEL)
    assert caught.value.results[0] == near("red fox", 1536)


def test_each_text_that_is_too_long_names_its_first_row(every):
    first, second = "long " * 9000, "longer " * 9000
    embeddings = every.embed(["fox", first, second, first], model=MODEL, on_error="keep")
    messages = [str(error)[-8:] for error in embeddings.errors]
    assert messages == ["None", " (row 1)", " (row 2)", " (row 1)"]


def test_files_frames_and_templates_are_rows_as_for_map(every, sandbox, tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("title,body\nFox,red\nWolf,grey\n", encoding="utf-8")
    embeddings = every.embed(str(path), "{title}: {body}", model=MODEL)
    assert bodies(sandbox)[0]["input"] == ["Fox: red", "Wolf: grey"]
    assert len(embeddings) == 2


def test_without_a_template_a_path_is_a_file_and_a_string_is_a_text(every, sandbox, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"prompt": "fox"}\n{"prompt": "wolf"}\n', encoding="utf-8")
    assert len(every.embed(path, model=MODEL)) == 2
    every.embed(str(path), model=MODEL)
    assert [body["input"] for body in bodies(sandbox)] == [["fox", "wolf"], [str(path)]]


def test_a_series_goes_in_and_a_frame_comes_out(every):
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(TEXTS, index=["a", "b", "c"])
    frame = every.embed(series, model=MODEL, dimensions=8, normalize=False).to_frame()
    assert list(frame.index) == ["a", "b", "c"]
    assert frame.shape == (3, 8)
    assert list(frame.loc["b"]) == near("grey wolf", 8)


def test_a_polars_frame_comes_back_with_its_vectors(every):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"text": TEXTS, "embedding": [1, 2, 3]})
    found = every.embed(frame, "{text}", model=MODEL, dimensions=8).to_frame()
    assert found.columns == ["text", "embedding", "embedding_"]
    assert found.schema["embedding_"] == polars.Array(polars.Float32, 8)
    assert found["embedding_"][1].to_list() == near("grey wolf", 8)
    series = every.embed(polars.Series("animal", TEXTS), model=MODEL, dimensions=8).to_frame()
    assert series.columns == ["animal", "embedding"]
    assert series["embedding"].to_list() == found["embedding_"].to_list()


def test_an_array_has_a_row_for_each_text(every):
    numpy = pytest.importorskip("numpy")
    array = every.embed(TEXTS, model=MODEL, dimensions=8).array()
    assert array.shape == (3, 8)
    assert array.dtype == numpy.float32
    assert every.embed([], model=MODEL).array().shape[0] == 0


LONG = "long " * 9000


def test_in_a_frame_the_values_of_texts_that_failed_are_missing(every):
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    texts = ["fox", LONG, "cat"]
    frame = every.embed(pandas.Series(texts), model=MODEL, dimensions=8, on_error="keep").to_frame()
    assert frame.isna().all(axis=1).tolist() == [False, True, False]
    assert list(frame.loc[2]) == near("cat", 8)
    found = every.embed(polars.Series("animal", texts), model=MODEL, dimensions=8, on_error="keep").to_frame()
    assert found.schema["embedding"] == polars.Array(polars.Float32, 8)
    assert found["embedding"].is_null().to_list() == [False, True, False]
    assert found["embedding"][2].to_list() == near("cat", 8)


def test_in_an_array_a_number_stands_for_texts_that_failed(every):
    numpy = pytest.importorskip("numpy")
    embeddings = every.embed(["fox", LONG], model=MODEL, dimensions=8, on_error="keep")
    array = embeddings.array(missing=float("nan"))
    assert numpy.isnan(array).any(axis=1).tolist() == [False, True]
    with pytest.raises(ContextTooLongError):
        embeddings.array()
    for missing in ("nan", True, 1e39, 10**400, [0]):
        with pytest.raises(ConfigurationError, match="missing must be a 32-bit number"):
            embeddings.array(missing=missing)
    none = every.embed([LONG], model=MODEL, on_error="keep")
    assert none.array(missing=0).shape == (1, 0)


@pytest.mark.parametrize(("method", "module"), [("array", "numpy"), ("to_frame", "pandas")])
def test_what_needs_an_absent_package_names_it(every, monkeypatch, method, module):
    embeddings = every.embed(TEXTS, model=MODEL)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ConfigurationError, match=f"pip install {module}"):
        getattr(embeddings, method)()


def test_the_nearest_texts_come_first(every):
    embeddings = every.embed(TEXTS, model=MODEL)
    matches = embeddings.nearest(every.embed("a grey wolf", model=MODEL), k=2)
    assert [match.position for match in matches] == [1, 2]
    assert 0 < matches[1].score < matches[0].score <= 1
    with pytest.raises(ConfigurationError, match="3 numbers and these have 1536"):
        embeddings.nearest([1, 2, 3])


@pytest.mark.parametrize(
    "vector", ["a grey wolf", "1234", b"1234", [True, False, True, False], list("1234"), [10**400] * 4, 4, [None] * 4]
)
def test_only_a_list_of_numbers_is_a_vector(every, vector):
    embeddings = every.embed(TEXTS, model=MODEL, dimensions=4)
    with pytest.raises(ConfigurationError, match="the vector must be a list of numbers"):
        embeddings.nearest(vector)
    assert len(embeddings.nearest((1, 2, 3.5, 0))) == 3


def test_the_score_of_a_numpy_vector_is_a_float(every):
    pytest.importorskip("numpy")
    embeddings = every.embed(TEXTS, model=MODEL)
    assert type(embeddings.nearest(embeddings.array()[1], k=1)[0].score) is float


@pytest.mark.parametrize("k", [0, -1, 2.5, "2", None])
def test_the_number_of_nearest_texts_is_checked(every, k):
    embeddings = every.embed(TEXTS, model=MODEL)
    with pytest.raises(ConfigurationError, match="k must be an integer of at least 1"):
        embeddings.nearest(embeddings[0], k=k)


def test_notebooks_show_the_first_numbers_of_a_vector(every):
    pretty = pytest.importorskip("IPython.lib.pretty").pretty
    embeddings = every.embed(TEXTS, model=MODEL)
    first = ", ".join(map(repr, embeddings[0][:4]))
    assert pretty(embeddings[0]) == f"[{first}, ... 1536 numbers]"
    assert pretty(every.embed(TEXTS[0], model=MODEL)) == pretty(embeddings[0])
    assert len(pretty(embeddings[:])) < 500
    assert pretty(embeddings) == repr(embeddings)
    small = every.embed(TEXTS, model=MODEL, dimensions=4)[0]
    assert pretty(small) == repr(small) == repr(list(small))


def test_slices_repr_and_pickle(every):
    embeddings = every.embed([*TEXTS, "long " * 9000], model=MODEL, on_error="keep")
    assert embeddings[:2] == [embeddings[0], embeddings[1]]
    assert repr(embeddings) == "<Embeddings openai/text-embedding-3-small: 4 of 1536 numbers, 1 failed>"
    copy = pickle.loads(pickle.dumps(embeddings))
    assert copy[0] == embeddings[0]
    assert len(copy.nearest(copy[0], k=9)) == 3


@pytest.mark.parametrize(("normalize", "length"), [(None, 1.0), (True, 1.0), (False, 5.0)])
def test_shortened_vectors_get_the_length_one_unless_told_otherwise(normalize, length):
    with responses.RequestsMock() as mock, Client(api_key={"openai": "sk-test"}) as client:
        mock.post(URL, json={"data": [{"index": 0, "embedding": [3.0, 4.0]}], "usage": {"prompt_tokens": 1}})
        vector = client.embed("x", model=MODEL, dimensions=2, normalize=normalize)
    assert sum(number**2 for number in vector) ** 0.5 == pytest.approx(length)


def test_whole_vectors_are_left_as_they_are():
    with responses.RequestsMock() as mock, Client(api_key={"openai": "sk-test"}) as client:
        mock.post(URL, json={"data": [{"index": 0, "embedding": [2.0] * 1536}]})
        vector = client.embed("x", model=MODEL)
    assert vector[0] == 2.0
    assert vector.cost is None


# Money.


def test_the_cost_is_that_of_the_tokens(every):
    embeddings = every.embed(TEXTS, model="openai/text-embedding-3-large")
    assert embeddings.cost == pytest.approx(7 * 0.13 / 1e6)


@pytest.mark.parametrize(
    ("model", "cost"), [("gemini/gemini-embedding-001", None), ("together/unknown", None), ("ollama/any", 0.0)]
)
def test_a_cost_that_is_not_known_is_none_and_a_server_at_home_costs_nothing(every, model, cost):
    assert every.embed(TEXTS, model=model).cost == cost


def test_prices_of_the_client_count(sandbox):
    with Client(
        api_key={"together": "k"}, base_url={"together": f"{sandbox.url}/v1"}, prices={"together/x": (1.0, 0.0)}
    ) as client:
        assert client.embed(TEXTS, model="together/x").cost == pytest.approx(7e-6)


def test_a_budget_is_kept(sandbox, policy):
    options = {"api_key": {"openai": "k"}, "base_url": {"openai": f"{sandbox.url}/v1"}, "retry": policy}
    with Client(budget=1e-6, **options) as client:
        client.embed("red fox", model=MODEL)
        with pytest.raises(BudgetExceededError) as caught:
            client.embed(["word " * 100, "other " * 8000], model=MODEL)
    assert len(caught.value.results) == 2
    assert len(sandbox.requests) == 1


def test_a_budget_needs_a_price(sandbox):
    options = {"api_key": {"together": "k"}, "base_url": {"together": f"{sandbox.url}/v1"}}
    with Client(budget=1.0, **options) as client, pytest.raises(ConfigurationError, match=r"budget: the price of"):
        client.embed(TEXTS, model="together/x", on_error="keep")
    assert sandbox.requests == []


def test_a_batch_waits_until_the_budget_has_room(sandbox, monkeypatch):
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=1))
    released = threading.Event()
    options = {"api_key": {"openai": "k"}, "base_url": {"openai": f"{sandbox.url}/v1"}}
    with Client(budget=5e-8, hooks={"request": lambda info: released.wait(20)}, **options) as client:
        # Each costs 4e-8, so the second waits for the first, which turns out to cost no less.
        monkeypatch.setattr(EmbeddingRun, "_collect", releasing(EmbeddingRun._collect, released))
        with pytest.raises(BudgetExceededError) as caught:
            client.embed(["red fox", "red wolf"], model=MODEL)
    assert list(caught.value.results[0]) == near("red fox", 1536)


def releasing(collect, event):
    def call(self):
        event.set()
        collect(self)

    return call


def test_what_is_on_its_way_is_kept_when_the_journal_fails(every, tmp_path, monkeypatch):
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=1))

    def write(self, entries):
        raise JournalError("the disk is full")

    monkeypatch.setattr("aichatkit.embeddings.store.VectorJournal.write_vectors", write)
    with pytest.raises(JournalError, match="disk is full") as caught:
        every.embed(TEXTS, model=MODEL, resume=tmp_path / "v.sqlite", workers=3, on_error="keep")
    results = caught.value.results
    assert [list(vector) for vector in results] == [near(text, 1536) for text in TEXTS]


def test_ctrl_c_keeps_what_is_on_its_way(every, sandbox, tmp_path):
    def texts():
        yield from (str(number) for number in range(4096))
        raise KeyboardInterrupt

    path = tmp_path / "v.sqlite"
    with pytest.raises(KeyboardInterrupt):
        every.embed(texts(), model=MODEL, dimensions=4, resume=path)
    every.embed([str(number) for number in range(2048)], model=MODEL, dimensions=4, resume=path)
    sent = [text for body in bodies(sandbox) for text in body["input"]]
    assert len(sent) == len(set(sent)) >= 2048


def test_an_interrupt_of_a_request_passes_through(every, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("aichatkit.embeddings.request.build_request", interrupt)
    with pytest.raises(ChatError, match="a batch was lost"):
        every.embed(TEXTS, model=MODEL)


# Answers that are not what was asked for.


@pytest.mark.parametrize("fault", ["vectors-reversed", "no-positions", "base64-vectors"])
def test_odd_but_clear_answers_are_understood(sandbox, policy, fault):
    embeddings = faulty(sandbox, policy, fault).embed(TEXTS, model=MODEL)
    assert list(embeddings[1]) == near("grey wolf", 1536)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("same-position", "positions are not those of the texts"),
        ("no-positions,one=yes", "positions are not those of the texts"),
        ("vector-missing", "2 vectors for 3 texts"),
        ("one-vector", "1 vector for 3 texts"),
        ("no-vectors", "0 vectors for 3 texts"),
        ("not-a-number", "not finite"),
        ("zeros", "a vector of zeros"),
        ("base64-vectors,double=yes", "not finite|numbers where"),
        ("html,on=embeddings", "expected JSON"),
    ],
)
def test_an_answer_that_is_none_is_an_error(sandbox, policy, fault, words):
    with pytest.raises(BadResponseError, match=words):
        faulty(sandbox, policy, fault).embed(TEXTS, model=MODEL)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ("1e39, 1", "a number that is not finite"),
        ("1e-200, 0", "a vector of zeros"),
        (f"1{'0' * 400}, 1", "not a 32-bit number"),
        ('"0.5", 1', "not a 32-bit number"),
        ("null, 1", "not a 32-bit number"),
        ("true, 0.5", "not a 32-bit number"),
        ("0.5, false", "not a 32-bit number"),
        ("1, NaN", "a number that is not finite"),
        ("-Infinity, Infinity", "a number that is not finite"),
        ("-0.0, 0", "a vector of zeros"),
        ("", "an empty vector"),
    ],
)
def test_a_vector_with_other_than_32_bit_numbers_is_an_error(numbers, words, normalize):
    with responses.RequestsMock() as mock, Client(api_key={"openai": "k"}) as client:
        mock.post(URL, body=f'{{"data": [{{"index": 0, "embedding": [{numbers}]}}]}}')
        with pytest.raises(BadResponseError, match=words):
            client.embed(["fox"], model="openai/mine", normalize=normalize)


def test_base64_of_other_than_32_bit_numbers_is_an_error():
    with responses.RequestsMock() as mock, Client(api_key={"openai": "k"}) as client:
        mock.post(URL, json={"data": [{"index": 0, "embedding": "AAAAPwAA"}]})
        with pytest.raises(BadResponseError, match=r"6 bytes, not of 32-bit numbers \(text 0\).*encoding_format"):
            client.embed(["fox"], model="openai/mine")


@pytest.mark.parametrize("positions", [[0, True], [0.0, 1.0], [0, 2], [-1, 0], ["0", "1"]])
def test_positions_that_are_not_those_of_the_texts_are_an_error(positions):
    with responses.RequestsMock() as mock, Client(api_key={"openai": "k"}) as client:
        mock.post(URL, json={"data": [{"index": position, "embedding": [1.0]} for position in positions]})
        with pytest.raises(BadResponseError, match="positions are not those of the texts"):
            client.embed(["fox", "wolf"], model="openai/mine")


@pytest.mark.parametrize("odd", [True, 1, "x", [1], None, {"prompt_tokens": True, "billed_units": [1]}])
@pytest.mark.parametrize(
    ("model", "url", "answer", "field"),
    [
        ("openai/mine", URL, {"data": [{"index": 0, "embedding": [0.5]}]}, "usage"),
        (
            "gemini/mine",
            "https://generativelanguage.googleapis.com/v1beta/models/mine:batchEmbedContents",
            {"embeddings": [{"values": [0.5]}]},
            "usageMetadata",
        ),
        ("cohere/mine", "https://api.cohere.com/v2/embed", {"embeddings": {"float": [[0.5]]}}, "meta"),
    ],
)
def test_a_count_of_tokens_that_is_none_loses_no_vector(model, url, answer, field, odd):
    with responses.RequestsMock() as mock, Client(api_key={model.partition("/")[0]: "k"}) as client:
        mock.post(url, json={**answer, field: odd})
        vector = client.embed("fox", model=model)
    assert (vector, vector.usage.input_tokens, vector.cost) == ([0.5], None, None)


def test_a_width_that_was_not_asked_for_is_an_error(sandbox, policy):
    with pytest.raises(BadResponseError, match=r"16 numbers where 64 were expected.*encoding_format"):
        faulty(sandbox, policy, "quarter-width").embed(TEXTS, model=MODEL, dimensions=64)
    with pytest.raises(BadResponseError, match=r"128 numbers where 64 were expected"):
        faulty(sandbox, policy, "dimensions-ignored").embed(TEXTS, model=MODEL, dimensions=64)
    with responses.RequestsMock() as mock, Client(api_key={"openai": "k"}) as client:
        mock.post(URL, json={"data": [{"index": 0, "embedding": [1.0] * 7}]})
        with pytest.raises(BadResponseError, match=r"7 numbers where 5 were expected \(text 0\)$"):
            client.embed("x", model=MODEL, dimensions=5)


def test_a_batch_that_fails_is_the_only_one_that_fails(sandbox, policy, tmp_path, monkeypatch):
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=2))
    client = faulty(sandbox, policy, "bad-request,on=embeddings,times=1")
    embeddings = client.embed(TEXTS, model=MODEL, on_error="keep", workers=1, resume=tmp_path / "v.sqlite")
    assert [type(error) for error in embeddings.errors] == [ai.BadRequestError, ai.BadRequestError, type(None)]


def test_a_text_that_fails_alone_leaves_the_journal_as_it_was(every, tmp_path):
    path = tmp_path / "v.sqlite"
    embeddings = every.embed(["long " * 9000], model=MODEL, on_error="keep", resume=path)
    assert isinstance(embeddings.errors[0], ContextTooLongError)
    assert len(every.embed(TEXTS, model=MODEL, resume=path)) == 3


def test_no_usage_means_that_the_cost_is_not_known(sandbox, policy):
    embeddings = faulty(sandbox, policy, "no-usage").embed(TEXTS, model=MODEL)
    assert (embeddings.usage.input_tokens, embeddings.cost) == (None, None)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("error-200,on=embeddings", ServerError),
        ("cut,on=embeddings", StreamInterruptedError),
        ("unauthorized,on=embeddings", AuthenticationError),
        ("quota,on=embeddings", ai.QuotaExceededError),
        ("server-error,on=embeddings", ServerError),
        ("bad-request,on=embeddings", ai.BadRequestError),
    ],
)
def test_failures_are_those_of_any_call(sandbox, policy, fault, error):
    with pytest.raises(error) as caught:
        faulty(sandbox, policy, fault).embed(TEXTS, model=MODEL)
    assert caught.value.provider == "openai"
    assert caught.value.attempts
    assert "sk-test" not in str(caught.value)


def test_a_rate_limit_is_waited_for(sandbox, policy, slept):
    client = faulty(sandbox, policy, "rate-limit,on=embeddings,times=1,retry_after=3")
    assert len(client.embed(TEXTS, model=MODEL)) == 3
    assert slept[0] >= 3


def test_a_wait_that_is_too_long_ends_the_run(sandbox, policy):
    client = faulty(sandbox, policy, "rate-limit,on=embeddings,retry_after=999")
    embeddings = client.embed([str(number) for number in range(3000)], model=MODEL, on_error="keep", workers=1)
    assert len(sandbox.requests) == 1
    assert {type(error) for error in embeddings.errors} == {RateLimitError}


def test_a_key_that_is_refused_ends_the_run(sandbox, policy):
    client = faulty(sandbox, policy, "unauthorized,on=embeddings")
    embeddings = client.embed([str(number) for number in range(9000)], model=MODEL, on_error="keep", workers=1)
    assert len(sandbox.requests) == 1
    assert len(embeddings) < 9000
    assert all(isinstance(error, AuthenticationError) for error in embeddings.errors)


@pytest.mark.parametrize("fault", ["cut", "timeout", "server-error", "rate-limit"])
def test_a_failure_of_one_of_many_batches_is_repeated(sandbox, policy, monkeypatch, fault):
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=10))
    name = "server-error,status=408" if fault == "timeout" else fault
    sandbox.script(f"{name},on=embeddings")
    with Client(api_key={"openai": "k"}, base_url={"openai": f"{sandbox.url}/v1"}, retry=policy) as client:
        embeddings = client.embed([f"text {number}" for number in range(100)], model=MODEL, dimensions=8)
    assert [list(vector) for vector in embeddings] == [near(f"text {number}", 8) for number in range(100)]
    assert len(sandbox.requests) == 11


def test_vectors_as_numbers_although_base64_was_requested_are_read(sandbox, policy):
    extra = {"encoding_format": "base64"}
    embeddings = faulty(sandbox, policy, "base64-ignored").embed(TEXTS, model=MODEL, extra=extra, dimensions=8)
    assert list(embeddings[1]) == near("grey wolf", 8)


def test_an_answer_that_is_too_large_is_an_error(every, monkeypatch):
    monkeypatch.setattr("aichatkit.embeddings.request._MAX_BYTES", 100)
    with pytest.raises(BadResponseError, match="larger than 100 bytes"):
        every.embed(TEXTS, model=MODEL)


def test_batches_of_different_widths_are_an_error(monkeypatch):
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=1))
    with responses.RequestsMock() as mock, Client(api_key={"openai": "k"}) as client:
        mock.post(URL, json={"data": [{"index": 0, "embedding": [1.0] * 4}]})
        mock.post(URL, json={"data": [{"index": 0, "embedding": [1.0] * 3}]})
        with pytest.raises(BadResponseError, match="vectors of 3 and of 4 numbers") as caught:
            client.embed(["a", "b"], model="openai/mine", workers=1)
    assert list(caught.value.results[0]) == [1.0] * 4


# Hooks, keys, limits.


def test_hooks_see_requests_and_waits(sandbox, policy):
    seen = []
    with Client(
        api_key={"openai": "sk-secret"},
        base_url={"openai": f"{sandbox.url}/fault/rate-limit,on=embeddings,times=1/v1"},
        retry=policy,
        hooks={"request": lambda info: seen.append(info), "wait": lambda wait: seen.append(wait)},
    ) as client:
        client.embed(TEXTS, model=MODEL)
    assert [type(record).__name__ for record in seen] == ["RequestInfo", "Wait", "RequestInfo"]
    assert "sk-secret" not in repr(seen)


def test_a_rate_of_the_client_is_kept(sandbox, policy, slept):
    with Client(
        api_key={"openai": "k"}, base_url={"openai": f"{sandbox.url}/v1"}, retry=policy, rate="1/min"
    ) as client:
        client.embed("a", model=MODEL)
        client.embed("b", model=MODEL)
    assert sum(slept) > 30


def test_another_key_takes_over(sandbox, policy):
    with Client(
        api_key={"openai": ["k1", "k2"]},
        base_url={"openai": f"{sandbox.url}/fault/rate-limit,on=embeddings,times=1/v1"},
        retry=policy,
    ) as client:
        assert len(client.embed(TEXTS, model=MODEL)) == 3
    assert [request.headers["authorization"] for request in sandbox.requests] == ["Bearer k1", "Bearer k2"]


# Options.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name a model"),
        ({"model": [MODEL, "mistral"]}, "one name"),
        ({"model": MODEL, "dimensions": 0}, "dimensions: must be an integer"),
        ({"model": MODEL, "dimensions": 9999}, "has at most 1536"),
        ({"model": "openai/text-embedding-ada-002", "dimensions": 5}, "always answers with 1536"),
        ({"model": "cohere/embed-v4.0", "dimensions": 300}, "takes 256, 512, 1024, 1536"),
        ({"model": MODEL, "kind": "text"}, "'document' or 'query'"),
        ({"model": MODEL, "normalize": 2}, "normalize: must be"),
        ({"model": MODEL, "normalize": 1}, "normalize: must be True, False or None, not 1"),
        ({"model": MODEL, "truncate": "END"}, "truncate: must be"),
        ({"model": "cohere", "truncate": 1.0}, "truncate: must be True or False, not 1.0"),
        ({"model": MODEL, "truncate": True}, "openai cannot cut"),
        ({"model": MODEL, "workers": 0}, "workers: must be"),
        ({"model": MODEL, "on_error": "skip"}, "on_error: must be"),
        ({"model": MODEL, "executor": 3}, "executor: must be"),
        ({"model": MODEL, "resume": 3}, "resume: must be the path"),
        ({"model": MODEL, "extra": 3}, "extra"),
        ({"model": MODEL, "extra": {"x": {1}}}, "extra: the fields are not JSON serializable (Object of type set"),
        ({"model": MODEL, "extra": {"x": float("nan")}}, "extra: the fields are not JSON serializable ("),
        ({"model": MODEL, "dimension": 3}, "did you mean dimensions="),
        ({"model": MODEL, "timeout": "x"}, "timeout"),
        ({"model": "anthropic/claude-sonnet-5-5"}, "anthropic has no embeddings"),
        ({"model": "azure"}, "name the model, as 'azure/MODEL'"),
        ({"model": "azure/"}, "name the model"),
    ],
)
def test_options_are_checked_before_anything_is_sent(every, sandbox, options, words):
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        every.embed(TEXTS, **options)
    assert sandbox.requests == []


def test_a_width_of_the_model_itself_is_always_right(every):
    assert every.embed(TEXTS, model="openai/text-embedding-ada-002", dimensions=1536).dimensions == 1536


def test_unknown_names_are_errors_of_their_kind(every):
    with pytest.raises(UnknownProviderError):
        every.embed(TEXTS, model="openia/x")
    with pytest.raises(UnknownModelError, match="name its provider, as 'provider/mystery'"):
        every.embed(TEXTS, model="mystery")
    with Client() as client, pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        client.embed(TEXTS, model=MODEL)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "row 1: the text is empty"), ("  ", "is empty"), (7, "int is not a text"), ("\ud800", "lone surrogate")],
)
def test_texts_are_checked_before_anything_is_sent(every, sandbox, text, words):
    with pytest.raises(ConfigurationError, match=words):
        every.embed(["fox", text], model=MODEL)
    assert sandbox.requests == []
    embeddings = every.embed(["fox", text, "w\u00f6lf"], model=MODEL, on_error="keep")
    assert [type(error) for error in embeddings.errors] == [type(None), ConfigurationError, type(None)]


@pytest.mark.parametrize("form", ["dict", "frame", "series", "array", "csv", "path"])
def test_all_rows_of_whatever_can_be_read_twice_are_checked_first(every, sandbox, tmp_path, monkeypatch, form):
    pandas = pytest.importorskip("pandas")
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=2))
    texts = ["red", "grey", "fox", "wolf", " "]
    frame = pandas.DataFrame({"text": texts})
    path = tmp_path / "texts.csv"
    frame.to_csv(path, index=False)
    rows = {
        "dict": dict(enumerate(texts)),
        "frame": frame,
        "series": frame["text"],
        "array": frame["text"].to_numpy(),
        "csv": str(path),
        "path": path,
    }
    template = "{text}" if form in ("csv", "path", "frame") else None
    with pytest.raises(ConfigurationError, match="row 4"):
        every.embed(rows[form], template, model=MODEL, workers=1)
    assert sandbox.requests == []


def test_a_template_that_does_not_fit_a_row_is_the_error_of_that_row(every):
    rows = [{"text": "fox"}, {"other": "wolf"}]
    embeddings = every.embed(rows, "A {text}", model=MODEL, on_error="keep")
    assert [type(error) for error in embeddings.errors] == [type(None), ConfigurationError]


def test_an_iterable_that_fails_keeps_what_is_done(every):
    def texts():
        yield "fox"
        yield ""

    with pytest.raises(ConfigurationError, match="row 1"):
        every.embed(texts(), model=MODEL)

    def broken():
        yield "fox"
        raise OSError("disk gone")

    with pytest.raises(ChatError, match="disk gone") as caught:
        every.embed(broken(), model=MODEL, on_error="keep")
    assert len(caught.value.results) == 1


# Resume and cache.


def test_a_journal_sends_only_what_is_missing(every, sandbox, tmp_path):
    path = tmp_path / "vectors.sqlite"
    first = every.embed(TEXTS, model=MODEL, resume=path)
    second = every.embed([*TEXTS, "new"], model=MODEL, resume=path)
    assert [body["input"] for body in bodies(sandbox)] == [TEXTS, ["new"]]
    assert second[:3] == first[:]
    assert second.usage.input_tokens == 8
    assert path.stat().st_mode & 0o077 == 0


def test_the_first_vector_of_a_text_stays_with_its_price(tmp_path):
    journal = VectorJournal(tmp_path / "v.sqlite", "m")
    usual, cheap = Stored(b"\0\0\x80?", 1), Stored(b"\0\0\0@", 2, 0.5)
    journal.write_vectors([(b"a", usual), (b"b", cheap)])
    journal.write_vectors([(b"a", cheap), (b"b", usual)])
    assert journal.read_vectors([b"a", b"b"]) == {b"a": usual, b"b": cheap}
    journal.close()


def test_a_journal_of_an_earlier_release_keeps_its_pages(tmp_path):
    sizes = {}
    for name, size in (("old", 4096), ("new", 16_384)):
        with sqlite3.connect(tmp_path / name) as connection:
            if name == "old":
                connection.execute("CREATE TABLE vectors (key BLOB NOT NULL PRIMARY KEY, vector BLOB NOT NULL, tokens)")
                connection.execute("PRAGMA application_id=0x41434B01")
        connection.close()
        journal = VectorJournal(tmp_path / name, "m")
        journal.write_vectors([(b"a", Stored(b"\0\0\x80?", 1))])
        journal.close()
        with sqlite3.connect(tmp_path / name) as connection:
            sizes[name] = (connection.execute("PRAGMA page_size").fetchone()[0], size)
        connection.close()
    assert all(found == expected for found, expected in sizes.values())


def test_a_journal_keeps_what_was_done_before_a_failure(every, sandbox, tmp_path, monkeypatch):
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=1))
    path = tmp_path / "vectors.sqlite"
    with (
        pytest.raises(ai.BadRequestError) as caught,
        Client(
            api_key={"openai": "k"},
            base_url={"openai": f"{sandbox.url}/fault/bad-request,on=embeddings,times=1/v1"},
        ) as client,
    ):
        client.embed(TEXTS, model=MODEL, resume=path, workers=1)
    assert caught.value.results.errors[0] is not None
    before = len(sandbox.requests)
    assert len(every.embed(TEXTS, model=MODEL, resume=path)) == 3
    assert len(sandbox.requests) - before <= 3


@pytest.mark.parametrize("options", [{"model": "mistral/mistral-embed"}, {"model": MODEL, "dimensions": 64}])
def test_a_journal_of_other_vectors_is_refused(every, tmp_path, options):
    path = tmp_path / "vectors.sqlite"
    every.embed(TEXTS, model=MODEL, resume=path)
    with pytest.raises(ConfigurationError, match="holds vectors of openai/text-embedding-3-small"):
        every.embed(TEXTS, resume=path, **options)


def test_the_tokens_of_a_batch_are_shared_among_its_texts(every, tmp_path):
    path = tmp_path / "vectors.sqlite"
    every.embed(TEXTS, model=MODEL, resume=path)
    assert every.embed(TEXTS[:1], model=MODEL, resume=path).usage.input_tokens == 2


def test_a_damaged_journal_is_an_error(every, tmp_path):
    path = tmp_path / "vectors.sqlite"
    every.embed(TEXTS, model=MODEL, resume=path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vectors SET vector = x'010203'")
    connection.close()
    with pytest.raises(JournalError, match="damaged"):
        every.embed(TEXTS, model=MODEL, resume=path)


def test_a_journal_is_of_the_same_fields_in_any_order(every, sandbox, tmp_path):
    path = tmp_path / "vectors.sqlite"
    for extra in ({"user": "u", "house": {"a": 1, "b": (2,)}}, {"house": {"b": [2], "a": 1}, "user": "u"}):
        every.embed(TEXTS, model=MODEL, extra=extra, resume=path)
    assert len(sandbox.requests) == 1
    assert bodies(sandbox)[0]["house"] == {"a": 1, "b": [2]}


def test_vectors_of_two_widths_in_a_journal_are_an_error(every, tmp_path):
    path = tmp_path / "vectors.sqlite"
    every.embed(TEXTS, model=MODEL, resume=path)
    with sqlite3.connect(path) as connection:
        key = connection.execute("SELECT key FROM vectors LIMIT 1").fetchone()[0]
        connection.execute("UPDATE vectors SET vector = x'0000803f' WHERE key = ?", (key,))
    connection.close()
    with pytest.raises(BadResponseError, match="different widths"):
        every.embed(TEXTS, model=MODEL, resume=path)


def test_the_cache_of_the_client_holds_vectors(sandbox, tmp_path):
    cache: dict[str, str] = {}
    options = {"api_key": {"openai": "k"}, "base_url": {"openai": f"{sandbox.url}/v1"}, "cache": cache}
    with Client(**options) as client:
        first = client.embed(TEXTS, model=MODEL)
        second = client.embed(TEXTS, model=MODEL, resume=tmp_path / "v.sqlite")
    assert len(sandbox.requests) == 1
    assert second[:] == first[:]
    assert second.cost == 0.0
    for key in cache:
        cache[key] = "damaged"
    with Client(**options) as client:
        assert client.embed(TEXTS, model=MODEL)[:] == first[:]
    assert len(sandbox.requests) == 2


def test_a_cache_that_cannot_be_written_loses_no_vector(sandbox, caplog):
    class Broken(dict):
        def __setitem__(self, key, value):
            raise JournalError("the cache is full")

    with Client(api_key={"openai": "k"}, base_url={"openai": f"{sandbox.url}/v1"}, cache=Broken()) as client:
        assert len(client.embed(TEXTS, model=MODEL)) == 3
    assert "embeddings were not kept" in caplog.text


def test_an_empty_entry_of_the_cache_counts_as_missing(sandbox):
    class Hollow(dict):
        def get(self, key, default=None):
            return json.dumps({"vector": ""})

    with Client(api_key={"openai": "k"}, base_url={"openai": f"{sandbox.url}/v1"}, cache=Hollow()) as client:
        assert len(client.embed(TEXTS, model=MODEL)[0]) == 1536


# Executors.


def test_an_executor_of_the_users_own_is_used_and_left_running(every):
    with ThreadPoolExecutor(2) as executor:
        assert len(every.embed(TEXTS, model=MODEL, executor=executor)) == 3
        assert executor.submit(len, "ab").result() == 2


@pytest.mark.parametrize("make", [ThreadPoolExecutor, lambda: ThreadPoolExecutor(1)])
def test_an_executor_is_made_by_its_class_or_a_function_and_shut_down(every, monkeypatch, make):
    ended = []
    shutdown = ThreadPoolExecutor.shutdown
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", lambda self, **how: ended.append(how) or shutdown(self, **how))
    assert len(every.embed(TEXTS, model=MODEL, executor=make)) == 3
    assert ended == [{"wait": False}]


def test_an_executor_that_is_shut_down_is_an_error(every):
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(ConfigurationError, match="executor: it takes no more work"):
        every.embed(TEXTS, model=MODEL, executor=executor, on_error="keep")


def test_a_worker_that_dies_is_an_error(every):
    class Dying(ThreadPoolExecutor):
        def submit(self, function, *args):
            return super().submit(int, "no number")

    with pytest.raises(ChatError, match="a batch was lost"):
        every.embed(TEXTS, model=MODEL, executor=lambda: Dying(1))


def test_vectors_are_kept_lowest_byte_first(every, monkeypatch):
    pytest.importorskip("numpy")
    embeddings = every.embed(TEXTS, model=MODEL)
    assert list(from_bytes(b"\x00\x00\x80?")) == [1.0]
    assert list(embeddings.array()[0]) == embeddings[0]
    monkeypatch.setattr("aichatkit.embeddings.vectors.sys.byteorder", "big")
    assert list(from_bytes(b"?\x80\x00\x00")) == [1.0]


# Estimates.


def test_an_estimate_is_what_the_embeddings_take(every, sandbox):
    texts = [f"red fox {number % 700}" for number in range(2000)]
    estimate = every.estimate([*texts, "", None, 7], model=MODEL)
    embeddings = every.embed(texts, model=MODEL)
    assert (estimate.calls, estimate.output_tokens) == (len(sandbox.requests), 0) == (2, 0)
    assert estimate.input_tokens == pytest.approx(embeddings.usage.input_tokens, rel=0.5)
    assert estimate.cost == pytest.approx(estimate.input_tokens * 0.02e-6)
    rows = [{"title": "Fox", "body": "red"}] * 2
    assert every.estimate(rows, "{title}: {body}", model="text-embedding-3-small").calls == 1


def test_an_estimate_of_batch_jobs_is_half_and_counts_each_text(every):
    half = every.estimate(TEXTS, model=MODEL, batch=True)
    assert half.calls == 3
    assert half.cost == pytest.approx(every.estimate(TEXTS, model=MODEL).cost / 2)
    with pytest.raises(ConfigurationError, match="batch: cohere is not supported"):
        every.estimate(TEXTS, model="cohere/embed-v4.0", batch=True)


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("voyage", 0.06),
        ("ollama/mxbai-embed-large", 0.0),
        ("jina", None),
        ("together/some-embedder", None),
    ],
)
def test_an_estimate_knows_what_embeds(every, model, cost):
    estimate = every.estimate(["red fox"] * 9, model=model)
    assert (estimate.calls, estimate.output_tokens) == (1, 0)
    assert estimate.cost == (cost if cost is None else pytest.approx(estimate.input_tokens * cost * 1e-6))


def test_an_estimate_of_answers_stays_as_it_is(every):
    assert every.estimate(TEXTS, model="openai/gpt-6-luna", max_tokens=5).output_tokens == 15
    with pytest.raises(UnknownProviderError):
        every.estimate(TEXTS, model="nowhere/embed")


@pytest.mark.parametrize("options", [{"max_tokens": 5}, {"decide": {"a?": bool}}, {"schema": dict}])
def test_options_of_answers_have_no_meaning_for_embeddings(every, options):
    with pytest.raises(ConfigurationError, match="has no meaning for the embedding model openai/text-embedding-3"):
        every.estimate(TEXTS, model=MODEL, **options)
    with pytest.raises(ConfigurationError, match="batch: must be True or False"):
        every.estimate(TEXTS, model=MODEL, batch="yes")
