from __future__ import annotations

import http.client
import io

import pytest
import requests

from aichatkit.errors import StreamInterruptedError
from aichatkit.sandbox.raw import RawServer, chunk
from aichatkit.transport.chunked import ChunkedBody, is_chunked
from aichatkit.transport.responses import Response
from aichatkit.transport.timeouts import Deadline

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECES = [b"data: one\n\n", b"x" * 300, b"\r\n", b"0\r\n\r\n"]
BODY = b"".join(map(chunk, PIECES)) + b"0\r\n\r\n"


class Wire(io.RawIOBase):
    """A socket that gives its bytes in the cuts it is told."""

    def __init__(self, *blocks: bytes) -> None:
        self.blocks = list(blocks)
        self.asked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self.asked += 1
        block = self.blocks.pop(0) if self.blocks else b""
        buffer[: len(block)] = block
        return len(block)


class Inner:
    def __init__(self, *blocks: bytes) -> None:
        self.wire = Wire(*blocks)
        self.fp = io.BufferedReader(self.wire)


def body_of(*blocks: bytes) -> tuple[bytes, bool]:
    body = ChunkedBody(Inner(*blocks), 65536)
    return b"".join(iter(body.read, b"")), body.reusable


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1000])
def test_a_body_is_the_same_however_it_is_cut(size):
    cuts = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    assert body_of(*cuts) == (b"".join(PIECES), True)


def test_a_body_is_the_same_wherever_it_is_cut_in_two():
    assert {body_of(BODY[:at], BODY[at:]) for at in range(1, len(BODY))} == {(b"".join(PIECES), True)}


def test_what_came_is_handed_out_before_more_is_asked_for():
    inner = Inner(chunk(b"one") + b"5\r\ntw", b"o!!\r\n", b"0\r\n\r\n")
    body = ChunkedBody(inner, 65536)
    seen = [(body.read(), inner.wire.asked) for _ in range(3)]
    assert seen == [(b"onetw", 1), (b"o!!", 2), (b"", 3)]


def test_many_chunks_take_one_read():
    inner = Inner(chunk(b"data: x\n\n") * 100 + b"0\r\n\r\n")
    body = ChunkedBody(inner, 65536)
    assert (len(body.read()), body.read(), inner.wire.asked) == (900, b"", 1)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"5;name=value\r\nHello\r\n0;last\r\n\r\n", id="extensions"),
        pytest.param(b"05\nHello\r\n0\n\n", id="bare-line-feeds"),
        pytest.param(b"5\r\nHello\r\n0\r\nDigest: x\r\nB: y\r\n\r\n", id="trailers"),
        pytest.param(b" 5 \r\nHello\r\n000\r\n\r\n", id="blanks-and-zeros"),
    ],
)
def test_what_http_allows_beside_the_body_is_skipped(body):
    assert body_of(body) == (b"Hello", True)
    assert body_of(*[body[at : at + 1] for at in range(len(body))]) == (b"Hello", True)


@pytest.mark.parametrize("end", [b"", b"Digest: x\r\n"])
def test_a_server_that_leaves_out_the_last_empty_line_sent_its_body_whole(end):
    assert body_of(b"5\r\nHello\r\n0\r\n" + end) == (b"Hello", False)


def test_bytes_after_the_end_make_the_connection_unusable():
    body = ChunkedBody(Inner(BODY + b"HTTP/1.1 200 OK\r\n"), 65536)
    assert (b"".join(iter(body.read, b"")), body.read(), body.reusable) == (b"".join(PIECES), b"", False)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"5\r\nHello\r\n", id="cut-between-chunks"),
        pytest.param(b"5\r\nHello", id="cut-after-data"),
        pytest.param(b"9\r\nHello", id="cut-in-a-chunk"),
        pytest.param(b"5\r\nHello\r\n1", id="cut-in-a-size"),
        pytest.param(b"5\r\nHello\r\nxyz\r\n", id="no-size"),
        pytest.param(b"5\r\nHello\r\n-5\r\n", id="negative-size"),
        pytest.param(b"5\r\nHello\r\n\r\n", id="empty-size"),
        pytest.param(b"5\r\nHelloWorld\r\n0\r\n\r\n", id="chunk-longer-than-told"),
        pytest.param(b"5\r\nHello--5\r\nWorld\r\n0\r\n\r\n", id="chunk-without-its-end"),
        pytest.param(b"5\r\nHello\r\n" + b"1" * 70000, id="endless-size"),
        pytest.param(b"5\r\nHello\r\n0\r\n" + b"x" * 70000, id="endless-trailer"),
    ],
)
def test_a_body_that_is_cut_or_damaged_is_an_error_and_never_an_end(body):
    chunked = ChunkedBody(Inner(*[body[at : at + 11] for at in range(0, len(body), 11)]), 65536)
    got = []
    with pytest.raises(http.client.IncompleteRead):
        got.extend(iter(chunked.read, b""))
    assert not chunked.reusable


@pytest.mark.parametrize("rest", [b"xyz\r\n", b"1" * 70000])
def test_whole_chunks_before_the_damage_are_handed_out_first(rest):
    body = ChunkedBody(Inner(b"5\r\nHello\r\n3\r\n, y\r\n" + rest), 1 << 20)
    assert body.read() == b"Hello, y"
    for _ in range(2):
        with pytest.raises(http.client.IncompleteRead):
            body.read()


def test_only_an_unread_chunked_response_of_the_standard_library_is_taken():
    assert not is_chunked(None)
    assert not is_chunked(Inner(BODY))
    with RawServer([HEAD, BODY, HEAD, BODY]) as server, requests.Session() as session:
        received = session.get(server.url, stream=True, timeout=5)
        assert is_chunked(received.raw._fp)
        received.raw._fp.read1(3)
        assert not is_chunked(received.raw._fp)


def test_a_connection_with_stray_bytes_is_not_used_again():
    with RawServer([HEAD, BODY + b"stray"], [HEAD, BODY]) as server, requests.Session() as session:
        for _ in range(2):
            received = session.get(server.url, stream=True, timeout=5)
            response = Response(received, label="test", read_timeout=5, deadline=Deadline())
            assert response.read_body(10_000) == (b"".join(PIECES), True)
            assert response.closed
        assert server.connections == 2


def test_a_silence_in_a_chunk_ends_the_answer_once_and_for_all():
    with RawServer([HEAD, b"5\r\nHel", "wait-close"]) as server, requests.Session() as session:
        received = session.get(server.url, stream=True, timeout=5)
        response = Response(received, label="test", read_timeout=5, deadline=Deadline())
        assert response.read_block() == b"Hel"
        response.cancel()
        with pytest.raises(StreamInterruptedError):
            response.read_block()
        assert response.read_block() == b""
