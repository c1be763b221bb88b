"""Response -> bytes: one block at a time, as soon as it arrives, whatever the framing of the body.

Each response is read in one of four ways, all with the same result. If `http.client` is accessible: our own decoder for
chunked bodies, and its `read1` for others. Otherwise: the public `raw.read1` of newer urllib3, or `iter_content(1)`.
The obvious ways delay text: `iter_lines` and larger blocks wait for more data, `iter_content(None)` for the end.
In a browser, a fifth: see `browser`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

import requests
import urllib3

from aichatkit._lazy import lazy_module
from aichatkit.transport.chunked import ChunkedBody, is_chunked
from aichatkit.transport.encodings import INFLATED, UnknownEncodingError, encoding_of, inflate, unknown_framing
from aichatkit.transport.response_heads import is_http_client_response
from aichatkit.transport.timeouts import Deadline

if TYPE_CHECKING:
    from aichatkit.transport import browser
else:
    # Only needed for responses that are not of `http.client`.
    browser = lazy_module("aichatkit.transport.browser")

__all__ = ["BLOCK", "bound_reads", "find_socket", "mime_type", "pick_reader", "shut_down"]

#: Bytes requested per read; only an upper bound, as reads return what has arrived.
BLOCK = 65536

Reader = Callable[[], bytes]


def pick_reader(response: requests.Response) -> tuple[Reader, Any]:
    """Return a function that reads the next block, empty at the end, and the object that knows the framing, if any.

    The caller checks that object for a truncated body.
    """
    headers, raw = response.headers, response.raw
    content: Any = getattr(response, "_content", False)
    if content is not False:
        # The user's hook or auth has read the body already; requests keeps the decoded content.
        return _blocks_reader([content or b""]), None
    inner: Any = getattr(raw, "_fp", None)
    is_inner_known = is_http_client_response(inner)
    if not is_inner_known and browser.is_browser_response(raw):
        is_stream = mime_type(headers) != "application/json"
        return _blocks_reader(browser.iter_blocks(response, BLOCK, is_stream=is_stream)), None
    encoding = encoding_of(headers)
    if is_inner_known and (framing := unknown_framing(headers)):
        return _refusing_reader(framing), None
    if not encoding:
        # `ChunkedBody` joins chunks, so it only reads records: plain text keeps the pieces it was sent in.
        if is_chunked(inner) and _holds_records(headers):
            body = ChunkedBody(inner, BLOCK)
            return body.read, body
    elif encoding not in INFLATED:
        if encoding not in urllib3.HTTPResponse.CONTENT_DECODERS:
            return _refusing_reader(encoding), None
        return _blocks_reader(response.iter_content(1)), None
    if is_inner_known:
        # Not `ChunkedBody`: the data before the damaged part of a compressed body is not lost.
        return _decoding_reader(partial(inner.read1, BLOCK), encoding), inner
    if hasattr(raw, "read1"):
        return _decoding_reader(_public_read1(raw), encoding, maybe_decoded=True), None
    # A test double may have content but no raw response to read it from.
    return _blocks_reader([response.content or b""] if raw is None else response.iter_content(1)), None


def find_socket(raw: Any) -> socket.socket | None:
    """Return the socket a response is read from; test doubles and replayed responses have none."""
    # A response that ends with the connection has been detached from it, but its file still has the socket.
    file = getattr(getattr(raw, "_fp", None), "fp", None)
    sock = getattr(getattr(file, "raw", None), "_sock", None)
    if sock is None:
        sock = getattr(getattr(raw, "_connection", None), "sock", None)
    return sock if hasattr(sock, "settimeout") else None


class _BoundedFile(socket.SocketIO):
    """A socket file whose reads end at a deadline, even if a few bytes keep arriving."""

    deadline: Deadline
    _sock: socket.socket

    def readinto(self, buffer: Any) -> int | None:
        remaining = self.deadline.remaining() or 0
        if remaining <= 0:
            raise socket.timeout("timed out")
        limit = self._sock.gettimeout()
        if limit is None or limit > remaining:
            self._sock.settimeout(remaining)
        return super().readinto(buffer)


def bound_reads(file: Any, deadline: Deadline) -> None:
    """Make every read of a response's file end at a deadline that has a limit; leave test doubles unchanged."""
    raw: Any = getattr(file, "raw", None)
    if type(raw) in (socket.SocketIO, _BoundedFile):
        # The buffered reader around it may hold data already, so it cannot be replaced.
        raw.__class__ = _BoundedFile
        raw.deadline = deadline


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


def _decoding_reader(read: Reader, encoding: str, *, maybe_decoded: bool = False) -> Reader:
    return _blocks_reader(inflate(read, encoding, maybe_decoded=maybe_decoded)) if encoding else read


def _blocks_reader(blocks: Iterable[bytes]) -> Reader:
    return partial(next, iter(blocks), b"")


def _refusing_reader(encoding: str) -> Reader:
    def refuse() -> bytes:
        raise UnknownEncodingError(encoding)

    return refuse
