"""Bytes -> events: server-sent events, and the event that every reader yields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.errors import StreamInterruptedError
from aichatkit.events.lines import MAX_LINE, iter_runs

if TYPE_CHECKING:
    from aichatkit.classification import rules
else:
    # Few streams have lines of a web page.
    rules = lazy_module("aichatkit.classification.rules")

__all__ = ["JSON_WHITESPACE", "Event", "TrailingEvent", "is_json", "iter_sse"]

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

        The last record of a body that was cut off raises `StreamInterruptedError` instead.

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
            # A JSONDecodeError would count the lines of the text first.
            raise ValueError("Expecting value: line 1 column 2 (char 1)")
        try:
            return json.loads(self.data.strip(JSON_WHITESPACE))
        except RecursionError as error:
            raise ValueError("the JSON is nested too deeply") from error


class TrailingEvent(Event):
    """The last record of a body that ended without a delimiter: often complete, otherwise truncated."""

    __slots__ = ()

    def _parse(self) -> Any:
        try:
            return super()._parse()
        except ValueError as error:
            if not self.data.lstrip(JSON_WHITESPACE).startswith("{"):
                raise
            if isinstance(error.__cause__, RecursionError):
                raise
            raise StreamInterruptedError("the answer ended in the middle of a record") from error


def iter_sse(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield server-sent events (WHATWG HTML, 9.2.6), including a last one without its blank line.

    Events without data, or with blank data, comments, `retry` and unknown fields are skipped.
    Some gateways break the rules: a line that is a JSON object is an event, the field `error` is an event of type
    "error", and a `data:` line with JSON after a complete record starts a new event.
    `max_line` limits the entire event, comments included.

    >>> list(iter_sse([b'event: error\ndata: {"co', b'de": 1}\n\n: ping\n\ndata: [DONE]']))
    [Event('{"code": 1}', type='error', id=''), TrailingEvent('[DONE]', type='message', id='')]
    >>> list(iter_sse([b'error: it broke\n\n']))
    [Event('it broke', type='error', id='')]
    """
    block = _Block()
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
                if end - start > 8 or event_type == "error" or text[start:end].strip():
                    yield event_cls(text[start:end], event_type, block.last_id)
                position = end + 2
            elif end == position:
                position += 1
            else:
                end = text.find("\n\n", position)
                yield from block.iter_events(text[position:end].split("\n"), event_cls)
                position = end + 2


class _Block:
    """Parses the lines up to a blank line, and remembers the last ID."""

    def __init__(self) -> None:
        self.last_id = ""

    def iter_events(self, lines: list[str], event_cls: type[Event]) -> Iterator[Event]:
        """Yield the events of the lines: usually one, several if a gateway left out the blank lines."""
        self._type = "message"
        data: list[str] = []
        bare: list[str] = []
        for line in lines:
            field, _, value = line.partition(":")
            value = value[1:] if value[:1] == " " else value
            if bare and field not in ("data", "event"):
                bare.append(line)
                if is_json("\n".join(bare)):
                    yield self._event(bare, event_cls)
            elif line.lstrip(JSON_WHITESPACE)[:1] == "{":
                bare.append(line)
                if is_json(line):
                    yield self._event(bare, event_cls)
            elif field == "data":
                if data and value[:1] in ("{", "[") and is_json("\n".join(data)):
                    yield self._event(data, event_cls)
                data.append(value)
            elif field == "event":
                self._type = value or "message"
            elif field in ("error", "Error", "ERROR"):
                yield event_cls(value, "error", self.last_id)
            elif line[:1] == "<" and rules.is_html("", line.encode()):
                yield event_cls(line, "error", self.last_id)
            elif field == "id" and "\0" not in value:
                self.last_id = value
        for rest in (data, bare):
            if "".join(rest).strip() or (rest and self._type == "error"):
                yield self._event(rest, event_cls)

    def _event(self, lines: list[str], event_cls: type[Event]) -> Event:
        event = event_cls("\n".join(lines), self._type, self.last_id)
        lines.clear()
        return event


def is_json(text: str) -> bool:
    """Return whether a text is valid JSON."""
    try:
        Event(text).json()
    except ValueError:
        return False
    return True
