from __future__ import annotations

import gzip
import http.client
import io
import socket
import ssl
import threading
import zlib

import pytest
import requests
import requests_mock
import responses
import urllib3
from reading_doubles import Answering, Bare, OnlyRead, Replayed

from aichatkit import Client
from aichatkit.errors import BadResponseError, StreamInterruptedError
from aichatkit.sandbox.raw import RawServer, chunk
from aichatkit.transport.readers import BLOCK, find_socket, pick_reader, shut_down
from aichatkit.transport.responses import Response
from aichatkit.transport.timeouts import Deadline

PIECES = [b"data: one\n\n", b"data: two\n\n", b"\xf0\x9f\x98", b"\x80 three", b"."]
WHOLE = b"".join(PIECES)


class Subclassed(http.client.HTTPResponse):
    """Not exactly the standard library's class, so its inside is not relied on."""


def guarded(response: requests.Response) -> requests.Response:
    return response


def public(response: requests.Response) -> requests.Response:
    response.raw._fp.__class__ = Subclassed
    return response


def last_resort(response: requests.Response) -> requests.Response:
    response.raw = Bare(response.raw, "stream")
    return response


# Older urllib3 has no public way to read what is there: there, the last resort takes its place.
KEEPS_ALL = [guarded, *([public] if hasattr(urllib3.HTTPResponse, "read1") else [])]
WAYS = [guarded, public, last_resort]
#: Chunked records are taken apart here, chunked text by the standard library.
FRAMINGS = ["chunked", "chunked-text", "length", "close"]


def compressor(encoding: str):
    packer = zlib.compressobj(wbits={"gzip": 31, "deflate": 15}[encoding])
    return lambda piece: packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH), packer.flush


def framed(framing: str, encoding: str = ""):
    """The head, the bytes of each piece, and the end, for one framing."""
    pack, finish = compressor(encoding) if encoding else (lambda piece: piece, lambda: b"")
    packed = [pack(piece) for piece in PIECES]
    end = finish()
    kind = b"text/plain" if framing == "chunked-text" else b"text/event-stream"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n"
    if encoding:
        head += b"Content-Encoding: " + encoding.encode() + b"\r\n"
    if framing.startswith("chunked"):
        return head + b"Transfer-Encoding: chunked\r\n\r\n", list(map(chunk, packed)), (end and chunk(end)) + chunk(b"")
    if framing == "length":
        size = len(b"".join(packed) + end)
        return head + b"Content-Length: %d\r\n\r\n" % size, packed, end
    return head + b"Connection: close\r\n\r\n", packed, end


def opened(url: str, way=guarded) -> Response:
    session = requests.Session()
    received = session.post(url, stream=True, timeout=5, headers={"Accept-Encoding": "identity"})
    return Response(way(received), label="test", read_timeout=5, deadline=Deadline())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_each_piece_is_handed_out_before_the_next_one_is_sent(framing, encoding, way):
    if encoding and way is last_resort:
        pytest.skip("decoding by requests itself may keep a piece back")
    head, packed, end = framed(framing, encoding)
    gates = [threading.Event() for _ in packed]
    steps = [step for piece, gate in zip(packed, gates) for step in (piece, gate)]
    with RawServer([head, *steps, end, *(["close"] if framing == "close" else [])]) as server:
        response = opened(server.url, way)
        for piece, gate in zip(PIECES, gates):
            got = b""
            while len(got) < len(piece):
                got += response.read_block()
            assert got == piece
            gate.set()
        assert response.read_block() == b""
        assert response.closed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_way_to_read_gives_the_same_bytes(framing, encoding, way):
    head, packed, end = framed(framing, encoding)
    with RawServer([head, *packed, end, *(["close"] if framing == "close" else [])]) as server:
        response = opened(server.url, way)
        assert response.read_body(1000) == (WHOLE, True)


@pytest.mark.parametrize("way", KEEPS_ALL)
@pytest.mark.parametrize(("framing", "cut"), [("chunked", 0), ("chunked-text", 0), ("length", 1), ("length", 32)])
def test_every_way_to_read_tells_a_cut_after_what_came(framing, cut, way):
    head, packed, _ = framed(framing)
    sent = b"".join(packed)
    got: list[bytes] = []

    def drain():
        for block in iter(response.read_block, b""):
            got.append(block)

    with RawServer([head, sent[: len(sent) - cut], "close"]) as server:
        response = opened(server.url, way)
        with pytest.raises(StreamInterruptedError):
            drain()
    assert b"".join(got) == WHOLE[: len(WHOLE) - cut]
    assert response.closed


@pytest.mark.parametrize("way", KEEPS_ALL)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_that_ends_early_is_a_cut(encoding, way):
    head, packed, _ = framed("chunked", encoding)
    with RawServer([head, *packed, chunk(b"")]) as server:
        response = opened(server.url, way)
        with pytest.raises(StreamInterruptedError):
            response.read_body(1000)


def test_a_block_is_bounded_however_much_is_there():
    body = gzip.compress(b"x" * (8 << 20))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with RawServer([head, body]) as server:
        response = opened(server.url)
        sizes = []
        while block := response.read_block():
            sizes.append(len(block))
    assert sum(sizes) == 8 << 20
    assert max(sizes) <= 1 << 20
    assert BLOCK == 65536


def test_trailing_bytes_after_a_compressed_body_are_ignored_as_gzip_tools_do():
    body = gzip.compress(b"hello") + b"\0\0"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with RawServer([head, body]) as server:
        assert opened(server.url).read_body(100) == (b"hello", True)


# Every double answers the same.

SSE = b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\ndata: {"choices": [{"delta": {"content": "lo"}}]}\n\n'
ANSWER = SSE + b"data: [DONE]\n\n"
URL = "https://openai.example/v1"


def ask(session: requests.Session | None = None, **options) -> str:
    with Client(model="openai", api_key="sk-test", base_url=URL, session=session, retry=0, **options) as client:
        stream = client.stream("Hi")
        assert list(stream) == ["Hel", "lo"]
        return stream.text


def by_adapter(adapter: Answering) -> requests.Session:
    session = requests.Session()
    session.mount("https://", adapter)
    return session


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        pytest.param(lambda: io.BytesIO(ANSWER), {}, id="BytesIO"),
        pytest.param(lambda: io.BufferedReader(io.BytesIO(ANSWER)), {}, id="BufferedReader"),
        pytest.param(lambda: ANSWER, {}, id="content-only"),
        pytest.param(lambda: OnlyRead(ANSWER), {}, id="read-only"),
        pytest.param(lambda: Replayed(ANSWER), {}, id="read1-without-keyword"),
        pytest.param(lambda: Replayed(gzip.compress(ANSWER)), {"Content-Encoding": "gzip"}, id="compressed"),
        pytest.param(lambda: Replayed(ANSWER), {"Content-Encoding": "identity"}, id="identity"),
        pytest.param(lambda: OnlyRead(ANSWER), {"Transfer-Encoding": "chunked"}, id="chunked-in-name-only"),
    ],
)
def test_a_hand_made_adapter_answers_like_a_server(raw, headers):
    with by_adapter(Answering(raw(), **headers)) as session:
        assert ask(session) == "Hello"


def test_a_replayed_response_is_given_back_at_its_end():
    raw = Replayed(ANSWER[:-2])
    with by_adapter(Answering(raw)) as session:
        assert ask(session) == "Hello"
    assert raw.released


def test_a_double_that_talks_on_after_the_end_is_left():
    class Endless(Replayed):
        reads = 0

        def read1(self, size):
            self.reads += 1
            assert self.reads < 10
            return self._body.read(size) or b": more\n\n"

    raw = Endless(ANSWER)
    with by_adapter(Answering(raw)) as session:
        assert ask(session) == "Hello"


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
def test_responses_answers_like_a_server(headers):
    with responses.RequestsMock() as mock:
        mock.post(f"{URL}/chat/completions", body=ANSWER, content_type="text/event-stream", headers=headers)
        assert ask() == "Hello"


def test_responses_may_answer_with_a_file():
    with responses.RequestsMock() as mock:
        body = io.BufferedReader(io.BytesIO(ANSWER))
        mock.post(f"{URL}/chat/completions", body=body, content_type="text/event-stream")
        assert ask() == "Hello"


@pytest.mark.parametrize("body", [{"content": ANSWER}, {"body": io.BytesIO(ANSWER)}], ids=["content", "file"])
def test_requests_mock_answers_like_a_server(body):
    with requests_mock.Mocker() as mock:
        mock.post(f"{URL}/chat/completions", headers={"Content-Type": "text/event-stream"}, **body)
        assert ask() == "Hello"


def test_an_encoding_we_did_not_ask_for_and_do_not_know_is_left_to_requests():
    response = requests.Response()
    response.headers["Content-Encoding"] = "br"
    response._content = b"decoded"
    read, framed_here = pick_reader(response)
    assert not framed_here
    assert b"".join(iter(read, b"")) == b"decoded"


def test_what_a_double_raises_while_it_is_read_is_our_error():
    class Damaged(Replayed):
        def read1(self, size):
            raise zlib.error("damaged")

    with by_adapter(Answering(Damaged(b""))) as session, pytest.raises(BadResponseError):
        ask(session)


# Sockets.


def test_a_double_has_no_socket():
    assert find_socket(None) is None
    assert find_socket(io.BytesIO()) is None
    assert find_socket(OnlyRead(b"")) is None


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_socket_is_found_whatever_the_framing(framing):
    head, packed, end = framed(framing)
    gate = threading.Event()
    with RawServer([head, packed[0], gate, *packed[1:], end, "close"]) as server, requests.Session() as session:
        received = session.post(server.url, stream=True, timeout=5)
        assert isinstance(find_socket(received.raw), socket.socket)
        gate.set()
        received.close()


def test_the_socket_is_found_where_only_the_connection_knows_it():
    with socket.socket() as sock:

        class Connection:
            def __init__(self):
                self.sock = sock

        class Raw:
            _connection = Connection()

        assert find_socket(Raw()) is sock


def test_shutting_down_a_socket_wakes_its_reader():
    ours, theirs = socket.socketpair()
    got = []
    thread = threading.Thread(target=lambda: got.append(ours.recv(1)))
    thread.start()
    shut_down(ours)
    thread.join(5)
    assert got == [b""]
    ours.close()
    theirs.close()


def test_shutting_down_twice_or_after_the_close_is_fine():
    ours, theirs = socket.socketpair()
    theirs.close()
    shut_down(ours)
    ours.close()
    shut_down(ours)


def test_shutting_down_tls_leaves_its_state_to_the_reader():
    context = ssl.create_default_context()
    ours, theirs = socket.socketpair()
    wrapped = context.wrap_socket(ours, server_hostname="x.example", do_handshake_on_connect=False)
    shut_down(wrapped)
    assert wrapped._sslobj is not None or not wrapped._connected
    wrapped.close()
    theirs.close()


def test_an_encoding_that_urllib3_decodes_is_left_to_it(monkeypatch):
    # urllib3 treats an encoding it does not know as deflate.
    monkeypatch.setattr(urllib3.HTTPResponse, "CONTENT_DECODERS", ["gzip", "deflate", "x-other"])
    body = zlib.compress(b"hello")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: x-other\r\nContent-Length: %d\r\n\r\n" % len(body)
    with RawServer([head, body]) as server:
        assert opened(server.url).read_body(100) == (b"hello", True)
