"""Connection -> request, and answer -> connection: the little HTTP/1.1 that the sandbox needs."""

from __future__ import annotations

import email.utils
import http
import re
import urllib.parse
from collections.abc import Callable, Generator

from aichatkit._version import __version__
from aichatkit.sandbox.exchange import Answer, Headers, Piece, Request, Trouble, json_answer
from aichatkit.sandbox.server import Connection

MAX_BODY = 64 * 1024 * 1024
_MAX_HEADERS = 200
_CLOSE = [("Connection", "close")]


def serve_requests(connection: Connection, respond: Callable[[Request], Answer]) -> None:
    """Answer the requests of one connection, one after the other, for as long as it is kept."""
    keep = True
    while keep:
        try:
            request = read_request(connection)
        except (ValueError, Trouble) as error:
            status = getattr(error, "status", 400)
            write_answer(connection, json_answer({"error": {"message": str(error)}}, status, _CLOSE))
            return
        answer = respond(request)
        keep = write_answer(connection, answer, request) and keeps_alive(request)


def read_request(connection: Connection) -> Request:
    """Read one request with its whole body; a `ValueError` or a `Trouble` tells what is wrong with it."""
    line = connection.read_line() or connection.read_line()
    method, target, version = line.decode("latin-1").split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"the version {version!r} is not HTTP/1")
    headers = _read_headers(connection)
    if headers.get("expect", "").lower() == "100-continue":
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = _read_body(connection, headers)
    # A client that takes this for a proxy sends the whole URL.
    path, _, query = re.sub(r"^https?://[^/]*", "", target).partition("?")
    fields = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    return Request(method, path, fields, headers, body, connection.number, version, target=target)


def keeps_alive(request: Request) -> bool:
    """Tell whether the client wants to go on using its connection."""
    wish = request.headers.get("connection", "").lower()
    return "close" not in wish if request.version == "HTTP/1.1" else "keep-alive" in wish


def write_answer(connection: Connection, answer: Answer, request: Request | None = None) -> bool:
    """Send an answer piece by piece; return whether the connection can be used again."""
    for step in answer_steps(answer, request):
        if isinstance(step, bytes):
            connection.send(step)
        elif isinstance(step, str):
            connection.reset()
        else:
            connection.wait(step)
    return not answer.ending and answer.framing != "raw"


def answer_steps(answer: Answer, request: Request | None = None) -> Generator[bytes | float | str, None, None]:
    """Yield what an answer is on the wire: bytes to send, seconds to wait, and "reset" where it breaks off so."""
    yield answer.pause
    if request is not None and request.version == "HTTP/1.0" and answer.framing == "chunked":
        answer.framing = "raw"
    yield _head(answer) if answer.head is None else answer.head
    if request is None or request.method != "HEAD":
        for piece in answer.pieces:
            yield piece.pause
            yield _framed(piece) if answer.framing == "chunked" else piece.data
    if answer.ending == "reset":
        yield "reset"
    elif answer.framing == "chunked" and answer.ending != "cut":
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
        raise Trouble("too-large")
    return connection.read(int(length))


def _read_chunks(connection: Connection) -> bytes:
    body = bytearray()
    while size := int(connection.read_line().partition(b";")[0], 16):
        if len(body) + size > MAX_BODY:
            raise Trouble("too-large")
        body += connection.read(size)
        connection.read_line()
    while connection.read_line():
        continue
    return bytes(body)


def _head(answer: Answer) -> bytes:
    headers = [("Date", email.utils.formatdate(usegmt=True)), ("Server", f"aichatkit-sandbox/{__version__}")]
    headers += answer.headers
    if answer.framing == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
    elif answer.framing == "length":
        length = len(answer.body) if answer.length is None else answer.length
        headers.append(("Content-Length", str(length)))
    else:
        headers.append(("Connection", "close"))
    lines = [f"HTTP/1.1 {answer.status} {_reason(answer.status)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reason(status: int) -> str:
    known = {entry.value: entry.phrase for entry in http.HTTPStatus}
    return known.get(status, "Unknown")


def _framed(piece: Piece) -> bytes:
    # An empty chunk would end the body.
    if not piece.data:
        return b""
    end = b"" if piece.missing else b"\r\n"
    return b"%x\r\n%b%b" % (len(piece.data) + piece.missing, piece.data, end)
