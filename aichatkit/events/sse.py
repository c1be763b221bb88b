"""Bytes -> events: server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aichatkit.events.event import Event, TrailingEvent
from aichatkit.events.lines import MAX_LINE, iter_stretches

__all__ = ["iter_sse"]


def iter_sse(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield server-sent events (WHATWG HTML, 9.2.6), also a last one that lacks its blank line.

    Events without data are not handed out; comments, `retry` and unknown fields are skipped.
    `max_line` bounds a whole event, comments and all.

    >>> list(iter_sse([b'event: error\ndata: {"co', b'de": 1}\n\n: ping\n\ndata: [DONE]']))
    [Event('{"code": 1}', type='error', id=''), TrailingEvent('[DONE]', type='message', id='')]
    """
    last_id = ""
    for text, whole in iter_stretches(blocks, b"\n\n", max_line):
        make = Event if whole else TrailingEvent
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
