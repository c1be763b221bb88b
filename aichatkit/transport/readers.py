"""Response -> bytes: one block at a time, as soon as it is there, however the body is framed.

Four ways to read, chosen once per response, all with the same bytes out: where `http.client` can be reached, a decoder
of our own for chunked bodies and its `read1` for others; the public `raw.read1` of newer urllib3; `iter_content(1)`.
The obvious ways hold text back: `iter_lines` and larger blocks wait for more, `iter_content(None)` for the end.
"""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Callable

import requests

from aichatkit.transport.chunked import Chunked, is_chunked
from aichatkit.transport.response_heads import is_known

__all__ = ["BLOCK", "find_socket", "mime_type", "pick_reader", "shut_down"]

#: Bytes asked for at a time; what is there comes at once, so this is only an upper bound.
BLOCK = 65536
#: Decoded bytes handed on at a time, so that a small compressed body cannot fill the memory.
_INFLATED = 1 << 20

Reader = Callable[[], bytes]


def pick_reader(response: requests.Response) -> tuple[Reader, Any]:
    """Return a function that gives the next block (empty at the end), and whose framing must be checked, if any."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    raw = response.raw
    inner: Any = getattr(raw, "_fp", None)
    deflated = encoding in ("gzip", "x-gzip", "deflate")
    if encoding in ("", "identity") or deflated:
        # Plain text keeps the pieces it was sent in, and what precedes damage in a compressed body is not lost with it.
        if is_chunked(inner) and not deflated and _holds_records(response.headers):
            body = Chunked(inner, BLOCK)
            return body.read, body
        if is_known(inner):
            return _decoded(partial(inner.read1, BLOCK), deflated), inner
        if hasattr(raw, "read1"):
            return _decoded(_public_read1(raw), deflated), None
    # A double may hold its content and nothing to read it from.
    pieces = iter([response.content or b""]) if raw is None else response.iter_content(1)
    return partial(next, pieces, b""), None


def find_socket(raw: Any) -> socket.socket | None:
    """Return the socket a response is read from; doubles and replayed answers have none."""
    # A body that ends with the connection has already left its connection object: the file still knows the socket.
    file = getattr(getattr(raw, "_fp", None), "fp", None)
    found = getattr(getattr(file, "raw", None), "_sock", None)
    if found is None:
        found = getattr(getattr(raw, "_connection", None), "sock", None)
    return found if hasattr(found, "settimeout") else None


def shut_down(sock: socket.socket) -> None:
    """Wake whoever reads from the socket; closing it would not."""
    try:
        if isinstance(sock, ssl.SSLSocket):
            # Its own method would take the TLS state away under the reader.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        else:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side was faster
        return


def mime_type(headers: Mapping[str, str]) -> str:
    """Return the Content-Type in lower case without its parameters, "" if there is none."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _holds_records(headers: Mapping[str, str]) -> bool:
    """Tell whether a body of this type holds records, which mean the same however they are cut."""
    kind = mime_type(headers)
    return kind.startswith("text/event-stream") or (kind.startswith("application/") and "json" in kind)


def _public_read1(raw: Any) -> Reader:
    if hasattr(raw, "decode_content"):
        return partial(raw.read1, BLOCK, decode_content=False)
    return partial(raw.read1, BLOCK)


def _decoded(read: Reader, deflated: bool) -> Reader:
    if not deflated:
        return read
    return partial(next, _inflate(read), b"")


def _inflate(read: Reader) -> Iterator[bytes]:
    # 47: zlib or gzip, told by the first bytes.
    decoder = zlib.decompressobj(47)
    while True:
        block = read()
        if not block:
            if not decoder.eof:
                raise EOFError("compressed body ended early")
            return
        while block:
            piece = decoder.decompress(block, _INFLATED)
            if piece:
                yield piece
            block = decoder.unconsumed_tail
