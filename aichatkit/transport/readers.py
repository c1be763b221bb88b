"""Response -> bytes: one block at a time, as soon as it arrives, whatever the framing of the body.

Each response is read in one of four ways, all with the same result. If `http.client` is accessible: our own decoder for
chunked bodies, and its `read1` for others. Otherwise: the public `raw.read1` of newer urllib3, or `iter_content(1)`.
The obvious ways delay text: `iter_lines` and larger blocks wait for more data, `iter_content(None)` for the end.
"""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Callable

import requests

from aichatkit.transport.chunked import ChunkedBody, is_chunked
from aichatkit.transport.response_heads import is_http_client_response

__all__ = ["BLOCK", "find_socket", "mime_type", "pick_reader", "shut_down"]

#: Bytes requested per read; only an upper bound, as reads return what has arrived.
BLOCK = 65536
#: Decompressed bytes returned at a time, so that a small compressed body cannot exhaust the memory.
_MAX_INFLATED = 1 << 20

Reader = Callable[[], bytes]


def pick_reader(response: requests.Response) -> tuple[Reader, Any]:
    """Return a function that reads the next block, empty at the end, and the object that knows the framing, if any.

    The caller checks that object for a truncated body.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    raw = response.raw
    inner: Any = getattr(raw, "_fp", None)
    is_compressed = encoding in ("gzip", "x-gzip", "deflate")
    if encoding in ("", "identity") or is_compressed:
        # `ChunkedBody` joins chunks, so it only reads records: plain text keeps the pieces it was sent in, and the data
        # before the damaged part of a compressed body is not lost.
        if is_chunked(inner) and not is_compressed and _holds_records(response.headers):
            body = ChunkedBody(inner, BLOCK)
            return body.read, body
        if is_http_client_response(inner):
            return _decoding_reader(partial(inner.read1, BLOCK), is_compressed), inner
        if hasattr(raw, "read1"):
            return _decoding_reader(_public_read1(raw), is_compressed), None
    # A test double may have content but no raw response to read it from.
    blocks = iter([response.content or b""]) if raw is None else response.iter_content(1)
    return partial(next, blocks, b""), None


def find_socket(raw: Any) -> socket.socket | None:
    """Return the socket a response is read from; test doubles and replayed responses have none."""
    # A response that ends with the connection has been detached from it, but its file still has the socket.
    file = getattr(getattr(raw, "_fp", None), "fp", None)
    sock = getattr(getattr(file, "raw", None), "_sock", None)
    if sock is None:
        sock = getattr(getattr(raw, "_connection", None), "sock", None)
    return sock if hasattr(sock, "settimeout") else None


def shut_down(sock: socket.socket) -> None:
    """Wake a thread that is reading from the socket; closing it would not."""
    try:
        if isinstance(sock, ssl.SSLSocket):
            # Its own method would discard the TLS state while the reader still uses it.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        else:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side closed first
        return


def mime_type(headers: Mapping[str, str]) -> str:
    """Return the Content-Type in lower case without its parameters, or "" if there is none."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _holds_records(headers: Mapping[str, str]) -> bool:
    """Return whether the body consists of records, so that block boundaries do not matter."""
    content_type = mime_type(headers)
    return content_type.startswith("text/event-stream") or (
        content_type.startswith("application/") and "json" in content_type
    )


def _public_read1(raw: Any) -> Reader:
    if hasattr(raw, "decode_content"):
        return partial(raw.read1, BLOCK, decode_content=False)
    return partial(raw.read1, BLOCK)


def _decoding_reader(read: Reader, is_compressed: bool) -> Reader:
    if not is_compressed:
        return read
    return partial(next, _inflate(read), b"")


def _inflate(read: Reader) -> Iterator[bytes]:
    # 47: zlib or gzip, detected from the first bytes.
    decoder = zlib.decompressobj(47)
    while True:
        block = read()
        if not block:
            if not decoder.eof:
                raise EOFError("compressed body ended early")
            return
        while block:
            data = decoder.decompress(block, _MAX_INFLATED)
            if data:
                yield data
            block = decoder.unconsumed_tail
