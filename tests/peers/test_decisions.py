"""Decisions against the official SDKs: they read the sandbox's answers, and send what our client sends."""

from __future__ import annotations

from typing import Literal

import pytest
import sdk_clients

from aichatkit import Client

TEXT = "I am furious about this billing, I want a refund"
QUESTIONS = {
    "refund": (bool, "Does the writer want a refund?"),
    "topic": Literal["bug", "billing"],
    "anger": ["calm", "annoyed", "furious"],
}
MODELS = {"openai_chat": "openai/gpt-6-luna", "ollama_chat": "ollama/nimble", "gemini": "gemini/gemini-decision-1"}
BASES = {"openai": "/v1", "ollama": "", "gemini": ""}


@pytest.fixture(params=MODELS)
def pair(request, sandbox):
    """The answers of our client and of an SDK, which gets the questions that our client sent."""
    keys = dict.fromkeys(BASES, "sk-peers")
    urls = {name: sandbox.url + base for name, base in BASES.items()}
    with Client(api_key=keys, base_url=urls) as client:
        ours = client.decide(TEXT, QUESTIONS, model=MODELS[request.param])
    questions = sandbox.requests[0].json()["questions"]
    with sdk_clients.run_sdk(request.param) as sdk:
        theirs = sdk.call("decide", url=sandbox.url, text=TEXT, questions=questions)
    return request.param, ours, theirs


def test_an_sdk_reads_the_same_numbers_and_sends_the_same_body(pair, sandbox):
    name, ours, theirs = pair
    answers = theirs["answers"]
    refund, topic, anger = answers if isinstance(answers, list) else answers.values()
    assert (refund.get("probability") or refund.get("noul")) == ours["refund"].probability
    assert topic["choice"] == ours["topic"].value == "billing"
    assert anger["score"] == ours["anger"].score
    assert theirs["tokens"] == ours.usage.input_tokens
    own, other = sandbox.requests
    assert own.json() == {field: value for field, value in other.json().items() if value is not None}, name
    # The version of the API that Google's SDK takes by default depends on its release.
    assert own.path.replace("v1beta", "v1") == other.path.replace("v1beta", "v1")


#: The services as litellm names them, and where they are; and as they are named here.
LITELLM = {
    "openai/gpt-6-luna": ("/v1", "openai/gpt-6-luna", "/v1"),
    "azure/gpt-6-luna": ("", "azure/gpt-6-luna", ""),
    "ollama/nimble": ("", "ollama/nimble", ""),
    "perplexity/pplx-decider-latest": ("", "perplexity/pplx-decider-latest", ""),
    "fireworks_ai/rune": ("/inference/v1", "fireworks/rune", "/inference/v1"),
    "lm_studio/clef-flash": ("/v1", "lmstudio/clef-flash", "/v1"),
    "hosted_vllm/Tev1": ("/v1", "vllm/Tev1", "/v1"),
    "openrouter/openai/gpt-6-luna-decisions": ("/api/v1", "openrouter/openai/gpt-6-luna-decisions", "/api/v1"),
    "azure_ai/Microsoft-Decision-1": ("", "azure-ai/Microsoft-Decision-1", ""),
    "typesafe/jev-latest": ("/v1", "typesafe/jev-latest", "/v1"),
    "nace/drex-latest": ("", "nace/drex-latest", ""),
    "eu_jev/eu-jeff-latest": ("", "eu-jev/eu-jeff-latest", ""),
    "empiriolabs/aplomb-1": ("", "empiriolabs/aplomb-1", ""),
    "cloudflare/clef": ("/client/v4/accounts/x/ai/run", "cloudflare/clef", "/client/v4/accounts/x"),
    "databricks/mine": ("/serving-endpoints", "databricks/mine", ""),
    "databricks/ai_decide": ("/serving-endpoints", "databricks/ai_decide", ""),
    "parallel_ai/decision": ("", "parallel/decision", ""),
}


@pytest.fixture(scope="module")
def litellm():
    with sdk_clients.run_sdk("litellm_decisions") as sdk:
        yield sdk


@pytest.mark.parametrize("model", LITELLM)
def test_litellm_sends_the_same_request_to_each_service_and_reads_the_same_numbers(litellm, sandbox, model):
    base, own_model, own_base = LITELLM[model]
    name = own_model.partition("/")[0]
    with Client(own_model, api_key="sk-peers", base_url=sandbox.url + own_base) as client:
        ours = client.decide(TEXT, QUESTIONS)
    (own,) = sandbox.requests
    # Its own client for Ollama asks for the length of the context as well.
    theirs = litellm.call(
        "decide", url=sandbox.url, model=model, base=base, text=TEXT, questions=own.json()["questions"]
    )
    (other,) = [request for request in sandbox.requests[1:] if not request.path.endswith("/api/show")]
    assert own.path == other.path
    for header in ("authorization", "x-api-key", "api-key"):
        assert own.headers.get(header) == other.headers.get(header), header
    assert own.json() == other.json(), name
    answers = theirs["answers"]
    refund, topic, anger = answers if isinstance(answers, list) else answers.values()
    reported = refund.get("probability") if refund.get("noul") is None else refund["noul"]
    assert reported == ours["refund"].probability
    assert (topic["choice"], anger["score"]) == (ours["topic"].value, ours["anger"].score)
    assert theirs["tokens"] == ours.usage.input_tokens


def test_a_server_without_decisions_reports_the_logprobs_of_letters(llama):
    with Client("llamacpp/tiny", api_key=llama.key, base_url=f"{llama.url}/v1", retry=0) as client:
        # Its random model would answer with anything.
        d = client.decide(TEXT, QUESTIONS, emulate=True, extra={"grammar": "root ::= [AB]"})
    assert {decision.source for decision in d.values()} == {"logprobs"}
    assert d["topic"].value in ("bug", "billing")
    assert d["anger"].label in ("calm", "annoyed")
    assert d.usage.output_tokens == 3
    assert d.cost == 0


def test_a_server_that_answers_with_words_is_asked_for_structured_output(llama):
    with Client("llamacpp/tiny", api_key=llama.key, base_url=f"{llama.url}/v1", retry=0) as client:
        d = client.decide("Hi", {"topic": QUESTIONS["topic"]}, emulate=True)
    assert d["topic"].source in ("schema", "logprobs")
    assert d["topic"].value in ("bug", "billing")
