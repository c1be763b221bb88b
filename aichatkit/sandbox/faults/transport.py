"""Faults of the connection and of HTTP, the same for every wire."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterator

from aichatkit.sandbox.exchange import Piece, Response
from aichatkit.sandbox.faults.base import Respond, cut_after, fault
from aichatkit.sandbox.wires import Call


@fault()
def refuse(respond: Respond, call: Call) -> Response:
    """Close the connection without a response."""
    return Response(head=b"", framing="raw", ending="cut")


@fault()
def reset_head(respond: Respond, call: Call) -> Response:
    """Reset the connection before the response."""
    return Response(head=b"", framing="raw", ending="reset")


@fault()
def slow_head(respond: Respond, call: Call, seconds: float = 30.0) -> Response:
    """Wait before the head of the response."""
    response = respond()
    response.pause = seconds
    return response


@fault()
def cut_head(respond: Respond, call: Call) -> Response:
    """Close in the middle of the head."""
    return Response(head=b"HTTP/1.1 200 OK\r\nContent-Type: text/ev", framing="raw", ending="cut")


@fault()
def bad_status(respond: Respond, call: Call) -> Response:
    """A status line without a number."""
    return Response(head=b"HTTP/1.1 fine\r\nContent-Length: 0\r\n\r\n", framing="raw", ending="cut")


@fault()
def many_headers(respond: Respond, call: Call, count: int = 120) -> Response:
    """More headers than clients accept."""
    response = respond()
    response.headers += [(f"X-Filler-{number}", "filler") for number in range(count)]
    return response


@fault()
def huge_header(respond: Respond, call: Call, size: int = 70000) -> Response:
    """One header longer than clients accept."""
    response = respond()
    response.headers.append(("X-Filler", "x" * size))
    return response


@fault()
def redirect(respond: Respond, call: Call, to: str = "http://127.0.0.1:9/elsewhere", status: int = 307) -> Response:
    """A redirect."""
    return Response(status, [("Location", to)])


@fault()
def cut(respond: Respond, call: Call, after: int = 2) -> Response:
    """Close in the middle of the body, after some pieces of text."""
    response = cut_after(respond(), after)
    response.ending = "cut"
    return response


@fault()
def cut_chunk(respond: Respond, call: Call, after: int = 2) -> Response:
    """Close in the middle of a chunk of the body."""
    response = cut(respond, call, after)
    pieces = list(response.pieces)
    last = pieces.pop() if pieces else Piece(b"\n")
    response.pieces = [*pieces, Piece(last.data, last.phase, last.pause, missing=64)]
    return response


@fault()
def reset(respond: Respond, call: Call, after: int = 2) -> Response:
    """Reset the connection in the middle of the body."""
    response = cut_after(respond(), after)
    response.ending = "reset"
    return response


@fault()
def stall(respond: Respond, call: Call, after: int = 2, seconds: float = 300.0) -> Response:
    """Some text, then silence, then a closed connection."""
    response = cut(respond, call, after)
    response.pieces = [*response.pieces, Piece(b"", pause=seconds)]
    return response


@fault()
def pings(respond: Respond, call: Call, after: int = 0, every: float = 0.05) -> Response:
    """Some text, then endless keep-alive comments."""
    response = cut_after(respond(), after)
    ping = Piece(call.wire.keep_alive(), "open", pause=every)
    response.framing, response.pieces = "chunked", itertools.chain(list(response.pieces), itertools.repeat(ping))
    return response


@fault()
def drip(respond: Respond, call: Call, every: float = 0.05) -> Response:
    """The body byte by byte."""
    response = respond()
    response.pieces = [Piece(bytes([byte]), pause=every) for byte in response.body]
    return response


@fault()
def wrong_length(respond: Respond, call: Call, by: int = 100) -> Response:
    """A content length larger than the body."""
    response = respond()
    response.framing, response.length, response.ending = "length", len(response.body) + by, "cut"
    return response


@fault()
def close_delimited(respond: Respond, call: Call) -> Response:
    """No framing: the body ends with the connection."""
    response = respond()
    response.framing = "raw"
    return response


@fault()
def hang_up(respond: Respond, call: Call) -> Response:
    """A complete response, then close the connection without notice."""
    response = respond()
    response.ending = "hang-up"
    return response


@fault()
def gzip(respond: Respond, call: Call) -> Response:
    """A compressed body, even if the client did not request it."""
    response = respond()
    response.headers.append(("Content-Encoding", "gzip"))
    response.pieces = list(_compress(response))
    return response


@fault()
def gzip_cut(respond: Respond, call: Call) -> Response:
    """A truncated compressed body inside intact framing."""
    response = gzip(respond, call)
    body = response.body
    response.pieces = [Piece(body[: len(body) // 2])]
    return response


@fault()
def gzip_garbage(respond: Respond, call: Call) -> Response:
    """An uncompressed body declared as compressed."""
    response = respond()
    response.headers.append(("Content-Encoding", "gzip"))
    return response


@fault()
def split(respond: Respond, call: Call, size: int = 3) -> Response:
    """The body split in the middle of lines and characters."""
    response = respond()
    body = response.body
    response.pieces = [Piece(body[start : start + size]) for start in range(0, len(body), size)]
    return response


@fault()
def crlf(respond: Respond, call: Call, end: str = "crlf") -> Response:
    """Other line endings: crlf or cr."""
    response = respond()
    line_end = {"crlf": b"\r\n", "cr": b"\r"}[end]
    response.pieces = [
        Piece(piece.data.replace(b"\r\n", b"\n").replace(b"\n", line_end), piece.phase, piece.pause, piece.missing)
        for piece in response.pieces
    ]
    return response


@fault()
def bom(respond: Respond, call: Call) -> Response:
    """A byte order mark before the body."""
    response = respond()
    response.pieces = [Piece(b"\xef\xbb\xbf", "open"), *response.pieces]
    return response


@fault()
def error_body_drip(respond: Respond, call: Call, every: float = 0.05) -> Response:
    """Status 500 with a body that never ends, byte by byte."""
    start, byte = Piece(b'{"error": {"message": "'), Piece(b".", pause=every)
    return _endless(itertools.chain([start], itertools.repeat(byte)))


@fault()
def error_body_huge(respond: Respond, call: Call, megabytes: int = 90) -> Response:
    """Status 500 with a body of many megabytes."""
    block = Piece(json.dumps("x" * 65_000).encode())
    return _endless(itertools.repeat(block, megabytes * 16))


def _endless(pieces: Iterator[Piece]) -> Response:
    return Response(500, [("Content-Type", "application/json")], pieces, framing="chunked")


def _compress(response: Response) -> Iterator[Piece]:
    compressor = zlib.compressobj(wbits=31)
    for piece in response.pieces:
        data = compressor.compress(piece.data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        yield Piece(data, piece.phase, piece.pause)
    yield Piece(compressor.flush(), "done")
