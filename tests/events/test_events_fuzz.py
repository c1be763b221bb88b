"""Whatever the bytes and however they are cut: the same events, and no error but the package's own."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from event_rules import cut, json_lines_of, lines_of, read, sse_of, text_of

from aichatkit import events
from aichatkit.errors import ChatError, StreamInterruptedError

hypothesis = pytest.importorskip("hypothesis")
pytestmark = pytest.mark.slow
st = pytest.importorskip("hypothesis.strategies")

BOUNDED = hypothesis.settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
PIECES = [
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b":",
    b"\0",
    b"\xef\xbb\xbf",
    "é🦊\u2028\x85".encode(),
    b"\xf0\x9f",
]
PIECES += [
    b"data: ",
    b"data:",
    b"data",
    b"event: ",
    b"event",
    b"id: ",
    b"id",
    b"retry: 1",
    b": ping",
    b"error: ",
    b"[DONE]",
]
PIECES += [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b'"',
    b"\\",
    b'{"a": "b"}',
    b'{"a": [1, {"b": "]"}]}',
    b"1",
    b'data: {"a": 1}\n\n',
]
BODIES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=25).map(b"".join)
PLACES = st.lists(st.integers(0, 120), max_size=8)
READERS = [
    events.iter_sse,
    events.iter_json_lines,
    events.iter_json,
    events.iter_json_array,
    events.iter_data_lines,
    events.iter_lines,
]


def outcome(reader: Callable[..., Any], pieces: list[bytes], max_line: int) -> list[Any]:
    """Return what came out, and last the kind of the error if there was one."""
    out: list[Any] = []
    try:
        for event in reader(pieces, max_line=max_line):
            out.append(event if isinstance(event, str) else (event.type, event.data, event.id))
    except ChatError as error:
        out.append(type(error))
    return out


@pytest.mark.parametrize("reader", READERS)
@hypothesis.given(body=BODIES, places=PLACES)
@BOUNDED
def test_events_do_not_depend_on_the_cuts(reader: Callable[..., Any], body: bytes, places: list[int]) -> None:
    assert outcome(reader, cut(body, *places), 1000) == outcome(reader, [body], 1000)


@pytest.mark.parametrize("reader", [one for one in READERS if one is not events.iter_sse])
@hypothesis.given(body=BODIES, places=PLACES, max_line=st.integers(1, 30))
@BOUNDED
def test_the_limit_does_not_depend_on_the_cuts(
    reader: Callable[..., Any], body: bytes, places: list[int], max_line: int
) -> None:
    assert outcome(reader, cut(body, *places), max_line) == outcome(reader, [body], max_line)


@hypothesis.given(body=BODIES, places=PLACES)
@BOUNDED
def test_events_and_lines_follow_the_plain_rules(body: bytes, places: list[int]) -> None:
    pieces = cut(body, *places)
    assert read(events.iter_sse, pieces)[0] == sse_of(body)
    assert read(events.iter_json_lines, pieces)[0] == json_lines_of(body)
    lines = lines_of(body)
    assert read(events.iter_lines, pieces)[0] == (lines if lines[-1] else lines[:-1])
    assert "".join(event.data for event in events.iter_text(pieces)) == text_of(body)


@hypothesis.given(body=BODIES, places=PLACES)
@BOUNDED
def test_complete_events_never_wait_for_the_next_block(body: bytes, places: list[int]) -> None:
    pieces = cut(body, *places)
    complete = [len(sse_of(b"".join(pieces[: index + 1]), ended=False)) for index in range(len(pieces))]
    assert read(events.iter_sse, pieces)[1] == complete


@pytest.mark.parametrize("reader", [*READERS[:-1], events.iter_text])
@hypothesis.given(body=BODIES)
@BOUNDED
def test_reading_an_event_as_json_works_or_is_a_value_error(reader: Callable[..., Any], body: bytes) -> None:
    for event in reader([body]):
        try:
            event.json()
        except (ValueError, StreamInterruptedError):
            continue
