"""Bytes -> events: a JSON document, or a stream of JSON records, as gateways write JSON in many ways."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Callable

from aichatkit.errors import StreamInterruptedError
from aichatkit.events.json_lines import iter_json_lines
from aichatkit.events.lines import MAX_LINE, drop_bom, iter_runs, too_long_error
from aichatkit.events.sse import JSON_WHITESPACE, Event, TrailingEvent, is_json

__all__ = ["iter_document", "iter_json_lines_or_document", "iter_records"]

_SPACE = b" \t\r\n"


def iter_document(
    blocks: Iterable[bytes], *, max_line: int = MAX_LINE, iter_rest: Callable[..., Iterator[Event]]
) -> Iterator[Event]:
    """Yield a JSON body as one event of type "json" once it has ended.

    If the first line is a complete JSON value and more than white space follows it, the body is not a document but a
    stream of records, which `iter_rest` reads.

    >>> [(event.data, event.type) for event in iter_document([b'{"a":', b' 1}'], iter_rest=iter_records)]
    [('{"a": 1}', 'json')]
    >>> [(event.data, event.type) for event in iter_document([b'{"a": 1}\\n{', b'"a": 2}'], iter_rest=iter_records)]
    [('{"a": 1}', 'message'), ('{"a": 2}', 'message')]
    """
    blocks = drop_bom(blocks)
    body = bytearray()
    is_record = False
    end = -1
    for block in blocks:
        size = len(body)
        body += block
        if end < 0 and (end := _end_of_first_line(body, size)) >= 0:
            is_record = is_json(body[:end].decode("utf-8", "replace"))
        if is_record and body[end:].strip(_SPACE):
            yield from iter_rest(chain((bytes(body),), blocks), max_line=max_line)
            return
        if len(body) > max_line:
            raise too_long_error(max_line)
    yield from _iter_whole(body.decode("utf-8", "replace"), max_line, iter_rest)


def iter_records(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield one event per non-blank line, with or without the field name of a server-sent event.

    >>> [(event.data, event.type) for event in iter_records([b'{"n": 1}\n: ping\n\ndata: {"n": 2}\nerror: no'])]
    [('{"n": 1}', 'message'), ('{"n": 2}', 'message'), ('no', 'error')]
    """
    event_type = "message"
    for text, terminated in iter_runs(blocks, b"\n", max_line):
        event_cls = Event if terminated else TrailingEvent
        for line in text[:-1].split("\n"):
            field, _, value = line.partition(":")
            value = value.strip(JSON_WHITESPACE)
            if field == "event":
                event_type = value or "message"
            elif field == "error":
                yield event_cls(value, "error")
            elif field not in ("", "id", "retry"):
                data = value if field == "data" else line
                if data.strip(JSON_WHITESPACE):
                    yield event_cls(data, event_type)
            elif not line:
                event_type = "message"


def iter_json_lines_or_document(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield one event per line, or a JSON document of several lines as one event.

    >>> [event.json() for event in iter_json_lines_or_document([b'{\n "n"', b": 1\n}"])]
    [{'n': 1}]
    """
    blocks = drop_bom(blocks)
    start = bytearray()
    for block in blocks:
        size = len(start)
        start += block
        if (end := _end_of_first_line(start, size)) >= 0 or len(start) > max_line:
            break
    else:
        end = len(start)
    rest = chain((bytes(start),), blocks)
    if start.lstrip(_SPACE)[:1] != b"{" or is_json(start[:end].decode("utf-8", "replace")):
        return iter_json_lines(rest, max_line=max_line)
    return iter_document(rest, max_line=max_line, iter_rest=iter_json_lines)


def _iter_whole(text: str, max_line: int, iter_rest: Callable[..., Iterator[Event]]) -> Iterator[Event]:
    event = TrailingEvent(text, "json")
    try:
        event.json()
    except (ValueError, StreamInterruptedError):
        end = _end_of_first_value(text)
        if end:
            yield Event(text[:end], "json")
            yield from iter_rest([text[end:].encode()], max_line=max_line)
            return
    yield event


def _end_of_first_line(body: bytearray, start: int) -> int:
    """Return the end of the first non-blank line, -1 if it is incomplete; search for a line end from `start`."""
    if body.find(b"\n", start) < 0:
        return -1
    return body.find(b"\n", len(body) - len(body.lstrip(_SPACE)))


def _end_of_first_value(text: str) -> int:
    start = len(text) - len(text.lstrip(JSON_WHITESPACE))
    try:
        return json.JSONDecoder().raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return 0
