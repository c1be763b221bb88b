"""Bytes -> events: server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aichatkit.events.event import Event, TrailingEvent
from aichatkit.events.lines import MAX_LINE, iter_runs

__all__ = ["iter_sse"]


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
