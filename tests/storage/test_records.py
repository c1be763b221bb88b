"""Records: what comes back is what went in, but for what must not be kept."""

from __future__ import annotations

import json

import pytest

from aichatkit import errors
from aichatkit.chunks import Citation, Thought, ToolCall, Usage
from aichatkit.errors import AllProvidersFailedError, ChatError, ConnectError, QuotaExceededError, RateLimitError
from aichatkit.reply import Reply
from aichatkit.storage.records import decode, encode

REPLY = Reply(
    text="Paris \ud83d é",
    provider="openai",
    model="gpt-6-sol",
    complete=True,
    finish_reason="stop",
    usage=Usage(1, 2, 3),
    images=["https://example.com/a.png"],
    reasoning="Hm.",
    citations=[Citation("https://example.com", "Example")],
    tool_calls=[ToolCall("1", "look", {"at": "it"})],
    elapsed=1.5,
    thoughts=[Thought("Hm.", "anthropic:s", False, 3, 1)],
    cost=0.25,
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
