"""Bytes -> lines: split a body into lines or records, whatever the block boundaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from aichatkit.errors import BadResponseError

__all__ = ["MAX_LINE", "drop_bom", "iter_lines", "iter_runs", "too_long_error"]

#: The longest line or record, in bytes; images arrive as base64 on a single line.
MAX_LINE = 32 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_CR = 13


def iter_lines(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[str]:
    r"""Yield the lines of a body without their line endings, each as soon as it is complete.

    A line ends at LF, CR or CRLF (WHATWG HTML, 9.2.6), not at the other separators `str.splitlines` knows.
    The body is decoded as UTF-8 whatever the headers say; a leading byte order mark is dropped.
    Raises `BadResponseError` for a line longer than `max_line` bytes.

    >>> list(iter_lines([b"one\r", b"\ntwo\rthr", b"ee"]))
    ['one', 'two', 'three']
    """
    for text, _ in iter_runs(blocks, b"\n", max_line):
        yield from text[:-1].split("\n")


def iter_runs(
    blocks: Iterable[bytes], delimiter: bytes, max_line: int, *, universal_newlines: bool = True
) -> Iterator[tuple[str, bool]]:
    r"""Yield runs of complete records as text, each record with its `delimiter`, and True.

    An unterminated record at the end of the body comes last, with `delimiter` appended, and False.
    With `universal_newlines`, CR and CRLF become LF before `delimiter` is searched for.
    Raises `BadResponseError` for a record longer than `max_line` bytes, after yielding those before it.

    >>> list(iter_runs([b"a\n\nb\r\n\r", b"\nc"], b"\n\n", 80))
    [('a\n\nb\n\n', True), ('c\n\n', False)]
    """
    pending = bytearray()
    after_cr = False
    for block in drop_bom(blocks):
        # Looking for the integer is nine times as fast as looking for the byte string.
        if universal_newlines and (after_cr or _CR in block):
            block, after_cr = _normalize_newlines(block, after_cr)
        if not pending and len(block) <= max_line and block.endswith(delimiter):
            yield block.decode("utf-8", "replace"), True
            continue
        # Each byte is searched once; only a delimiter split across blocks needs a step back.
        start = max(0, len(pending) - len(delimiter) + 1)
        pending += block
        end = pending.rfind(delimiter, start) + len(delimiter)
        if end >= len(delimiter):
            complete = pending[:end]
            del pending[:end]
            yield from _iter_within_limit(complete, delimiter, max_line, True)
        if len(pending) >= max_line + len(delimiter):
            raise too_long_error(max_line)
    if pending:
        yield from _iter_within_limit(pending + delimiter, delimiter, max_line, False)


def drop_bom(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Drop a leading byte order mark, even one split across blocks.

    >>> b"".join(drop_bom([b"\xef", b"\xbb\xbfa", b"b"]))
    b'ab'
    """
    rest = iter(blocks)
    head = b""
    for block in rest:
        head += block
        if not _BOM.startswith(head):
            break
    return chain((head[len(_BOM) :] if head.startswith(_BOM) else head,), rest)


def too_long_error(max_line: int) -> BadResponseError:
    """Build the error for a record that exceeds the limit."""
    return BadResponseError(f"the answer holds a line or record of more than {max_line} bytes")


def _normalize_newlines(block: bytes, after_cr: bool) -> tuple[bytes, bool]:
    # A CR ends its line immediately; the LF of the same CRLF may be the first byte of the next block.
    ends_in_cr = block.endswith(b"\r") if block else after_cr
    if after_cr and block.startswith(b"\n"):
        block = block[1:]
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), ends_in_cr


def _iter_within_limit(
    data: bytearray, delimiter: bytes, max_line: int, terminated: bool
) -> Iterator[tuple[str, bool]]:
    if len(data) <= max_line:
        yield data.decode("utf-8", "replace"), terminated
        return
    for record in data[: -len(delimiter)].split(delimiter):
        if len(record) > max_line:
            raise too_long_error(max_line)
        yield (record + delimiter).decode("utf-8", "replace"), terminated
