"""Compressed bytes -> bytes: gzip with any number of members, deflate with or without a header, in limited pieces."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator, Mapping
from typing import Callable

__all__ = ["INFLATED", "UnknownEncodingError", "encoding_of", "inflate", "read_start", "unknown_framing"]

#: The encodings `inflate` decodes.
INFLATED = frozenset({"gzip", "x-gzip", "deflate"})
#: Maximum number of decompressed bytes returned at a time, so that a small compressed body cannot exhaust the memory.
_MAX_INFLATED = 1 << 20
#: Values that servers send for a body that is not encoded; some send the name of a character set.
_PLAIN = frozenset({"", "identity", "none", "7bit", "8bit", "binary", "chunked", "aws-chunked"})
_GZIP, _GZIP_WINDOW = b"\x1f\x8b", 31
#: A text of this many bytes is never valid as compressed data.
_TELLING = 64
#: First bytes of an encoded body, to detect one without a Content-Encoding; none of them is valid UTF-8.
_SIGNATURES = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_FIRST_BYTES = frozenset(signature[:1] for signature in _SIGNATURES)

Reader = Callable[[], bytes]


class UnknownEncodingError(ValueError):
    """A body has an encoding that cannot be decoded; the message is its name."""


def encoding_of(headers: Mapping[str, str]) -> str:
    """Return the encoding of a body, "" if there is none, or all of them joined by commas.

    >>> encoding_of({"Content-Encoding": "GZIP, identity"}), encoding_of({"Content-Encoding": "utf-8"})
    ('gzip', '')
    """
    value = headers.get("Content-Encoding", "")
    if not value:
        return ""
    names = [name.strip().lower() for name in value.split(",")]
    return ", ".join(name for name in names if name not in _PLAIN and not _is_charset(name))


def unknown_framing(headers: Mapping[str, str]) -> str:
    """Return the Transfer-Encoding if it is more than `chunked`, the only one `http.client` decodes; else "".

    >>> unknown_framing({"Transfer-Encoding": "gzip, chunked"}), unknown_framing({"Transfer-Encoding": "Chunked"})
    ('gzip, chunked', '')
    """
    value = headers.get("Transfer-Encoding", "").strip().lower()
    return "" if value in ("", "chunked", "identity") else value


def read_start(read: Reader) -> bytes:
    """Return the first block of a body without an encoding; raise UnknownEncodingError if it is encoded after all."""
    start = read()
    if start[:1] not in _FIRST_BYTES:
        return start
    while any(len(start) < len(signature) and signature.startswith(start) for signature in _SIGNATURES):
        block = read()
        if not block:
            break
        start += block
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            raise UnknownEncodingError(f"{name}, though its Content-Encoding does not say so")
    return start


def inflate(read: Reader, encoding: str, *, maybe_decoded: bool = False) -> Iterator[bytes]:
    """Yield the decompressed bytes of a body with all its gzip members.

    `maybe_decoded` passes a body through that is already decompressed: recorders keep the header with such bytes.
    """
    block = read()
    while len(block) == 1 and (more := read()):
        block += more
    if not block:
        return
    window = _window_of(block, encoding)
    # Without a zlib header it takes more bytes to detect data that is not compressed.
    while maybe_decoded and window < 0 and len(block) < _TELLING and (more := read()):
        block += more
    if maybe_decoded and not _fits(window, block):
        yield block
        yield from iter(read, b"")
        return
    while True:
        decoder = zlib.decompressobj(window)
        while not decoder.eof:
            block = block or read()
            data = decoder.decompress(block, _MAX_INFLATED) if block else decoder.flush()
            if data:
                yield data
            if not block and not decoder.eof:
                raise EOFError("compressed body ended early")
            block = decoder.unconsumed_tail
        # Servers that compress each event separately send many members; zeros may pad the space between two.
        block = decoder.unused_data.lstrip(b"\0")
        while len(block) < len(_GZIP) and _GZIP.startswith(block) and (more := read()):
            block = (block + more).lstrip(b"\0")
        if window != _GZIP_WINDOW or not block.startswith(_GZIP):
            return _discard(read)


def _window_of(start: bytes, encoding: str) -> int:
    """Return the zlib window for a body: many servers mix up the names, or send deflate without its header."""
    if start.startswith(_GZIP):
        return _GZIP_WINDOW
    if encoding != "deflate" or (start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0):
        return zlib.MAX_WBITS
    return -zlib.MAX_WBITS


def _fits(window: int, start: bytes) -> bool:
    try:
        zlib.decompressobj(window).decompress(start, _MAX_INFLATED)
    except zlib.error:
        return False
    return True


def _discard(read: Reader) -> None:
    """Read what follows a compressed body, as gzip does, so that the connection can be reused."""
    size = 0
    while block := read():
        size += len(block)
        if size > _MAX_INFLATED:
            raise zlib.error("too much data after the end of the compressed body")


def _is_charset(name: str) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False
