"""Bytes -> events where only the start of a body tells its form: a stream was asked for, one JSON document came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Callable

from aichatkit.events import MAX_LINE, Event, iter_data_lines, iter_json, iter_sse

__all__ = ["iter_data_lines_or_json", "iter_sse_or_json"]


def iter_sse_or_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield server-sent events, or the one event of a body that is a JSON document.

    >>> [event.data for event in iter_sse_or_json([b'{"a"', b': 1}'])]
    ['{"a": 1}']
    """
    return _iter_by_start(iter_sse, blocks, max_line)


def iter_data_lines_or_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield what follows `data: ` on each line, or the one event, of type "json", of a body that is a JSON document."""
    return _iter_by_start(iter_data_lines, blocks, max_line)


def _iter_by_start(
    otherwise: Callable[..., Iterator[Event]], blocks: Iterable[bytes], max_line: int
) -> Iterator[Event]:
    """Choose by the first byte that is neither white space nor a byte order mark."""
    blocks = iter(blocks)
    seen: list[bytes] = []
    for block in blocks:
        seen.append(block)
        start = b"".join(seen).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start:
            if start in b"{[":
                return _typed(iter_json(chain(seen, blocks), max_line=max_line))
            break
    return otherwise(chain(seen, blocks), max_line=max_line)


def _typed(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        event.type = "json"
        yield event
