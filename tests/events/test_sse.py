"""Server-sent events follow the rules, however the body is cut; an event reads its JSON once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from event_rules import BOM, all_cuts, read, sse_of

from aichatkit.errors import BadResponseError, StreamInterruptedError
from aichatkit.events import Event, iter_json, iter_json_array, iter_json_lines, iter_sse
from aichatkit.events.sse import TrailingEvent

SSE = [
    BOM + 'data: {"a":"é\u2028🦊"}\n\ndata: [DONE]\n\n'.encode(),
    b'event: ping\ndata: {"a": 1}\n\nevent: x\ndata:{"b":\ndata: 2}\n\ndata: c',
    b": note\r\n\r\nid: 7\r\ndata: a\r\ndata:  b\r\n\r\ndata\r\rdata: c\r\n",
    b"\n\n\ndata: a\n\n\n\nevent:\ndata:b\n\nevent: y\n\ndata: c\n\n",
    b"id: a\n\nid: b\0c\ndata: 1\n\nid\ndata: 2\n\nretry: 9\nfoo: 1\ndata: 3\n\n",
]


#: Two records in one block, without `data:`, and with it.
JSON_OBJECTS = [("message", '{\n "a": 1\n}', ""), ("message", '{"b": 2}', "")]
ONE_LINE_END = [("message", '{"a": 1}', ""), ("message", '{"b": 2}', "")]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"", []),
        (b"data: a\n\n", [("message", "a", "")]),
        (b"data:a\n\n", [("message", "a", "")]),
        (b"data:  a\n\n", [("message", " a", "")]),
        (b"data:\ta\n\n", [("message", "\ta", "")]),
        (b"data: a: b\n\n", [("message", "a: b", "")]),
        (b"data\n\ndata:\n\ndata: \n\ndata:   \t\n\ndata\ndata\n\nevent: ping\ndata:\n\n", []),
        (b"event: error\ndata:\n\n", [("error", "", "")]),
        (b"data: a\ndata: b\n\n", [("message", "a\nb", "")]),
        (b'data: {"a":\n"b"}\n\n', [("message", '{"a":', "")]),
        (b"data : a\n\nDATA: b\n\n data: c\n\n", []),
        (b"event: x\ndata: a\n\ndata: b\n\n", [("x", "a", ""), ("message", "b", "")]),
        (b"data: a\nevent: x\n\n", [("x", "a", "")]),
        (b"event: x\nevent: y\ndata: a\n\n", [("y", "a", "")]),
        (b"event: x\nevent:\ndata: a\n\n", [("message", "a", "")]),
        (b"event: \ndata: a\n\n", [("message", "a", "")]),
        (b"event:x\ndata:a\n\n", [("x", "a", "")]),
        (b"event: x\n\n", []),
        (b"event: x\n\ndata: a\n\n", [("message", "a", "")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
        (b"id: 1\n\ndata: a\n\n", [("message", "a", "1")]),
        (b"id: 1\ndata: a\nid\n\n", [("message", "a", "")]),
        (b"id: 1\nid: 2\0\ndata: a\n\n", [("message", "a", "1")]),
        (b"retry: 10\ndata: a\n\n", [("message", "a", "")]),
        (b": OPENROUTER PROCESSING\n\ndata: a\n\n", [("message", "a", "")]),
        (b"data: a\n:\ndata: b\n\n", [("message", "a\nb", "")]),
        (b'error: {"code": 500}\n\n', [("error", '{"code": 500}', "")]),
        (b"event: error\nerror: it broke\n\n", [("error", "it broke", "")]),
        (b'data: a\n\n{"error": 1}\n\n', [("message", "a", ""), ("message", '{"error": 1}', "")]),
        (b'event: error\n{"a": 1}\n\n', [("error", '{"a": 1}', "")]),
        (b'data: a\n\n{\n  "a":\n\n', [("message", "a", ""), ("message", '{\n  "a":', "")]),
        (b'data: a\n\n{\n "a": 1\n}\n{"b": 2}\n\n', [("message", "a", ""), *JSON_OBJECTS]),
        (b'data: {"a": 1}\ndata: {"b": 2}\ndata: [DONE]\n\n', [*ONE_LINE_END, ("message", "[DONE]", "")]),
        (b'data: {"a":\ndata: {"b": 1}}\n\n', [("message", '{"a":\n{"b": 1}}', "")]),
        (b"data: [DONE]\n\n", [("message", "[DONE]", "")]),
        (b"data: [DONE][LIMIT_CONVERSATION]\n\n", [("message", "[DONE][LIMIT_CONVERSATION]", "")]),
        (b"event: error\ndata: {}\n\n", [("error", "{}", "")]),
        (BOM + b"data: a\n\n" + BOM + b"data: b\n\n", [("message", "a", "")]),
        (b"data: \xff\n\n", [("message", "\ufffd", "")]),
        (b"data: a\r\rdata: b\r\n\r\n", [("message", "a", ""), ("message", "b", "")]),
        (b"data: a", [("message", "a", "")]),
        (b"data: a\n", [("message", "a", "")]),
        (b"data: a\r", [("message", "a", "")]),
        (b"event: x\n", []),
        (b"data: a\n\ndat", [("message", "a", "")]),
    ],
)
def test_server_sent_events_follow_the_rules(body: bytes, events: list[Any]) -> None:
    assert read(iter_sse, [body])[0] == events == sse_of(body)


@pytest.mark.parametrize("body", SSE)
def test_server_sent_events_are_the_same_wherever_the_body_is_cut(body: bytes) -> None:
    for pieces in all_cuts(body):
        assert read(iter_sse, pieces)[0] == sse_of(body), pieces


@pytest.mark.parametrize("body", SSE)
def test_a_server_sent_event_is_out_before_the_next_block_is_asked_for(body: bytes) -> None:
    for pieces in all_cuts(body):
        complete = [len(sse_of(b"".join(pieces[: index + 1]), ended=False)) for index in range(len(pieces))]
        assert read(iter_sse, pieces)[1] == complete, pieces


@pytest.mark.parametrize(
    "body", [b"data: ab\n\ndata: abc\n\n", b"data: ab\n\n: cd\ndata\n\n", b"data: ab\n\ndata: abc"]
)
def test_an_event_over_the_limit_is_an_error_once_those_before_it_are_out(body: bytes) -> None:
    for pieces in all_cuts(body):
        events = iter_sse(pieces, max_line=8)
        assert next(events).data == "ab"
        with pytest.raises(BadResponseError, match="more than 8 bytes"):
            next(events)


Reader = Callable[..., Iterator[Event]]


@pytest.mark.parametrize("text", ['{"a": 1}', ' {"a": 1}\t', '\r\n{"a": 1}'])
def test_white_space_around_json_does_not_matter(text: str) -> None:
    assert Event(text).json() == {"a": 1}


def test_json_is_read_once() -> None:
    event = Event("[1]")
    assert event.json() is event.json()


def test_null_is_a_value() -> None:
    assert Event("null").json() is None


@pytest.mark.parametrize(
    "text",
    ["", "[DONE]", "[DONE][LIMIT_CONVERSATION]", "{", '{"a": 1} x', '{"a": 1}{"b": 2}', "\u00a01", "\ufeff1", "a"],
)
def test_what_is_no_json_is_a_value_error_each_time(text: str) -> None:
    event = Event(text)
    for _ in range(2):
        with pytest.raises(ValueError, match="line 1 column"):
            event.json()


@pytest.mark.skipif(sys.platform == "emscripten", reason="its stack was made as large as that")
@pytest.mark.parametrize("event_class", [Event, TrailingEvent])
@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000])
def test_json_nested_too_deeply_is_a_value_error(text: str, event_class: type[Event]) -> None:
    with pytest.raises(ValueError, match="nested"):
        event_class(text).json()


def test_an_event_shows_what_it_holds() -> None:
    assert repr(Event("a", "ping", "7")) == "Event('a', type='ping', id='7')"


@pytest.mark.parametrize(
    ("reader", "body"),
    [
        (iter_sse, b'data: {"a": "b'),
        (iter_sse, b'event: x\ndata: {"a":\n'),
        (iter_json_lines, b'{"a": "b'),
        (iter_json, b'{"a": {}'),
        (iter_json_array, b'[{"a": "b"'),
    ],
)
def test_a_record_cut_off_by_the_end_of_the_body_says_so(reader: Reader, body: bytes) -> None:
    (event,) = reader([body])
    with pytest.raises(StreamInterruptedError, match="middle of a record") as caught:
        event.json()
    # A class that users can name.
    assert type(caught.value) is StreamInterruptedError


@pytest.mark.parametrize(
    ("reader", "body"),
    [
        (iter_sse, b'data: {"a": "b\n\n'),
        (iter_json_lines, b'{"a": "b\n'),
        (iter_json_array, b'[{"a" "b"}]'),
        (iter_sse, b"data: [DONE]"),
        (iter_json_lines, b"Internal error"),
        (iter_json, b"<html>"),
    ],
)
def test_a_record_that_is_wrong_was_not_cut_off(reader: Reader, body: bytes) -> None:
    (event,) = reader([body])
    with pytest.raises(ValueError, match="line 1") as caught:
        event.json()
    assert not isinstance(caught.value, StreamInterruptedError)


@pytest.mark.parametrize(
    ("reader", "body"),
    [(iter_sse, b'data: {"a": 1}'), (iter_json_lines, b'{"a": 1}'), (iter_json_array, b'[{"a": 1}')],
)
def test_a_last_record_may_lack_its_end(reader: Reader, body: bytes) -> None:
    assert [event.json() for event in reader([body])] == [{"a": 1}]
