"""Cohere's chat, version 2: named events with a delta each."""

from __future__ import annotations

import json

import provider_wires as wires
import pytest
from recorded import recording

from aichatkit import Client
from aichatkit.chunks import Citation, ToolCall, ToolCallPart
from aichatkit.errors import ContextTooLongError, QuotaExceededError, ServerError, StreamInterruptedError


@pytest.fixture
def told(asks, monkeypatch):
    """Read one answer of these events."""
    monkeypatch.setenv("CO_API_KEY", "co-test")

    def read(*records, **options):
        return asks("cohere", b"".join(wires.event(record, record["type"]) for record in records), **options)

    return read


def message(kind, index=0, **fields):
    return {"type": kind, "index": index, "delta": {"message": fields}}


def says(text):
    return message("content-delta", content={"text": text})


def ended(reason="COMPLETE", **delta):
    return {"type": "message-end", "delta": {"finish_reason": reason, **delta}}


def test_parameters_go_by_their_own_names():
    params = {"top_p": 0.5, "top_k": 3, "stop": "END", "max_tokens": 9}
    sent = wires.body("cohere", params=params, schema=wires.STRICT)
    assert (sent["p"], sent["k"], sent["stop_sequences"], sent["max_tokens"]) == (0.5, 3, ["END"], 9)
    assert sent["response_format"] == {"type": "json_object", "json_schema": wires.STRICT}


@pytest.mark.parametrize("base", ["https://gw.example", "https://gw.example/v2"])
def test_an_address_may_hold_the_version_or_not(base):
    assert wires.request("cohere", base_url=base).url == "https://gw.example/v2/chat"


def test_a_recorded_answer_has_text_usage_and_reason(asks, monkeypatch):
    monkeypatch.setenv("COHERE_API_KEY", "co-test")
    reply = asks("cohere", recording("cohere"))
    assert reply.text == "The capital of France is Paris, la Ville Lumière."
    assert (reply.finish_reason, reply.complete) == ("stop", True)
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (502, 14, 384)


def test_without_the_last_event_the_answer_is_cut(told):
    with pytest.raises(StreamInterruptedError):
        told(says("Hi"), {"type": "content-end", "index": 0})


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "content_filter"),
        (None, "stop"),
    ],
)
def test_reasons_are_one_vocabulary(told, reason, word):
    assert told(says("Hi"), ended(reason)).finish_reason == word


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT", "ERROR_LIMIT"])
def test_an_answer_that_ends_in_failure_is_an_error(told, reason):
    with pytest.raises(ServerError):
        told(says("Hi"), ended(reason))


def test_the_words_of_a_failure_tell_its_kind(told):
    words = "too many tokens: total number of tokens in the prompt cannot exceed 8192"
    with pytest.raises(ContextTooLongError):
        told({"type": "message-start"}, ended("ERROR", error=words))


def test_billed_units_count_where_nothing_else_is_told(told):
    usage = told(says("Hi"), ended(usage={"billed_units": {"input_tokens": 3.0, "output_tokens": 2.0}})).usage
    assert (usage.input_tokens, usage.output_tokens) == (3, 2)


@pytest.mark.parametrize(
    ("usage", "counts", "dollars"),
    [
        (
            {
                "billed_units": {"input_tokens": 17, "output_tokens": 12},
                "tokens": {"input_tokens": 512, "output_tokens": 14},
            },
            (512, 14, None),
            17 * 2.5 + 12 * 10,
        ),
        ({"tokens": {"input_tokens": 512, "output_tokens": 14}, "cached_tokens": 384}, (512, 14, 384), 512 * 2.5 + 140),
        ({"tokens": "12", "billed_units": []}, (None, None, None), None),
        ("odd", (None, None, None), None),
    ],
)
def test_what_is_billed_may_be_less_than_what_was_processed(told, usage, counts, dollars):
    reply = told(says("Hi"), ended(usage=usage))
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == counts
    assert reply.cost == (None if dollars is None else pytest.approx(dollars / 1e6))


def test_plans_and_thoughts_are_kept_apart(told):
    reply = told(
        message("tool-plan-delta", tool_plan="I look. "),
        message("content-start", content={"type": "thinking", "thinking": ""}),
        message("content-delta", content={"thinking": "Hm."}),
        says("Hello"),
        ended(),
    )
    assert (reply.text, reply.reasoning) == ("Hello", "I look. Hm.")


def test_calls_of_tools_come_in_pieces(told):
    def piece(kind, index, **call):
        return message(kind, index, tool_calls=call)

    reply = told(
        piece("tool-call-start", 0, id="c1", function={"name": "weather", "arguments": ""}),
        piece("tool-call-delta", 0, function={"arguments": '{"city":'}),
        piece("tool-call-delta", 0, function={"arguments": '"Oslo"}'}),
        {"type": "tool-call-end", "index": 0},
        piece("tool-call-start", 1, id="c2", function={"name": "now", "arguments": ""}),
        ended("TOOL_CALL"),
    )
    assert reply.tool_calls == [ToolCall("c1", "weather", {"city": "Oslo"}), ToolCall("c2", "now")]


def test_sources_with_an_address_are_citations(told):
    documents = [{"document": {"url": "https://example.org/", "title": "Example"}}, {"document": {"id": "d"}}, {}]
    reply = told(says("Hi"), message("citation-start", citations={"sources": documents}), ended())
    assert reply.citations == [Citation("https://example.org/", "Example")]


def test_an_answer_that_was_not_streamed_is_read():
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    content = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hello"}]
    whole = {"id": "x", "message": {"content": content, "tool_calls": [call]}, "finish_reason": "TOOL_CALL"}
    found = wires.chunks("cohere", json.dumps(whole, indent=1).encode())
    assert (wires.text(found), wires.thoughts(found)) == ("Hello", "Hm.")
    assert wires.calls(found) == [ToolCallPart(None, "c1", "now", "{}")]


def test_a_bare_message_in_the_place_of_an_answer_is_an_error():
    with pytest.raises(ServerError, match="internal"):
        wires.chunks("cohere", b'{"id": "x", "message": "internal server error"}')


def test_a_trial_key_s_month_is_a_quota_told_by_its_words(asks, monkeypatch):
    monkeypatch.setenv("CO_API_KEY", "co-test")
    body = b'{"message": "You are using a Trial key, which is limited to 1000 API calls / month."}'
    with pytest.raises(QuotaExceededError):
        asks("cohere", body, status=429, content_type="application/json")


def test_it_lists_models_from_the_older_version(web, monkeypatch):
    monkeypatch.setenv("CO_API_KEY", "co-test")
    url = "https://api.cohere.com/v1/models?endpoint=chat&page_size=1000"
    web.get(url, json={"models": [{"name": "command-a"}]})
    with Client(retry=0) as client:
        assert client.models("cohere") == ["command-a"]


def test_without_counts_of_processed_tokens_the_billed_ones_count(told):
    usage = told(says("Hi"), ended(usage={"tokens": {}, "billed_units": {"input_tokens": 3, "output_tokens": 4}})).usage
    assert (usage.input_tokens, usage.output_tokens) == (3, 4)
