"""Bytes -> lines: cut a body into lines or records, however the network cut it into blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from aichatkit.errors import BadResponseError

__all__ = ["MAX_LINE", "drop_bom", "iter_lines", "iter_stretches", "too_long"]

#: The longest line or record, in bytes: pictures travel as base64 inside one line.
MAX_LINE = 32 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_CR = 13


def iter_lines(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[str]:
    r"""Yield the lines of a body without their ends, each as soon as its end is there.

    A line ends at LF, CR or CRLF (WHATWG HTML, 9.2.6), never at what else `str.splitlines` knows.
    Bytes are UTF-8 whatever the headers say; a leading byte order mark is dropped.
    Raises `BadResponseError` at a line of more than `max_line` bytes.

    >>> list(iter_lines([b"one\r", b"\ntwo\rthr", b"ee"]))
    ['one', 'two', 'three']
    """
    for text, _ in iter_stretches(blocks, b"\n", max_line):
        yield from text[:-1].split("\n")


def iter_stretches(
    blocks: Iterable[bytes], mark: bytes, max_line: int, *, any_end: bool = True
) -> Iterator[tuple[str, bool]]:
    r"""Yield text that holds whole records only, each ended by `mark`, and True.

    What is left at the end of the body comes last, ended by `mark` too, with False.
    With `any_end` the line ends CR and CRLF become LF before `mark` is looked for.
    Raises `BadResponseError` at a record of more than `max_line` bytes, once those before it are out.

    >>> list(iter_stretches([b"a\n\nb\r\n\r", b"\nc"], b"\n\n", 80))
    [('a\n\nb\n\n', True), ('c\n\n', False)]
    """
    pending = bytearray()
    after_cr = False
    for block in drop_bom(blocks):
        # Asking for the number is nine times as fast as asking for the byte string.
        if any_end and (after_cr or _CR in block):
            block, after_cr = _with_lf(block, after_cr)
        if not pending and len(block) <= max_line and block.endswith(mark):
            yield block.decode("utf-8", "replace"), True
            continue
        # Each byte is looked at once; only a mark cut in two needs a step back.
        start = max(0, len(pending) - len(mark) + 1)
        pending += block
        end = pending.rfind(mark, start) + len(mark)
        if end >= len(mark):
            whole = pending[:end]
            del pending[:end]
            yield from _bounded(whole, mark, max_line, True)
        if len(pending) >= max_line + len(mark):
            raise too_long(max_line)
    if pending:
        yield from _bounded(pending + mark, mark, max_line, False)


def drop_bom(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Drop a leading byte order mark, also one that comes in pieces.

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


def too_long(max_line: int) -> BadResponseError:
    """Make the error for a record that is longer than allowed."""
    return BadResponseError(f"the answer holds a line or record of more than {max_line} bytes")


def _with_lf(block: bytes, after_cr: bool) -> tuple[bytes, bool]:
    # A CR ends its line at once; the LF of the same CRLF may be the first byte of the next block.
    ends_in_cr = block.endswith(b"\r") if block else after_cr
    if after_cr and block.startswith(b"\n"):
        block = block[1:]
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), ends_in_cr


def _bounded(data: bytearray, mark: bytes, max_line: int, whole: bool) -> Iterator[tuple[str, bool]]:
    if len(data) <= max_line:
        yield data.decode("utf-8", "replace"), whole
        return
    for record in data[: -len(mark)].split(mark):
        if len(record) > max_line:
            raise too_long(max_line)
        yield (record + mark).decode("utf-8", "replace"), whole
