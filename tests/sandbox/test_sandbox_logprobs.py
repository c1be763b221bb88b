"""The log probabilities that the sandbox plays: of every token of its text, on every protocol that has them."""

from __future__ import annotations

import json
import math

import pytest
from sandbox_talk import CHAT, talk

from aichatkit import Client
from aichatkit.sandbox.wires.logprobs import tokens_of

TEXT = "Zażółć gęślą jaźń 🦊, twice."
MODELS = ["openai/eliza", "openai-responses/eliza", "gemini/eliza", "ollama/eliza"]
PATHS = {"gemini": "", "ollama": ""}


def client_of(box, model):
    base_url = box.url + PATHS.get(model.partition("/")[0], "/v1")
    return Client(model, api_key="k", base_url=base_url)


@pytest.mark.parametrize("model", MODELS)
def test_a_reply_has_the_tokens_of_its_text(box, model):
    box.says(TEXT)
    reply = client_of(box, model).ask("Hi", logprobs=True, top_logprobs=3)
    assert (reply.text, "".join(token.token for token in reply.logprobs)) == (TEXT, TEXT)
    for token in reply.logprobs:
        assert (token.token, token.logprob) == token.top[0]
        assert [len(token.top), len({text for text, _ in token.top})] == [3, 3]
        assert sorted(token.top, key=lambda pair: -pair[1]) == list(token.top)
        assert sum(math.exp(logprob) for _, logprob in token.top) < 1


@pytest.mark.parametrize("model", MODELS)
def test_the_same_text_has_the_same_numbers_however_it_is_sent(box, model):
    client = client_of(box, model)
    first, second = (client.ask("I am sad", logprobs=True).logprobs for _ in range(2))
    assert first == second == tokens_of_reply(first)
    assert client.ask("I am sad").logprobs == []


def tokens_of_reply(tokens):
    return [tuple(token) for token in tokens_of([token.token for token in tokens])]


@pytest.mark.parametrize(
    ("path", "fields", "find"),
    [
        ("/v1/chat/completions", {"logprobs": True}, lambda r: r["choices"][0]["logprobs"]["content"]),
        ("/v1/chat/completions", {"logprobs": 2}, lambda r: r["choices"][0]["logprobs"]["content"]),
        (
            "/v1/responses",
            {"input": "I am sad", "include": ["message.output_text.logprobs"]},
            lambda r: r["output"][0]["content"][0]["logprobs"],
        ),
        ("/api/chat", {"logprobs": True, "stream": False}, lambda r: r["logprobs"]),
        (
            "/v2/chat",
            {"logprobs": True},
            lambda r: [{"token": entry["text"], "logprob": entry["logprobs"][0]} for entry in r["logprobs"]],
        ),
        (
            "/v1beta/models/eliza:generateContent",
            {
                "contents": [{"parts": [{"text": "I am sad"}]}],
                "generationConfig": {"responseLogprobs": True},
            },
            lambda r: [
                {"token": entry["token"], "logprob": entry["logProbability"]}
                for entry in r["candidates"][0]["logprobsResult"]["chosenCandidates"]
            ],
        ),
    ],
)
def test_a_whole_answer_has_them_as_well(box, path, fields, find):
    entries = find(talk(box, path, {**CHAT, **fields}).json())
    wanted = tokens_of(["How", " long", " have", " you", " been", " sad?"])
    assert [(entry["token"], entry["logprob"]) for entry in entries] == [token[:2] for token in wanted]


def test_services_that_take_a_number_get_as_many_alternatives(box):
    choice = talk(box, "/v1/chat/completions", {**CHAT, "logprobs": 2}).json()["choices"][0]
    first = choice["logprobs"]["content"][0]
    assert first["bytes"] == list(b"How")
    assert first["top_logprobs"][0]["token"] == "How"
    assert len(first["top_logprobs"]) == 2


def test_a_stream_of_cohere_has_one_token_for_each_piece(box):
    events = talk(box, "/v2/chat", {**CHAT, "logprobs": True, "stream": True}).body.decode().split("\n\n")
    records = [json.loads(event.partition("data: ")[2]) for event in events if "content-delta" in event]
    assert [record["logprobs"]["text"] for record in records] == ["How", " long", " have", " you", " been", " sad?"]


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_call_has_none(box, model):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    reply = client_of(box, model).ask('call weather {"city": "Oslo"}', tools=[tool], logprobs=True)
    assert [call.name for call in reply.tool_calls] == ["weather"]
    assert reply.logprobs == []


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("/v1/chat/completions", {"top_logprobs": 2}, "'logprobs' parameter must be set to true"),
        ("/v1/chat/completions", {"logprobs": True, "top_logprobs": 21}, "Expected a value <= 20"),
        ("/api/chat", {"logprobs": True, "top_logprobs": 21}, "must be between 0 and 20"),
        ("/api/chat", {"logprobs": "yes"}, "of type bool"),
        (
            "/v1beta/models/eliza:generateContent",
            {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"logprobs": 2}},
            "response_logprobs is not enabled",
        ),
    ],
)
def test_alternatives_without_probabilities_and_too_many_are_refused(box, path, fields, message):
    answer = talk(box, path, {**CHAT, **fields})
    assert answer.status == 400
    assert message in answer.body.decode()


def test_an_answer_that_is_a_letter_has_letters_as_alternatives(box):
    box.says("B")
    reply = client_of(box, "openai/eliza").ask("Which?", logprobs=True, top_logprobs=4)
    assert {text for text, _ in reply.logprobs[0].top} == {"A", "B", "C", "D"}
    box.says("A")
    assert client_of(box, "ollama/eliza").decide("x", {"sad?": bool}, emulate=True)["sad?"].source == "logprobs"
