"""Bytes -> events: detect the format from the start of a body, as JSON may arrive instead of a stream or text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Callable

from aichatkit._lazy import lazy_module
from aichatkit.errors import StreamInterruptedError
from aichatkit.events.json_lines import iter_json, iter_json_array
from aichatkit.events.lines import MAX_LINE, drop_bom
from aichatkit.events.plain import iter_data_lines, iter_text
from aichatkit.events.sse import Event, iter_sse

if TYPE_CHECKING:
    from aichatkit.events import documents
else:
    # Few streams are documents.
    documents = lazy_module("aichatkit.events.documents")

__all__ = ["iter_data_lines_or_json", "iter_sse_or_json", "iter_sse_or_json_array", "iter_text_or_error"]

_ERROR = b'{"error"'
_BOM_OR_SPACE = b"\xef\xbb\xbf \t\r\n"


def iter_sse_or_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield server-sent events, or a JSON body as one event of type "json", or one event per JSON record.

    >>> [event.data for event in iter_sse_or_json([b'{"a"', b': 1}'])]
    ['{"a": 1}']
    """
    return _iter_stream_or_document(iter_sse, blocks, max_line)


def iter_sse_or_json_array(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield server-sent events, each element of a JSON array, or a JSON object as one event of type "json".

    An element alone does not end the answer; only the last one may.

    >>> [event.data for event in iter_sse_or_json_array([b'[{"a"', b': 1}, {"a": 2}]'])]
    ['{"a": 1}', '{"a": 2}']
    """
    return _iter_stream_or_document(iter_sse, blocks, max_line, iter_array=iter_json_array)


def iter_data_lines_or_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield the text after `data: ` on each line, or a JSON body as one event of type "json"."""
    return _iter_stream_or_document(iter_data_lines, blocks, max_line, iter_rest=iter_data_lines)


def iter_text_or_error(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield plain text as it arrives, or a body that is just an error object as one event of type "json".

    Text is held back only as long as it could still be the start of such an object.

    >>> [event.type for event in iter_text_or_error([b'{"er', b'ror": {"message": "No."}}'])]
    ['json']
    >>> [event.data for event in iter_text_or_error([b'{"er', b'a": 1}'])]
    ['{"er', 'a": 1}']
    """
    blocks = drop_bom(blocks)
    buffered: list[bytes] = []
    start = b""
    for block in blocks:
        buffered.append(block)
        start = b"".join(b"".join(buffered).split())[: len(_ERROR)]
        if start == _ERROR or not _ERROR.startswith(start):
            break
    if start != _ERROR:
        return iter_text(chain(buffered, blocks), max_line=max_line)
    return _mark_if_error(iter_json(chain(buffered, blocks), max_line=max_line))


def _iter_stream_or_document(
    iter_stream: Callable[..., Iterator[Event]],
    blocks: Iterable[bytes],
    max_line: int,
    *,
    iter_rest: Callable[..., Iterator[Event]] | None = None,
    iter_array: Callable[..., Iterator[Event]] | None = None,
) -> Iterator[Event]:
    """Detect a JSON document from the first byte that is neither whitespace nor part of a byte order mark."""
    blocks = iter(blocks)
    buffered: list[bytes] = []
    for block in blocks:
        buffered.append(block)
        start = b"".join(buffered).lstrip(_BOM_OR_SPACE)[:1]
        if start == b"[" and iter_array is not None:
            return iter_array(chain(buffered, blocks), max_line=max_line)
        if start and start in b"{[":
            iter_rest = iter_rest or documents.iter_records
            return documents.iter_document(chain(buffered, blocks), max_line=max_line, iter_rest=iter_rest)
        if start:
            break
    return iter_stream(chain(buffered, blocks), max_line=max_line)


def _mark_if_error(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        try:
            record = event.json()
        except (ValueError, StreamInterruptedError):
            record = None
        is_error = isinstance(record, dict) and list(record) == ["error"] and isinstance(record["error"], dict)
        yield Event(event.data, "json" if is_error else "message")
