"""Whatever comes as a head, our response says of it what `http.client` says."""

from __future__ import annotations

import http.client
import io
import random

import pytest

from aichatkit.transport.response_heads import FastResponse, is_http_client_response

PLAIN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id:  r-1 \r\nTransfer-Encoding: chunked\r\n\r\n"
)
BODY = b"2\r\nHi\r\n0\r\n\r\n"
HEADS = [
    PLAIN,
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: Chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5 \r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1  200   Very  well \r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 20x OK\r\n\r\n",
    b"HTTP/1.1 30\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 5\r\n\r\n",
    b"HTTP/1.1 600 Odd\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 18 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 19 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 4301 + b"\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\n",
    b"HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: no name\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX Y: blank in the name\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Name : blank behind the name\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Latin: caf\xe9\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Tab:\t a\tb \t\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Return: a\rb\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=x\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99 + b"\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 9000 + b"\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: cut",
    b"SSH-2.0-OpenSSH\r\n\r\n",
    b"\r\n",
    b"",
]


class Wire(io.RawIOBase):
    """What a socket's file reads from: at most `most` bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data, self._most = data, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        taken = self._data[: min(self._most, len(buffer))]
        self._data = self._data[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)


class Sock:
    def __init__(self, data: bytes, most: int = 1 << 20) -> None:
        self._file = io.BufferedReader(Wire(data, most))

    def makefile(self, mode: str) -> io.BufferedReader:
        return self._file


def told(kind, data, *, most=1 << 20, method="POST"):
    """Return all that a response says of a head, and what it leaves in the file."""
    response = kind(Sock(data, most), method=method)
    try:
        response.begin()
    except (http.client.HTTPException, ValueError) as error:
        return type(error), str(error)
    framing = response.chunked, response.length, response.will_close, response.chunked and response.chunk_left
    told = response.version, response.status, response.code, response.reason, response.getheaders(), framing
    return *told, response.msg is response.headers, response.fp.read()


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("most", [1 << 20, 7])
@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_a_head_is_read_as_http_client_reads_it(head, most, method):
    expected = told(http.client.HTTPResponse, head + BODY, most=most, method=method)
    assert told(FastResponse, head + BODY, most=most, method=method) == expected


def test_a_damaged_head_is_read_as_http_client_reads_it():
    draw = random.Random(7)
    signs = [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"\xff", b"close", b"0", b"_"]
    for _ in range(3_000):
        head = bytearray(draw.choice(HEADS[:25]))
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(head) + 1)
            head[at : at + draw.randint(0, 2)] = draw.choice(signs)
        assert told(FastResponse, bytes(head) + BODY) == told(http.client.HTTPResponse, bytes(head) + BODY), bytes(head)


INTERIM = [
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="continue"),
    pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n" * 2, id="processing-twice"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n", id="early-hints"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 100\r\n\r\n", id="mixed"),
    pytest.param(b"HTTP/1.1 199 Odd\r\n\r\n", id="unknown"),
    pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n" * 99, id="many"),
]


@pytest.mark.parametrize("most", [1 << 20, 7])
@pytest.mark.parametrize("interim", INTERIM)
def test_interim_responses_are_skipped(interim, most):
    assert told(FastResponse, interim + PLAIN + BODY, most=most) == told(FastResponse, PLAIN + BODY, most=most)


def test_endless_interim_responses_are_an_error():
    with pytest.raises(http.client.HTTPException, match="interim"):
        FastResponse(Sock(b"HTTP/1.1 100 Continue\r\n\r\n" * 101 + PLAIN)).begin()


def test_a_switch_of_protocols_is_final():
    assert told(FastResponse, b"HTTP/1.1 101 Switching Protocols\r\n\r\n")[1] == 101


def test_a_plain_head_needs_no_parser_for_mail(monkeypatch):
    monkeypatch.setattr(http.client, "parse_headers", None)
    assert told(FastResponse, PLAIN + BODY)[1] == 200
    with pytest.raises(TypeError):
        FastResponse(Sock(PLAIN.replace(b"text", b"t\xe9xt"))).begin()


def test_a_head_is_read_once():
    response = FastResponse(Sock(PLAIN + PLAIN), method="POST")
    for _ in range(2):
        response.begin()
    assert response.fp.read() == PLAIN


def test_what_http_client_shows_for_debugging_is_shown(capsys):
    response = FastResponse(Sock(PLAIN), debuglevel=1, method="POST")
    response.begin()
    assert "reply:" in capsys.readouterr().out


def test_only_responses_of_http_client_are_known():
    kinds = http.client.HTTPResponse, FastResponse, type("Other", (FastResponse,), {})
    assert [is_http_client_response(kind(Sock(b""))) for kind in kinds] == [True, True, False]
