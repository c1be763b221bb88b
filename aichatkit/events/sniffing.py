"""Bytes -> events where only the start of a body tells its form: a stream or text was due, a JSON document came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Callable

from aichatkit.events.event import Event
from aichatkit.events.json_lines import iter_json, iter_json_array
from aichatkit.events.lines import MAX_LINE, drop_bom
from aichatkit.events.plain import iter_data_lines, iter_text
from aichatkit.events.sse import iter_sse

__all__ = ["iter_data_lines_or_json", "iter_sse_or_json", "iter_sse_or_json_array", "iter_text_or_error"]

_ERROR = b'{"error"'


def iter_sse_or_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield server-sent events, or the one event of a body that is a JSON document.

    >>> [event.data for event in iter_sse_or_json([b'{"a"', b': 1}'])]
    ['{"a": 1}']
    """
    return _iter_by_start(iter_sse, blocks, max_line)


def iter_sse_or_json_array(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield server-sent events, or each element, of type "json", of a body that is a JSON array; an object is one.

    >>> [event.data for event in iter_sse_or_json_array([b'[{"a"', b': 1}, {"a": 2}]'])]
    ['{"a": 1}', '{"a": 2}']
    """
    return _iter_by_start(iter_sse, blocks, max_line, document=iter_json_array)


def iter_data_lines_or_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield what follows `data: ` on each line, or the one event, of type "json", of a body that is a JSON document."""
    return _iter_by_start(iter_data_lines, blocks, max_line)


def iter_text_or_error(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield plain text as it comes, or the one event, of type "json", of a body that is an error object alone.

    Text is held back only while it could still be the start of such an object.

    >>> [event.type for event in iter_text_or_error([b'{"er', b'ror": {"message": "No."}}'])]
    ['json']
    >>> [event.data for event in iter_text_or_error([b'{"er', b'a": 1}'])]
    ['{"er', 'a": 1}']
    """
    blocks = drop_bom(blocks)
    seen: list[bytes] = []
    start = b""
    for block in blocks:
        seen.append(block)
        start = b"".join(b"".join(seen).split())[: len(_ERROR)]
        if start == _ERROR or not _ERROR.startswith(start):
            break
    if start != _ERROR:
        return iter_text(chain(seen, blocks), max_line=max_line)
    return _text_or_error(iter_json(chain(seen, blocks), max_line=max_line))


def _iter_by_start(
    otherwise: Callable[..., Iterator[Event]],
    blocks: Iterable[bytes],
    max_line: int,
    document: Callable[..., Iterator[Event]] = iter_json,
) -> Iterator[Event]:
    """Choose by the first byte that is neither white space nor a byte order mark."""
    blocks = iter(blocks)
    seen: list[bytes] = []
    for block in blocks:
        seen.append(block)
        start = b"".join(seen).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start:
            if start in b"{[":
                return _typed(document(chain(seen, blocks), max_line=max_line))
            break
    return otherwise(chain(seen, blocks), max_line=max_line)


def _text_or_error(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        try:
            record = event.json()
        except ValueError:
            record = None
        alone = isinstance(record, dict) and list(record) == ["error"] and isinstance(record["error"], dict)
        yield Event(event.data, "json" if alone else "message")


def _typed(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        event.type = "json"
        yield event
