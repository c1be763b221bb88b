"""Bytes -> lines -> events: read server-sent events, JSON lines, JSON and plain text.

Every reader takes the blocks of a body as they come, bytes in UTF-8, and hands out each event before it
asks for the next block. A record that grows past `max_line` bytes is a `BadResponseError`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from aichatkit.errors import StreamInterruptedError
from aichatkit.events.lines import MAX_LINE, drop_bom, iter_lines, iter_stretches, too_long

__all__ = [
    "MAX_LINE",
    "Event",
    "iter_data_lines",
    "iter_json",
    "iter_json_array",
    "iter_json_lines",
    "iter_lines",
    "iter_sse",
    "iter_text",
]

_SPACE = " \t\r\n"
_UNREAD: Any = object()
#: How most streams end: it looks like a list, and the parser takes long to say why it is none.
_DONE = "[DONE]"

# `json.loads` looks for white space and an encoding each time; both are settled here.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class Event:
    """One decoded record of a body: its text in `data`, and for server-sent events `type` and `id`."""

    __slots__ = ("_value", "data", "id", "type")

    def __init__(self, data: str, type: str = "message", id: str = "") -> None:
        self.data = data
        self.type = type
        self.id = id
        self._value = _UNREAD

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.data!r}, type={self.type!r}, id={self.id!r})"

    def json(self) -> Any:
        """Return `data` read as JSON, the same object each time; raise ValueError when it is none.

        >>> Event('{"text": "Hi"}').json()
        {'text': 'Hi'}
        """
        value = self._value
        if value is _UNREAD:
            data = self.data
            try:
                value, end = _scan(data, 0)
            except (ValueError, RecursionError, StopIteration):
                end = -1
            self._value = value = value if end == len(data) else self._read()
        return value

    def _read(self) -> Any:
        # Only white space around the record, or a record that is no JSON, leads here.
        if self.data == _DONE:
            raise json.JSONDecodeError("Expecting value", self.data, 1)
        try:
            return json.loads(self.data.strip(_SPACE))
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None


class _LastEvent(Event):
    """What the body ended in without the end of a record: often complete, else cut off."""

    __slots__ = ()

    def _read(self) -> Any:
        try:
            return super()._read()
        except ValueError as error:
            if not self.data.lstrip(_SPACE).startswith("{"):
                raise
            raise _CutRecordError("the answer ended in the middle of a record") from error


class _CutRecordError(StreamInterruptedError, ValueError):
    """The answer broke off inside a JSON record; a ValueError too, as `Event.json` promises."""


def iter_sse(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield server-sent events (WHATWG HTML, 9.2.6), also a last one that lacks its blank line.

    Events without data are not handed out; comments, `retry` and unknown fields are skipped.
    `max_line` bounds a whole event, comments and all.

    >>> list(iter_sse([b'event: error\ndata: {"co', b'de": 1}\n\n: ping\n\ndata: [DONE]']))
    [Event('{"code": 1}', type='error', id=''), _LastEvent('[DONE]', type='message', id='')]
    """
    last_id = ""
    for text, whole in iter_stretches(blocks, b"\n\n", max_line):
        make = Event if whole else _LastEvent
        at, size = 0, len(text)
        while at < size:
            start, end = at, text.find("\n", at)
            # Nearly every event is one line of data, with or without a type before it.
            kind = "message"
            if text[at] == "e" and text[at : at + 7] == "event: ":
                kind = text[at + 7 : end] or kind
                start, end = end + 1, text.find("\n", end + 1)
            if text[start : start + 5] == "data:" and text[end + 1] == "\n":
                start += 6 if text[start + 5] == " " else 5
                yield make(text[start:end], kind, last_id)
                at = end + 2
            elif end == at:
                at += 1
            else:
                end = text.find("\n\n", at)
                data, kind, last_id = _read_fields(text[at:end].split("\n"), last_id)
                if data is not None:
                    yield make(data, kind, last_id)
                at = end + 2


def iter_json_lines(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield one event for each line that is not blank, without the prefix `data:` if it has one.

    >>> [event.json() for event in iter_json_lines([b'{"n": 1}\n\n{"n"', b": 2}"])]
    [{'n': 1}, {'n': 2}]
    """
    for text, whole in iter_stretches(blocks, b"\n", max_line):
        make = Event if whole else _LastEvent
        for line in text.split("\n"):
            if line[:5] == "data:":
                line = line[6:] if line[5:6] == " " else line[5:]
            if line.strip(_SPACE):
                yield make(line)


def iter_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield the whole body as one event when it has ended, and nothing for a blank body."""
    body = bytearray()
    for block in drop_bom(blocks):
        body += block
        if len(body) > max_line:
            raise too_long(max_line)
    text = body.decode("utf-8", "replace")
    if text.strip(_SPACE):
        yield _LastEvent(text)


def iter_json_array(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield each element of a JSON array as soon as it is complete.

    A body that is an object and no array, as errors are, is one event.

    >>> [event.data for event in iter_json_array([b'[{"n": [1,', b' 2]},\n{"n": "}', b'"}', b"]"])]
    ['{"n": [1, 2]}', '{"n": "}"}']
    """
    brackets = _Brackets()
    element = bytearray()
    for block in drop_bom(blocks):
        done = 0
        for end, following in brackets.cuts(block):
            element += block[done:end]
            done = following
            if text := _element_text(element, max_line):
                yield Event(text)
            element.clear()
        element += block[done:]
        if len(element) > max_line:
            raise too_long(max_line)
    if text := _element_text(element, max_line):
        yield _LastEvent(text)


def iter_text(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield plain text as it comes, one event for each block that completes a character.

    There are no lines to bound here, so `max_line` has no effect; bound the whole answer instead.

    >>> [event.data for event in iter_text([b"caf\xc3", b"\xa9!\n", b"\xe2"])]
    ['caf', 'é!\n', '\ufffd']
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for block in drop_bom(blocks):
        if piece := decoder.decode(block):
            yield Event(piece)
    if piece := decoder.decode(b"", True):
        yield Event(piece)


def iter_data_lines(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield the rest of each line that starts with exactly `data: ` and is longer.

    These are no server-sent events: only LF ends a line, so spaces and CR after the prefix stay.
    A line that is the start of an error object is an event of type "json"; all others are skipped.

    >>> [event.data for event in iter_data_lines([b"data: a\ndata:  b\r\ndata:c\ndata: \n"])]
    ['a', ' b\r']
    """
    for text, _ in iter_stretches(blocks, b"\n", max_line, any_end=False):
        for line in text.split("\n"):
            if line[:6] == "data: " and len(line) > 6:
                yield Event(line[6:])
            elif line[:8] == '{"error"':
                yield Event(line, "json")


def _read_fields(lines: list[str], last_id: str) -> tuple[str | None, str, str]:
    data: list[str] = []
    kind = "message"
    for line in lines:
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if field == "data":
            data.append(value)
        elif field == "event":
            kind = value or "message"
        elif field == "id" and "\0" not in value:
            last_id = value
    return "\n".join(data) if data else None, kind, last_id


class _Brackets:
    """Follows JSON through blocks, looking at each byte once, and tells where elements end."""

    def __init__(self) -> None:
        self._at = 0
        self._depth = 0
        self._in_array = False
        self._in_string = False
        self._inside, self._outside = re.compile(rb'["\\]'), re.compile(rb'["\[\]{},]')

    def cuts(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each element of `block` ends and where what follows it starts."""
        while match := (self._inside if self._in_string else self._outside).search(block, self._at):
            sign, self._at = match.group(), match.end()
            if sign == b"\\":
                self._at += 1
            elif sign == b'"':
                self._in_string = not self._in_string
            elif self._is_between(sign):
                self._in_array = True
                yield match.start(), match.end()
            elif sign in b"[{":
                self._depth += 1
            elif sign in b"]}":
                self._depth -= 1
                if not self._depth:
                    yield match.end(), match.end()
        # A backslash that ended the block escapes the first byte of the next one.
        self._at = max(0, self._at - len(block))

    def _is_between(self, sign: bytes) -> bool:
        return not self._depth and (sign in b",]}" or (sign == b"[" and not self._in_array))


def _element_text(element: bytearray, max_line: int) -> str:
    if len(element) > max_line:
        raise too_long(max_line)
    return element.decode("utf-8", "replace").strip(_SPACE)
