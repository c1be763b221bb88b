"""Bytes of a stream of MCP messages -> events, with the IDs and waits that say how to resume it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aichatkit._dataclasses import NamedTuple
from aichatkit.events.lines import iter_lines
from aichatkit.tools.mcp.messages import MAX_MESSAGE

__all__ = ["StreamEvent", "iter_events"]


class StreamEvent(NamedTuple):
    """One server-sent event; `id` and `retry` (in milliseconds) are None if it has none."""

    data: str
    type: str = "message"
    id: str | None = None
    retry: int | None = None


def iter_events(blocks: Iterable[bytes]) -> Iterator[StreamEvent]:
    r"""Yield the server-sent events of a stream, also those with an ID and no data.

    >>> list(iter_events([b": ping\n\nid: 7\nretry: 500\ndata:\n\ndata: {}\n\n"]))[0]
    StreamEvent(data='', type='message', id='7', retry=500)
    """
    fields: dict[str, list[str]] = {}
    for line in iter_lines(blocks, max_line=MAX_MESSAGE):
        if line:
            name, _, value = line.partition(":")
            # Of these three the last one counts, as in browsers.
            fields.setdefault(name, []).append(value[1:] if value.startswith(" ") else value)
            continue
        if event := _event_of(fields):
            yield event
        fields = {}
    # Some servers end the stream without the last blank line.
    if event := _event_of(fields):
        yield event


def _event_of(fields: dict[str, list[str]]) -> StreamEvent | None:
    known = {name: values for name, values in fields.items() if name in ("data", "event", "id", "retry")}
    if not known:
        return None
    retry = known.get("retry", [""])[-1]
    return StreamEvent(
        "\n".join(known.get("data", ())),
        known.get("event", ["message"])[-1] or "message",
        known.get("id", [None])[-1],
        int(retry) if retry.isascii() and retry.isdigit() else None,
    )
