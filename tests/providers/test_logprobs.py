"""Log probabilities of the tokens of an answer, on every protocol that has them."""

from __future__ import annotations

import json

import provider_wires as wires
import pytest

from aichatkit.chunks import TokenLogprob
from aichatkit.providers.logprobs import entries_of, parse_entries, parse_result, parse_texts
from aichatkit.storage.records import decode, encode

HI = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": [{"token": "Hi", "logprob": -0.25}]}
BANG = {"token": "!", "logprob": -1}
TOKENS = [TokenLogprob("Hi", -0.25, (("Hi", -0.25),)), TokenLogprob("!", -1.0)]
USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def chat(entry, text, reason=None):
    choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": [entry]}, "finish_reason": reason}
    return wires.event({"choices": [choice]})


def delta(entry, text):
    return {"type": "response.output_text.delta", "item_id": "m", "delta": text, "logprobs": [entry]}


def response(**fields):
    return {"object": "response", "status": "completed", "model": "gpt-6-luna", "usage": USAGE, **fields}


DONE = {"type": "response.completed", "response": response(output=[])}
ITEM = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hi!", "logprobs": [HI, BANG]}]}
CHOSEN = [{"token": "Hi", "logProbability": -0.25}, {"token": "!", "logProbability": -1}]
RESULT = {"chosenCandidates": CHOSEN, "topCandidates": [{"candidates": CHOSEN[:1]}]}
GEMINI = {"candidates": [{"content": {"parts": [{"text": "Hi!"}]}, "logprobsResult": RESULT, "finishReason": "STOP"}]}
OLLAMA = [
    {"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": False, "logprobs": [HI]},
    {"model": "m", "message": {"role": "assistant", "content": "!"}, "done": False, "logprobs": [BANG]},
    {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
]
COHERE = [
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}, "logprobs": entry}
    for text, entry in (
        ("Hi", {"token_ids": [1], "text": "Hi", "logprobs": [-0.25]}),
        ("!", {"token_ids": [2, 3], "text": "!", "logprobs": [-0.75, -0.25]}),
    )
]
COHERE_END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}
COHERE_WHOLE = {
    "id": "m",
    "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi!"}]},
    "finish_reason": "COMPLETE",
    "logprobs": [record["logprobs"] for record in COHERE],
}
PLAIN = [TokenLogprob("Hi", -0.25), TokenLogprob("!", -1.0)]
BODIES = [
    ("openai", chat(HI, "Hi") + chat(BANG, "!", "stop") + b"data: [DONE]\n\n"),
    ("openai-responses", b"".join(map(wires.event, (delta(HI, "Hi"), delta(BANG, "!"), DONE)))),
    ("openai-responses", json.dumps(response(output=[ITEM])).encode()),
    ("gemini", wires.event(GEMINI)),
    ("ollama", b"".join(json.dumps(record).encode() + b"\n" for record in OLLAMA)),
]


@pytest.mark.parametrize(("model", "body"), BODIES)
def test_a_reply_has_its_tokens_and_they_can_be_kept(asks, monkeypatch, model, body):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    reply = asks(model, body, logprobs=True)
    assert (reply.text, reply.logprobs) == ("Hi!", TOKENS)
    assert decode(encode(reply)).logprobs == TOKENS
    assert json.loads(json.dumps(reply.to_dict()))["logprobs"][1] == {"token": "!", "logprob": -1.0, "top": []}


@pytest.mark.parametrize("body", [b"".join(map(wires.event, (*COHERE, COHERE_END))), json.dumps(COHERE_WHOLE).encode()])
def test_a_text_of_cohere_has_the_sum_of_its_tokens(asks, monkeypatch, body):
    monkeypatch.setenv("COHERE_API_KEY", "k")
    reply = asks("cohere", body, logprobs=True)
    assert (reply.text, reply.logprobs) == ("Hi!", PLAIN)


@pytest.mark.parametrize("entry", [5, {"text": "a"}, {"text": "a", "logprobs": [-1, None]}, {"logprobs": [-1]}, {}])
def test_entries_of_cohere_that_are_none_are_skipped(entry):
    assert list(parse_texts([entry])) == []


def test_the_columns_of_older_completions_are_read(asks, monkeypatch):
    monkeypatch.setenv("TOGETHER_API_KEY", "k")
    columns = {"tokens": ["Hi", "!"], "token_logprobs": [-0.25, -1], "top_logprobs": [{"Hi": -0.25}, None]}
    message = {"role": "assistant", "content": "Hi!"}
    body = {"choices": [{"index": 0, "message": message, "logprobs": columns, "finish_reason": "stop"}]}
    assert asks("together", json.dumps(body).encode(), logprobs=True).logprobs == TOKENS
    assert entries_of({"content": None}) == entries_of(None) == entries_of("x") == []


def test_a_probability_that_rounding_carries_over_1_is_1():
    (chunk,) = parse_entries([{"token": "a", "logprob": 1e-6}])
    assert chunk.tokens == [TokenLogprob("a", 0.0)]


def test_each_service_is_asked_in_its_own_way():
    params = {"logprobs": True, "top_logprobs": 2}
    body = wires.body("openai-responses", params=params)
    assert (body["include"], body["top_logprobs"]) == (["message.output_text.logprobs"], 2)
    assert "logprobs" not in body
    body = wires.body("openai-responses", params={"logprobs": False}, extra={"include": ["x"]})
    assert (body["include"], "logprobs" in body) == (["x"], False)
    body = wires.body("ollama", params=params)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


@pytest.mark.parametrize(
    "entries", [None, "x", [5, {"token": 5, "logprob": -1}, {"token": "a"}, {"token": "a", "logprob": 1}]]
)
def test_entries_that_are_no_tokens_are_skipped(entries):
    assert list(parse_entries(entries)) == []
    assert list(parse_result(entries)) == []


def test_a_token_without_a_probability_has_the_lowest():
    (chunk,) = parse_entries([{"token": "a", "logprob": float("-inf")}])
    assert chunk.tokens == [TokenLogprob("a", -9999.0)]
    (chunk,) = parse_result({"chosenCandidates": [{"token": "a"}], "topCandidates": []})
    assert chunk.tokens == [TokenLogprob("a", 0.0)]
