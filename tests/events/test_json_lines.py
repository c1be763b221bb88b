"""JSON records come out whole, as soon as they are complete and however the body is cut."""

from __future__ import annotations

import pytest
from event_rules import BOM, all_cuts, cut, data_of, json_lines_of, read

from aichatkit.errors import BadResponseError
from aichatkit.events import iter_json, iter_json_array, iter_json_lines

JSON_LINES = BOM + '{"a": "é\u2028🦊"}\r\n\n \t\n{"b": [1, 2]}\rdata: {"c": 3}\ndata:4\nno json\ndata: \n{"d"'.encode()
ELEMENTS = ['{"a": "}],\\"[{é🦊"}', '{"b": [{}, [1, 2]], "c\\\\": "\\\\"}', "[3]", '"x,]"', "4", "null"]
ARRAY = ("[" + ELEMENTS[0] + ",\r\n" + " , ".join(ELEMENTS[1:]) + "\n]\n").encode()


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
