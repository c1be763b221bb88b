"""Response -> bytes: decode chunked bodies, returning all chunks received so far in one read.

`http.client` returns one chunk per call and reads the socket about twice for each; streams send a chunk per event.
"""

from __future__ import annotations

import http.client
import io
from typing import Any

from aichatkit.transport.response_heads import is_http_client_response

__all__ = ["ChunkedBody", "is_chunked"]

#: The longest chunk-size line and the longest trailer, in bytes; the limits of `http.client`.
_MAX_LINE = 65536


def is_chunked(raw: Any) -> bool:
    """Return whether a raw response is a chunked one of `http.client` with its body unread."""
    return (
        is_http_client_response(raw)
        and raw.chunked is True
        and raw.chunk_left is None
        and type(raw.fp) is io.BufferedReader
    )


class ChunkedBody:
    """The body of one chunked response (RFC 9112, 7.1); `read` returns what has arrived, even part of a chunk.

    `reusable` becomes true once the entire body has been read and nothing follows it: the connection can be reused.
    """

    def __init__(self, raw: Any, size: int) -> None:
        self.reusable = False
        self._read1 = raw.fp.read1
        self._size = size
        #: Bytes of the current chunk still to be received.
        self._remaining = 0
        #: The start of the next chunk-size line, including the CRLF that ends the chunk before it.
        self._buffer = b"\r\n"
        self._in_trailer = False
        self._damaged = False

    def read(self) -> bytes:
        """Return the next bytes, none at the end; raise IncompleteRead if the body is truncated or malformed."""
        if self._damaged:
            raise http.client.IncompleteRead(b"")
        while not self._in_trailer:
            block = self._read1(self._size)
            if not block:
                raise http.client.IncompleteRead(b"", self._remaining or None)
            data = self._decode(block)
            if data:
                return data
        while not self.reusable and (block := self._read_trailer()):
            self._buffer += block
        return b""

    @property
    def end_received(self) -> bool:
        """Whether the end of the body has been received, so that no further read is needed."""
        return self._in_trailer and self._buffer == b"\r\n"

    def _decode(self, block: bytes) -> bytes:
        remaining = self._remaining
        if not remaining:
            block = self._buffer + block
        parts, position, size = [], 0, len(block)
        while True:
            if remaining:
                parts.append(block[position : position + remaining])
                position += remaining
                if position > size:
                    self._remaining = position - size
                    break
            newline = block.find(b"\n", position + 2)
            try:
                if newline < 0:
                    self._remaining, self._buffer = 0, self._bounded(block[position:])
                    break
                remaining = _parse_size(block[position:newline])
            except http.client.IncompleteRead:
                # Return the data decoded before the malformed part first.
                if not parts:
                    raise
                self._damaged = True
                break
            position = newline + 1
            if not remaining:
                self._in_trailer, self._buffer = True, block[position:]
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_trailer(self) -> bytes:
        """Look for the empty line after the last chunk; return the next bytes read, none once it is found."""
        position = 0
        while (newline := self._buffer.find(b"\n", position)) >= 0:
            if newline - position <= 1 and self._buffer[position:newline] in (b"", b"\r"):
                # Stray bytes after the body must not be read as the next response.
                self.reusable = newline + 1 == len(self._buffer)
                return b""
            position = newline + 1
        self._bounded(self._buffer)
        # Some servers close without the empty line; the body is complete anyway.
        return bytes(self._read1(self._size))

    def _bounded(self, line: bytes) -> bytes:
        if len(line) > _MAX_LINE:
            raise http.client.IncompleteRead(b"")
        return line


def _parse_size(line: bytes) -> int:
    try:
        size = int(line[2:].partition(b";")[0], 16)
    except ValueError:
        size = -1
    if size < 0 or line[:2] != b"\r\n":
        raise http.client.IncompleteRead(b"")
    return size
