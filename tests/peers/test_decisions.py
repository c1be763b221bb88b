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
