"""An event reads its JSON once, and says what is wrong with it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Callable

import pytest

from aichatkit.errors import StreamInterruptedError
from aichatkit.events import Event, iter_json, iter_json_array, iter_json_lines, iter_sse

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
