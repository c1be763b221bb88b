"""Response -> bytes: take a body out of its HTTP chunks, as many of them at a time as have come.

`http.client` hands out one chunk for each call and asks the socket about twice for it; streams send a chunk per event.
"""

from __future__ import annotations

import http.client
import io
from typing import Any

from aichatkit.transport.response_heads import is_known

__all__ = ["Chunked", "is_chunked"]

#: The longest line that tells a size, and the longest trailer, in bytes: the limits of `http.client`.
_MAX_LINE = 65536


def is_chunked(inner: Any) -> bool:
    """Tell whether a response of `http.client` is the real one, chunked, and not read from yet."""
    return (
        is_known(inner) and inner.chunked is True and inner.chunk_left is None and type(inner.fp) is io.BufferedReader
    )


class Chunked:
    """The body of one chunked response (RFC 9112, 7.1); `read` gives what is there, without waiting for whole chunks.

    `reusable` tells at the end whether nothing but the body came, so that the connection may be kept.
    """

    def __init__(self, inner: Any, size: int) -> None:
        self.reusable = False
        self._read1 = inner.fp.read1
        self._size = size
        #: Bytes of the present chunk that are still to come.
        self._left = 0
        #: What came of the line before the next chunk; the CR LF that ends a chunk is the start of it.
        self._held = b"\r\n"
        self._ending = False
        self._damaged = False

    def read(self) -> bytes:
        """Return the next bytes, none at the end; raise IncompleteRead where the body is cut off or damaged."""
        if self._damaged:
            raise http.client.IncompleteRead(b"")
        while not self._ending:
            block = self._read1(self._size)
            if not block:
                raise http.client.IncompleteRead(b"")
            data = self._take(block)
            if data:
                return data
        while not self.reusable and (block := self._end()):
            self._held += block
        return b""

    @property
    def in_hand(self) -> bool:
        """Whether the end of the body is known without another look at the socket."""
        return self._ending and self._held == b"\r\n"

    def _take(self, block: bytes) -> bytes:
        left = self._left
        if not left:
            block = self._held + block
        pieces, at, size = [], 0, len(block)
        while True:
            if left:
                pieces.append(block[at : at + left])
                at += left
                if at > size:
                    self._left = at - size
                    break
            stop = block.find(b"\n", at + 2)
            try:
                if stop < 0:
                    self._left, self._held = 0, self._bounded(block[at:])
                    break
                left = _size_of(block[at:stop])
            except http.client.IncompleteRead:
                # What came whole before the damage is handed out first.
                if not pieces:
                    raise
                self._damaged = True
                break
            at = stop + 1
            if not left:
                self._ending, self._held = True, block[at:]
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end(self) -> bytes:
        """Look for the empty line after the last chunk; return what came instead, nothing once it is found."""
        at = 0
        while (stop := self._held.find(b"\n", at)) >= 0:
            if stop - at <= 1 and self._held[at:stop] in (b"", b"\r"):
                # Bytes that nobody asked for must not be taken for the next answer.
                self.reusable = stop + 1 == len(self._held)
                return b""
            at = stop + 1
        self._bounded(self._held)
        # Some servers leave without the empty line; the body is whole all the same.
        return bytes(self._read1(self._size))

    def _bounded(self, line: bytes) -> bytes:
        if len(line) > _MAX_LINE:
            raise http.client.IncompleteRead(b"")
        return line


def _size_of(line: bytes) -> int:
    try:
        size = int(line[2:].partition(b";")[0], 16)
    except ValueError:
        size = -1
    if size < 0 or line[:2] != b"\r\n":
        raise http.client.IncompleteRead(b"")
    return size
