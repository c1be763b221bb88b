"""Connection -> request, and response -> connection: the subset of HTTP/1.1 that the sandbox needs."""

from __future__ import annotations

import email.utils
import http
import re
import urllib.parse
from collections.abc import Callable, Generator

from aichatkit._version import __version__
from aichatkit.sandbox.exchange import APIError, Headers, Piece, Request, Response, json_response
from aichatkit.sandbox.server import Connection

MAX_BODY = 64 * 1024 * 1024
_MAX_HEADERS = 200
_CLOSE = [("Connection", "close")]


def serve_requests(connection: Connection, respond: Callable[[Request], Response]) -> None:
    """Serve the requests of one connection in sequence, for as long as it is kept alive."""
    keep_alive = True
    while keep_alive:
        try:
            request = read_request(connection)
        except (ValueError, APIError) as error:
            status = getattr(error, "status", 400)
            write_response(connection, json_response({"error": {"message": str(error)}}, status, _CLOSE))
            return
        response = respond(request)
        keep_alive = write_response(connection, response, request) and keeps_alive(request)


def read_request(connection: Connection) -> Request:
    """Read one request with its body; raise `ValueError` or `APIError` if it is malformed or too large."""
    line = connection.read_line() or connection.read_line()
    method, target, version = line.decode("latin-1").split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"the version {version!r} is not HTTP/1")
    headers = _read_headers(connection)
    if headers.get("expect", "").lower() == "100-continue":
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = _read_body(connection, headers)
    # A client that uses the sandbox as a proxy sends an absolute URL.
    path, _, query_string = re.sub(r"^https?://[^/]*", "", target).partition("?")
    query = dict(urllib.parse.parse_qsl(query_string, keep_blank_values=True))
    return Request(method, path, query, headers, body, connection.number, version, target=target)


def keeps_alive(request: Request) -> bool:
    """Return whether the client wants to keep the connection alive."""
    header = request.headers.get("connection", "").lower()
    return "close" not in header if request.version == "HTTP/1.1" else "keep-alive" in header


def write_response(connection: Connection, response: Response, request: Request | None = None) -> bool:
    """Send a response piece by piece; return whether the connection can be reused."""
    for step in response_steps(response, request):
        if isinstance(step, bytes):
            connection.send(step)
        elif isinstance(step, str):
            connection.reset()
        else:
            connection.wait(step)
    return not response.ending and response.framing != "raw"


def response_steps(response: Response, request: Request | None = None) -> Generator[bytes | float | str, None, None]:
    """Yield the steps of sending a response: bytes to send, seconds to wait, and "reset" for a connection reset."""
    yield response.pause
    if request is not None and request.version == "HTTP/1.0" and response.framing == "chunked":
        response.framing = "raw"
    yield _head(response) if response.head is None else response.head
    if request is None or request.method != "HEAD":
        for piece in response.pieces:
            yield piece.pause
            yield _frame(piece) if response.framing == "chunked" else piece.data
    if response.ending == "reset":
        yield "reset"
    elif response.framing == "chunked" and response.ending != "cut":
        yield b"0\r\n\r\n"


def _read_headers(connection: Connection) -> Headers:
    fields: list[tuple[str, str]] = []
    while line := connection.read_line().decode("latin-1"):
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise ValueError("a header line is not valid")
        fields.append((name, value.strip()))
        if len(fields) > _MAX_HEADERS:
            raise ValueError("there are too many headers")
    return Headers(fields)


def _read_body(connection: Connection, headers: Headers) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _read_chunks(connection)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise ValueError("the content length is not a number")
    if int(length) > MAX_BODY:
        raise APIError("too-large")
    return connection.read(int(length))


def _read_chunks(connection: Connection) -> bytes:
    body = bytearray()
    while size := int(connection.read_line().partition(b";")[0], 16):
        if len(body) + size > MAX_BODY:
            raise APIError("too-large")
        body += connection.read(size)
        connection.read_line()
    while connection.read_line():
        continue
    return bytes(body)


def _head(response: Response) -> bytes:
    headers = [("Date", email.utils.formatdate(usegmt=True)), ("Server", f"aichatkit-sandbox/{__version__}")]
    headers += response.headers
    if response.framing == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
    elif response.framing == "length":
        length = len(response.body) if response.length is None else response.length
        headers.append(("Content-Length", str(length)))
    else:
        headers.append(("Connection", "close"))
    lines = [
        f"HTTP/1.1 {response.status} {_reason_phrase(response.status)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reason_phrase(status: int) -> str:
    phrases = {entry.value: entry.phrase for entry in http.HTTPStatus}
    return phrases.get(status, "Unknown")


def _frame(piece: Piece) -> bytes:
    # An empty chunk would end the body.
    if not piece.data:
        return b""
    end = b"" if piece.missing else b"\r\n"
    return b"%x\r\n%b%b" % (len(piece.data) + piece.missing, piece.data, end)
