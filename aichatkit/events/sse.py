"""Bytes -> events: server-sent events, and the event that every reader yields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from aichatkit.errors import StreamInterruptedError
from aichatkit.events.lines import MAX_LINE, iter_runs

__all__ = ["JSON_WHITESPACE", "Event", "TrailingEvent", "iter_sse"]

JSON_WHITESPACE = " \t\r\n"

_UNPARSED: Any = object()
#: The end marker of most streams. It looks like the start of a list, which the JSON parser is slow to reject.
_DONE = "[DONE]"

# `json.loads` also checks for whitespace and detects the encoding on every call; neither is needed here.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class Event:
    """One decoded record of a body: its text in `data`; server-sent events also have `type` and `id`."""

    __slots__ = ("_value", "data", "id", "type")

    def __init__(self, data: str, type: str = "message", id: str = "") -> None:
        self.data = data
        self.type = type
        self.id = id
        self._value = _UNPARSED

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.data!r}, type={self.type!r}, id={self.id!r})"

    def json(self) -> Any:
        """Return `data` parsed as JSON, the same object on every call; raise ValueError if it is invalid.

        >>> Event('{"text": "Hi"}').json()
        {'text': 'Hi'}
        """
        value = self._value
        if value is _UNPARSED:
            data = self.data
            try:
                value, end = _scan(data, 0)
            except (ValueError, RecursionError, StopIteration):
                end = -1
            self._value = value = value if end == len(data) else self._parse()
        return value

    def _parse(self) -> Any:
        # Only reached for whitespace around the record, or for a record that is not JSON.
        if self.data == _DONE:
            raise json.JSONDecodeError("Expecting value", self.data, 1)
        try:
            return json.loads(self.data.strip(JSON_WHITESPACE))
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None


class TrailingEvent(Event):
    """The last record of a body that ended without a delimiter: often complete, otherwise truncated."""

    __slots__ = ()

    def _parse(self) -> Any:
        try:
            return super()._parse()
        except ValueError as error:
            if not self.data.lstrip(JSON_WHITESPACE).startswith("{"):
                raise
            raise _TruncatedRecordError("the answer ended in the middle of a record") from error


def iter_sse(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield server-sent events (WHATWG HTML, 9.2.6), including a last one without its blank line.

    Events without data, comments, `retry` and unknown fields are skipped.
    `max_line` limits the entire event, comments included.

    >>> list(iter_sse([b'event: error\ndata: {"co', b'de": 1}\n\n: ping\n\ndata: [DONE]']))
    [Event('{"code": 1}', type='error', id=''), TrailingEvent('[DONE]', type='message', id='')]
    """
    last_id = ""
    for text, terminated in iter_runs(blocks, b"\n\n", max_line):
        event_cls = Event if terminated else TrailingEvent
        position, size = 0, len(text)
        while position < size:
            start, end = position, text.find("\n", position)
            # Fast path: nearly every event is a single data line, optionally preceded by its type.
            event_type = "message"
            if text[position] == "e" and text[position : position + 7] == "event: ":
                event_type = text[position + 7 : end] or event_type
                start, end = end + 1, text.find("\n", end + 1)
            if text[start : start + 5] == "data:" and text[end + 1] == "\n":
                start += 6 if text[start + 5] == " " else 5
                yield event_cls(text[start:end], event_type, last_id)
                position = end + 2
            elif end == position:
                position += 1
            else:
                end = text.find("\n\n", position)
                data, event_type, last_id = _parse_fields(text[position:end].split("\n"), last_id)
                if data is not None:
                    yield event_cls(data, event_type, last_id)
                position = end + 2


class _TruncatedRecordError(StreamInterruptedError, ValueError):
    """The response ended inside a JSON record; also a ValueError, as `Event.json` promises."""


def _parse_fields(lines: list[str], last_id: str) -> tuple[str | None, str, str]:
    data: list[str] = []
    event_type = "message"
    for line in lines:
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if field == "data":
            data.append(value)
        elif field == "event":
            event_type = value or "message"
        elif field == "id" and "\0" not in value:
            last_id = value
    return "\n".join(data) if data else None, event_type, last_id
