"""Events come out whole, at once and in linear time, whatever the form of the body and however it was cut."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import Any, Callable

import pytest
from event_rules import BOM, all_cuts, cut, data_lines_of, json_lines_of, read, sse_of

from aichatkit.errors import BadResponseError, StreamInterruptedError
from aichatkit.events import (
    Event,
    iter_data_lines,
    iter_json,
    iter_json_array,
    iter_json_lines,
    iter_lines,
    iter_sse,
    iter_text,
)

Reader = Callable[..., Iterator[Event]]
READERS = [iter_sse, iter_json_lines, iter_json, iter_json_array, iter_text, iter_data_lines]

SSE = [
    BOM + 'data: {"a":"é\u2028🦊"}\n\ndata: [DONE]\n\n'.encode(),
    b'event: ping\ndata: {"a": 1}\n\nevent: x\ndata:{"b":\ndata: 2}\n\ndata: c',
    b": note\r\n\r\nid: 7\r\ndata: a\r\ndata:  b\r\n\r\ndata\r\rdata: c\r\n",
    b"\n\n\ndata: a\n\n\n\nevent:\ndata:b\n\nevent: y\n\ndata: c\n\n",
    b"id: a\n\nid: b\0c\ndata: 1\n\nid\ndata: 2\n\nretry: 9\nfoo: 1\ndata: 3\n\n",
]
JSON_LINES = BOM + '{"a": "é\u2028🦊"}\r\n\n \t\n{"b": [1, 2]}\rdata: {"c": 3}\ndata:4\nno json\ndata: \n{"d"'.encode()
DATA_LINES = "data: a\ndata:  é\r\n\ndata:b\ndata: \n: c\rdata: d\ndata: \r\ndata: last".encode()
ELEMENTS = ['{"a": "}],\\"[{é🦊"}', '{"b": [{}, [1, 2]], "c\\\\": "\\\\"}', "[3]", '"x,]"', "4", "null"]
ARRAY = ("[" + ELEMENTS[0] + ",\r\n" + " , ".join(ELEMENTS[1:]) + "\n]\n").encode()


def data_of(events: Iterable[Event]) -> list[str]:
    return [event.data for event in events]


# Server-sent events


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"", []),
        (b"data: a\n\n", [("message", "a", "")]),
        (b"data:a\n\n", [("message", "a", "")]),
        (b"data:  a\n\n", [("message", " a", "")]),
        (b"data:\ta\n\n", [("message", "\ta", "")]),
        (b"data: a: b\n\n", [("message", "a: b", "")]),
        (b"data\n\n", [("message", "", "")]),
        (b"data:\n\n", [("message", "", "")]),
        (b"data: \n\n", [("message", "", "")]),
        (b"data\ndata\n\n", [("message", "\n", "")]),
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
        (b'error: {"code": 500}\n\n', []),
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
    "body", [b"data: ab\n\ndata: abc\n\n", b"data: ab\n\n: c\ndata: \n\n", b"data: ab\n\ndata: abc"]
)
def test_an_event_over_the_limit_is_an_error_once_those_before_it_are_out(body: bytes) -> None:
    for pieces in all_cuts(body):
        events = iter_sse(pieces, max_line=8)
        assert next(events).data == "ab"
        with pytest.raises(BadResponseError, match="more than 8 bytes"):
            next(events)


# JSON lines


def test_json_lines_are_the_same_and_at_once_wherever_the_body_is_cut() -> None:
    for pieces in all_cuts(JSON_LINES):
        events, counts = read(iter_json_lines, pieces)
        assert events == json_lines_of(JSON_LINES), pieces
        assert counts == [
            len(json_lines_of(b"".join(pieces[: index + 1]), ended=False)) for index in range(len(pieces))
        ], pieces


def test_a_json_line_may_carry_the_prefix_of_a_server_sent_event() -> None:
    body = b'data: {"a": 1}\ndata:{"a": 2}\n{"a": 3}\ndata:\n \n'
    assert [event.json() for event in iter_json_lines([body])] == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_a_json_line_that_is_none_is_left_to_the_caller() -> None:
    first, second = iter_json_lines([b"<html>\n{}\n"])
    with pytest.raises(ValueError, match="Expecting value"):
        first.json()
    assert second.json() == {}


# One JSON document


@pytest.mark.parametrize("body", [BOM + '{"a":\n "é🦊"}\n'.encode(), b"[1, 2]", b"<html>"])
def test_a_document_is_one_event_at_the_end(body: bytes) -> None:
    text = body.replace(BOM, b"").decode()
    for pieces in all_cuts(body):
        assert read(iter_json, pieces) == ([("message", text, "")], [0] * len(pieces)), pieces


@pytest.mark.parametrize("body", [b"", b" \r\n\t", BOM])
@pytest.mark.parametrize("reader", [iter_json, iter_json_array, iter_json_lines, iter_sse])
def test_a_blank_body_has_no_events(reader: Reader, body: bytes) -> None:
    assert list(reader([body])) == []


def test_a_document_may_be_as_long_as_the_limit() -> None:
    assert data_of(iter_json([b"[1,", b"2]"], max_line=5)) == ["[1,2]"]
    with pytest.raises(BadResponseError):
        list(iter_json([b"[1,", b"2]"], max_line=4))


# A JSON array, bit by bit


def test_the_elements_of_an_array_are_the_same_wherever_the_body_is_cut() -> None:
    for pieces in all_cuts(ARRAY):
        assert data_of(iter_json_array(pieces)) == ELEMENTS, pieces


def test_an_object_in_an_array_is_out_before_the_next_block_is_asked_for() -> None:
    body = b'[{"a": "}"},\n{"b": [{}]}]'
    ends = [body.index(b",\n"), len(body) - 1]
    for place in range(len(body) + 1):
        assert read(iter_json_array, cut(body, place))[1] == [sum(end <= place for end in ends), 2], place


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"[]", []),
        (b"[ ]\n", []),
        (b"[[1], [[2]]]", ["[1]", "[[2]]"]),
        (b"[1,2 , 3]", ["1", "2", "3"]),
        (b'{"error": {"code": [1, 2]}}', ['{"error": {"code": [1, 2]}}']),
        (b'{"a": 1}\n{"b": 2}', ['{"a": 1}', '{"b": 2}']),
        (b'[{"a": 1}', ['{"a": 1}']),
        (b'[{"a": 1}, {"b', ['{"a": 1}', '{"b']),
        (b"<html>", ["<html>"]),
        (b'["\\u005c\\\\", "\\""]', ['"\\u005c\\\\"', '"\\""']),
        (b"]]}[1]", ["[1]"]),
        (b"[1] [2]", ["1", "[2]"]),
    ],
)
def test_elements_are_taken_as_they_are(body: bytes, records: list[str]) -> None:
    for pieces in all_cuts(body):
        assert data_of(iter_json_array(pieces)) == records, pieces


@pytest.mark.parametrize("body", [b'["ab","abcd"]', b'["ab","abcd', b'["ab",     '])
def test_an_element_over_the_limit_is_an_error_once_those_before_it_are_out(body: bytes) -> None:
    for pieces in all_cuts(body):
        events = iter_json_array(pieces, max_line=4)
        assert next(events).data == '"ab"'
        with pytest.raises(BadResponseError):
            next(events)


# Plain text


def test_text_is_handed_out_as_far_as_its_characters_are_complete() -> None:
    body = BOM + "é\r\n🦊\u2028x".encode()
    for pieces in all_cuts(body):
        assert "".join(data_of(iter_text(pieces))) == "é\r\n🦊\u2028x", pieces


def test_a_piece_of_text_is_out_before_the_next_block_is_asked_for() -> None:
    assert read(iter_text, [b"a", b"b\xc3", b"\xa9", b"\xc3"])[1] == [1, 2, 3, 3]


@pytest.mark.parametrize(("body", "text"), [(b"a\xc3", "a\ufffd"), (b"\xffa", "\ufffda"), (b"\xf0\x9f", "\ufffd")])
def test_bytes_that_are_no_character_are_replaced(body: bytes, text: str) -> None:
    for pieces in all_cuts(body):
        assert "".join(data_of(iter_text(pieces))) == text, pieces


def test_the_limit_of_a_line_does_not_hold_for_text() -> None:
    assert data_of(iter_text([b"long text"], max_line=2)) == ["long text"]


# Lines of text after `data: `


def test_data_lines_are_the_same_and_at_once_wherever_the_body_is_cut() -> None:
    for pieces in all_cuts(DATA_LINES):
        events, counts = read(iter_data_lines, pieces)
        assert events == data_lines_of(DATA_LINES), pieces
        assert counts == [
            len(data_lines_of(b"".join(pieces[: index + 1]), ended=False)) for index in range(len(pieces))
        ], pieces


def test_a_data_line_keeps_its_leading_spaces_and_its_cr() -> None:
    assert data_of(iter_data_lines([b"data:   a\r\ndata:b\ndata: \ndata: \r\n"])) == ["  a\r", "\r"]


def test_a_data_line_ends_at_no_cr() -> None:
    assert data_of(iter_data_lines([b"data: a\rdata: b\n"])) == ["a\rdata: b"]


def test_an_error_object_between_data_lines_is_an_event_of_type_json() -> None:
    events, _ = read(iter_data_lines, [b'data: a\n{"error": "No."}\n{"x": 1}\n'])
    assert events == [("message", "a", ""), ("json", '{"error": "No."}', "")]


# Reading an event as JSON


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


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000])
def test_json_nested_too_deeply_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="nested"):
        Event(text).json()


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
    assert isinstance(caught.value, ValueError)
    assert type(pickle.loads(pickle.dumps(caught.value))) is type(caught.value)


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


# Every reader


@pytest.mark.parametrize(
    ("reader", "before", "block"),
    [
        (iter_lines, b"0123456789", b"0123456789"),
        (iter_sse, b"data: 7890", b"\ndata: 890"),
        (iter_sse, b": ping\n890", b"\n: ping\n90"),
        (iter_json_lines, b"{123456789", b"0123456789"),
        (iter_json, b"{123456789", b"0123456789"),
        (iter_json_array, b'[{"3456789', b"0123456789"),
        (iter_data_lines, b"data: 7890", b"0123456789"),
    ],
)
def test_a_record_that_never_ends_is_given_up_at_the_limit(reader: Reader, before: bytes, block: bytes) -> None:
    blocks = chain([before], repeat(block, 20))
    with pytest.raises(BadResponseError, match="more than 98 bytes"):
        list(reader(blocks, max_line=98))
    assert len(list(blocks)) == 11


@pytest.mark.parametrize("reader", READERS)
def test_nothing_is_read_before_the_first_event_is_asked_for(reader: Reader) -> None:
    reader(pytest.fail("read too early") for _ in range(1))


@pytest.mark.parametrize("reader", READERS)
def test_an_error_of_the_network_passes_through(reader: Reader) -> None:
    def broken() -> Iterator[bytes]:
        yield b"{"
        raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        list(reader(broken()))


@pytest.mark.parametrize(
    ("reader", "before", "after"),
    [
        (iter_sse, "data: ", "\n\n"),
        (iter_sse, "event: x\r\ndata: ", "\r\n\r\n"),
        (iter_json_lines, "", "\n"),
        (iter_json, "", ""),
        (iter_json_array, "[", "]"),
        (iter_data_lines, "data: ", "\n"),
    ],
)
def test_ten_megabytes_in_one_record_arrive_whole(reader: Reader, before: str, after: str) -> None:
    record = json.dumps({"image": "iVBOR/+=" * 1_310_720})
    body = (before + record + after).encode()
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    assert data_of(reader(pieces)) == [record]
