"""Records: what comes back is what went in, but for what must not be kept."""

from __future__ import annotations

import json

import pytest

from aichatkit import _json, errors
from aichatkit.chunks import Citation, Thought, ToolCall, Usage
from aichatkit.errors import AllProvidersFailedError, ChatError, ConnectError, QuotaExceededError, RateLimitError
from aichatkit.reply import Reply
from aichatkit.storage.records import decode, encode

REPLY = Reply(
    text="Paris é",
    provider="openai",
    model="gpt-6-sol",
    complete=True,
    finish_reason="stop",
    usage=Usage(1, 2, 3, 4, 5, 6, 7),
    images=["https://example.com/a.png"],
    reasoning="Hm.",
    citations=[Citation("https://example.com", "Example")],
    tool_calls=[ToolCall("1", "look", {"at": "it"})],
    elapsed=1.5,
    thoughts=[Thought("Hm.", "anthropic:s", False, 3, 1)],
    cost=0.25,
    saved=-0.125,
)


def test_a_reply_comes_back():
    assert decode(encode(REPLY)) == REPLY


def test_an_empty_reply_comes_back():
    reply = Reply("", "offline", "eliza")
    assert decode(encode(reply)) == reply


def test_headers_and_raw_records_stay_behind():
    told = encode(Reply("a", "b", "c", headers={"set-cookie": "secret"}, raw=["secret"]))
    assert "secret" not in told


@pytest.mark.parametrize("kind", [getattr(errors, name) for name in errors.__all__])
def test_an_error_of_each_kind_comes_back(kind):
    error = kind("It failed.", provider="openai", model="m", status=429, retry_after=2.5, partial="The", param="x")
    back = decode(encode(error))
    assert type(back) is kind
    fields = ("message", "provider", "model", "status", "code", "retry_after", "partial", "request_id", "param")
    assert [getattr(back, name) for name in fields] == [getattr(error, name) for name in fields]


def test_the_errors_of_all_providers_come_back():
    back = decode(encode(AllProvidersFailedError("All.", errors=[RateLimitError("One."), QuotaExceededError("Two.")])))
    assert [(type(error), str(error)) for error in back.errors] == [
        (RateLimitError, "One."),
        (QuotaExceededError, "Two."),
    ]


def test_an_error_of_somebody_else_comes_back_as_the_nearest_of_ours():
    class Special(RateLimitError):
        pass

    assert type(decode(encode(Special("No.")))) is RateLimitError


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"reply": {}}', '{"reply": {"nonsense": 1}}', '{"error": {"kind": "os"}}'],
)
def test_something_else_is_no_record(text):
    with pytest.raises(ValueError, match=r"."):
        decode(text)


def test_only_errors_of_ours_are_made():
    with pytest.raises(ValueError, match="no record"):
        decode(json.dumps({"error": {"kind": "annotations", "message": "x"}}))


def test_an_error_is_an_error():
    assert isinstance(decode(encode(ChatError("x"))), ChatError)


def test_the_reason_of_an_error_is_not_stored_as_an_older_version_could_not_read_it():
    record = encode(ConnectError("Gone.", reason="OSError: refused"))
    assert "refused" not in record
    assert decode(record).reason == ""


def test_numbers_of_calls_keep_their_digits():
    number = _json.Digits("98765432109876543.210")
    (call,) = decode(encode(Reply("", "a", "b", tool_calls=[ToolCall("1", "pay", {"sum": number})]))).tool_calls
    assert str(call.arguments["sum"]) == str(number)


def test_lone_surrogates_in_an_older_record_are_replaced():
    assert decode('{"reply": {"text": "Paris \\ud83d", "provider": "a", "model": "b"}}').text == "Paris \ufffd"


def test_an_earlier_version_can_read_the_fields_it_knows():
    reply = json.loads(encode(REPLY))["reply"]
    assert set(reply["usage"]) == {"input_tokens", "output_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"}
    assert "saved" not in reply


def test_a_record_of_an_earlier_version_is_read():
    text = '{"reply": {"text": "a", "provider": "b", "model": "c", "usage": {"input_tokens": 1}, "cost": 2.0}}'
    assert decode(text) == Reply("a", "b", "c", usage=Usage(1), cost=2.0)


def test_unknown_fields_of_a_later_version_are_ignored():
    record = json.loads(encode(REPLY))
    record["reply"].update(usage={**record["reply"]["usage"], "moods": 3}, news=1)
    record["reply"]["citations"] = [[*citation, None, None, "", "", 5, 9] for citation in record["reply"]["citations"]]
    record["reply"]["thoughts"] = [[*thought, 5, 9] for thought in record["reply"]["thoughts"]]
    record["reply"]["tool_calls"] = [{**call, "mood": 1} for call in record["reply"]["tool_calls"]]
    record["later"].update(moods=1, usage={**record["later"]["usage"], "steps": 1})
    assert decode(json.dumps(record)) == REPLY
