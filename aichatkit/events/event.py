"""Record -> event: one decoded record of a response body, its JSON parsed on demand."""

from __future__ import annotations

import json
from typing import Any

from aichatkit.errors import StreamInterruptedError

__all__ = ["JSON_WHITESPACE", "Event", "TrailingEvent"]

JSON_WHITESPACE = " \t\r\n"

_UNPARSED: Any = object()
#: The end marker of most streams. It starts like a list, and the JSON parser is slow to reject it.
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
            raise _CutRecordError("the answer ended in the middle of a record") from error


class _CutRecordError(StreamInterruptedError, ValueError):
    """The response ended inside a JSON record; also a ValueError, as `Event.json` promises."""
