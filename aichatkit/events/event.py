"""Record -> event: one decoded record of a response body, its JSON parsed on demand."""

from __future__ import annotations

import json
from typing import Any

from aichatkit.errors import StreamInterruptedError

__all__ = ["JSON_WHITESPACE", "Event", "TrailingEvent"]

JSON_WHITESPACE = " \t\r\n"

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
            return json.loads(self.data.strip(JSON_WHITESPACE))
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None


class TrailingEvent(Event):
    """What the body ended in without the end of a record: often complete, else cut off."""

    __slots__ = ()

    def _read(self) -> Any:
        try:
            return super()._read()
        except ValueError as error:
            if not self.data.lstrip(JSON_WHITESPACE).startswith("{"):
                raise
            raise _CutRecordError("the answer ended in the middle of a record") from error


class _CutRecordError(StreamInterruptedError, ValueError):
    """The answer broke off inside a JSON record; a ValueError too, as `Event.json` promises."""
