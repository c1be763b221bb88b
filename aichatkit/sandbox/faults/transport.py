"""Faults of the connection and of HTTP, the same on every wire."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterator

from aichatkit.sandbox.exchange import Answer, Piece
from aichatkit.sandbox.faults.base import Reply, cut_after, fault
from aichatkit.sandbox.wires import Call


@fault()
def refuse(reply: Reply, call: Call) -> Answer:
    """Close the connection without an answer."""
    return Answer(head=b"", framing="raw", ending="cut")


@fault()
def reset_head(reply: Reply, call: Call) -> Answer:
    """Reset the connection before the answer."""
    return Answer(head=b"", framing="raw", ending="reset")


@fault()
def slow_head(reply: Reply, call: Call, seconds: float = 30.0) -> Answer:
    """Wait before the head of the answer."""
    answer = reply()
    answer.pause = seconds
    return answer


@fault()
def cut_head(reply: Reply, call: Call) -> Answer:
    """Close in the middle of the head."""
    return Answer(head=b"HTTP/1.1 200 OK\r\nContent-Type: text/ev", framing="raw", ending="cut")


@fault()
def bad_status(reply: Reply, call: Call) -> Answer:
    """A status line without a number."""
    return Answer(head=b"HTTP/1.1 fine\r\nContent-Length: 0\r\n\r\n", framing="raw", ending="cut")


@fault()
def many_headers(reply: Reply, call: Call, count: int = 120) -> Answer:
    """More headers than clients accept."""
    answer = reply()
    answer.headers += [(f"X-Filler-{number}", "filler") for number in range(count)]
    return answer


@fault()
def huge_header(reply: Reply, call: Call, size: int = 70000) -> Answer:
    """One header longer than clients accept."""
    answer = reply()
    answer.headers.append(("X-Filler", "x" * size))
    return answer


@fault()
def redirect(reply: Reply, call: Call, to: str = "http://127.0.0.1:9/elsewhere", status: int = 307) -> Answer:
    """A redirect."""
    return Answer(status, [("Location", to)])


@fault()
def cut(reply: Reply, call: Call, after: int = 2) -> Answer:
    """Close inside the body, after some pieces of text."""
    answer = cut_after(reply(), after)
    answer.ending = "cut"
    return answer


@fault()
def cut_chunk(reply: Reply, call: Call, after: int = 2) -> Answer:
    """Close inside a chunk of the body."""
    answer = cut(reply, call, after)
    pieces = list(answer.pieces)
    last = pieces.pop() if pieces else Piece(b"\n")
    answer.pieces = [*pieces, Piece(last.data, last.kind, last.pause, missing=64)]
    return answer


@fault()
def reset(reply: Reply, call: Call, after: int = 2) -> Answer:
    """Reset the connection inside the body."""
    answer = cut_after(reply(), after)
    answer.ending = "reset"
    return answer


@fault()
def stall(reply: Reply, call: Call, after: int = 2, seconds: float = 300.0) -> Answer:
    """Some text, then silence, then a cut."""
    answer = cut(reply, call, after)
    answer.pieces = [*answer.pieces, Piece(b"", pause=seconds)]
    return answer


@fault()
def pings(reply: Reply, call: Call, after: int = 0, every: float = 0.05) -> Answer:
    """Some text, then keep-alive comments for ever."""
    answer = cut_after(reply(), after)
    ping = Piece(call.wire.comment(), "open", pause=every)
    answer.framing, answer.pieces = "chunked", itertools.chain(list(answer.pieces), itertools.repeat(ping))
    return answer


@fault()
def drip(reply: Reply, call: Call, every: float = 0.05) -> Answer:
    """The body byte by byte."""
    answer = reply()
    answer.pieces = [Piece(bytes([byte]), pause=every) for byte in answer.body]
    return answer


@fault()
def wrong_length(reply: Reply, call: Call, by: int = 100) -> Answer:
    """A content length larger than the body."""
    answer = reply()
    answer.framing, answer.length, answer.ending = "length", len(answer.body) + by, "cut"
    return answer


@fault()
def close_delimited(reply: Reply, call: Call) -> Answer:
    """No framing: the body ends with the connection."""
    answer = reply()
    answer.framing = "raw"
    return answer


@fault()
def hang_up(reply: Reply, call: Call) -> Answer:
    """A whole answer, and then close the connection without notice."""
    answer = reply()
    answer.ending = "hang-up"
    return answer


@fault()
def gzip(reply: Reply, call: Call) -> Answer:
    """A compressed body, though nobody asked."""
    answer = reply()
    answer.headers.append(("Content-Encoding", "gzip"))
    answer.pieces = list(_compressed(answer))
    return answer


@fault()
def gzip_cut(reply: Reply, call: Call) -> Answer:
    """A compressed body that breaks off inside intact framing."""
    answer = gzip(reply, call)
    whole = answer.body
    answer.pieces = [Piece(whole[: len(whole) // 2])]
    return answer


@fault()
def gzip_garbage(reply: Reply, call: Call) -> Answer:
    """A body that says it is compressed and is not."""
    answer = reply()
    answer.headers.append(("Content-Encoding", "gzip"))
    return answer


@fault()
def split(reply: Reply, call: Call, size: int = 3) -> Answer:
    """The body in pieces cut in lines and in characters."""
    answer = reply()
    whole = answer.body
    answer.pieces = [Piece(whole[place : place + size]) for place in range(0, len(whole), size)]
    return answer


@fault()
def crlf(reply: Reply, call: Call, end: str = "crlf") -> Answer:
    """Other line ends, crlf or cr."""
    answer = reply()
    line_end = {"crlf": b"\r\n", "cr": b"\r"}[end]
    answer.pieces = [
        Piece(piece.data.replace(b"\r\n", b"\n").replace(b"\n", line_end), piece.kind, piece.pause, piece.missing)
        for piece in answer.pieces
    ]
    return answer


@fault()
def bom(reply: Reply, call: Call) -> Answer:
    """A byte order mark before the body."""
    answer = reply()
    answer.pieces = [Piece(b"\xef\xbb\xbf", "open"), *answer.pieces]
    return answer


@fault()
def error_body_drip(reply: Reply, call: Call, every: float = 0.05) -> Answer:
    """Status 500 with a body that never ends, byte by byte."""
    start, byte = Piece(b'{"error": {"message": "'), Piece(b".", pause=every)
    return _endless(itertools.chain([start], itertools.repeat(byte)))


@fault()
def error_body_huge(reply: Reply, call: Call, megabytes: int = 90) -> Answer:
    """Status 500 with a body of many megabytes."""
    block = Piece(json.dumps("x" * 65_000).encode())
    return _endless(itertools.repeat(block, megabytes * 16))


def _endless(pieces: Iterator[Piece]) -> Answer:
    return Answer(500, [("Content-Type", "application/json")], pieces, framing="chunked")


def _compressed(answer: Answer) -> Iterator[Piece]:
    packer = zlib.compressobj(wbits=31)
    for piece in answer.pieces:
        data = packer.compress(piece.data) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield Piece(data, piece.kind, piece.pause)
    yield Piece(packer.flush(), "done")
