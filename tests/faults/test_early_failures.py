"""Rows 51 to 57: a 200 that fails before its first text."""

from __future__ import annotations

import json

import pytest
import responses
from fault_checks import fails
from fault_wires import ALL, DONE, KEY, MARKED, TROUBLED, UNMARKED, delta, named, row, sse

from aichatkit import Client
from aichatkit.errors import (
    ContentFilteredError,
    EmptyAnswerError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.sandbox.raw import chunk, chunked_head, response

JSON = [("Content-Type", "application/json")]


def as_json(record):
    return [response(json.dumps(record).encode(), headers=JSON)]


@row("51", *named("openai", "anthropic", "gemini", "ollama", "aichats", "chatgptt", "aichatonline-classic"))
def test_a_json_error_in_a_200_is_asked_again(faults, wire):
    fault = faults(wire, as_json({"error": {"message": "upstream broke", "code": 502}}), wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked)) == ("Hello", 2)
    assert isinstance(reply.attempts[0].error, ServerError)


@row("51-code")
@pytest.mark.parametrize(
    ("error", "kind", "asked"),
    [
        ({"message": "no money", "code": "insufficient_quota"}, QuotaExceededError, 1),
        ({"message": "slow", "code": 429}, RateLimitError, 3),
        ({"message": "busy", "code": 503}, OverloadedError, 3),
    ],
)
def test_a_json_error_in_a_200_is_judged_by_its_code(faults, wire, error, kind, asked):
    fault = faults(wire, as_json({"error": error}))
    with fails(kind):
        fault.client.ask("Hi")
    assert len(fault.asked) == asked


@row("52", *TROUBLED)
def test_an_error_event_before_any_text_is_asked_again(faults, wire):
    fault = faults(wire, [chunked_head(wire.content_type), chunk(wire.trouble), chunk(b"")], wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked)) == ("Hello", 2)
    assert isinstance(reply.attempts[0].error, ServerError)


@row("52-one-document", *named("aichat"))
def test_an_error_document_is_asked_again(faults, wire):
    fault = faults(wire, [wire.fixed(wire.trouble)], wire.whole("Hello"))
    assert (fault.client.ask("Hi").text, len(fault.asked)) == ("Hello", 2)


@row("53")
def test_what_comes_before_the_text_is_not_text(faults, wire):
    role = sse({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    before = [chunked_head(), chunk(b": PROCESSING\n\n"), chunk(role)]
    fault = faults(wire, [*before, chunk(wire.trouble), chunk(b"")], [*before, *wire.whole("Hel", "lo")[1:]])
    assert list(fault.client.stream("Hi")) == ["Hel", "lo"]
    assert len(fault.asked) == 2


@row("54")
def test_an_end_marker_alone_is_asked_again(faults, wire):
    fault = faults(wire, [chunked_head(), chunk(DONE), chunk(b"")], wire.whole("Hello"))
    assert (fault.client.ask("Hi").text, len(fault.asked)) == ("Hello", 2)


@row("54-always", *MARKED)
def test_an_end_marker_alone_is_an_empty_answer_in_the_end(faults, wire):
    fault = faults(wire, [chunked_head(wire.content_type), chunk(wire.start + wire.end), chunk(b"")])
    with fails(EmptyAnswerError) as caught:
        fault.client.ask("Hi")
    assert (len(fault.asked), len(caught.value.attempts), caught.value.status) == (3, 3, 200)


@row("55", *ALL)
def test_no_body_at_all_is_asked_again(faults, wire):
    fault = faults(wire, [wire.fixed(b"")], wire.whole("Hello"))
    assert (fault.client.ask("Hi").text, len(fault.asked)) == ("Hello", 2)


@row("55-always", *ALL)
def test_no_body_at_all_is_an_error_in_the_end(faults, wire):
    fault = faults(wire, [wire.fixed(b"")])
    with fails(EmptyAnswerError if wire in UNMARKED else StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    assert caught.value.partial == ""
    assert len(fault.asked) == (3 if wire in UNMARKED else 2)


@row("55-doubled")
def test_no_body_of_a_double_is_asked_again(wire, policy):
    url = "https://openai.example/v1"
    with responses.RequestsMock() as mock, Client(model="openai", api_key=KEY, base_url=url, retry=policy) as client:
        mock.post(f"{url}/chat/completions", body=b"", content_type=wire.content_type)
        mock.post(f"{url}/chat/completions", body=wire.body("Hello"), content_type=wire.content_type)
        assert client.ask("Hi").text == "Hello"
        assert len(mock.calls) == 2


@row("56")
def test_an_answer_withheld_by_a_filter_is_not_asked_again(faults, wire):
    withheld = chunk(delta(None, finish_reason="content_filter") + DONE)
    fault = faults(wire, [chunked_head(), withheld, chunk(b"")])
    with fails(ContentFilteredError):
        fault.client.ask("Hi")
    assert len(fault.asked) == 1


@row("57", *named("anthropic"))
def test_a_ping_before_an_error_event_is_not_text(faults, wire):
    ping = sse({"type": "ping"}, "ping")
    script = [chunked_head(), chunk(wire.start + ping), chunk(wire.trouble), chunk(b"")]
    fault = faults(wire, script, wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked), type(reply.attempts[0].error)) == ("Hello", 2, OverloadedError)
