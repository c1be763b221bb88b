from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import sys
import threading

import pytest
import requests
import trustme
from sandbox_talk import dial, read_all, request_bytes, talk

from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response


def test_each_request_gets_the_next_script_and_the_last_one_stays():
    with RawServer([response(b"one")], [response(b"two", status="500 No")]) as server:
        answers = [requests.get(server.url, timeout=5) for _ in range(3)]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "one"), (500, "two"), (500, "two")]
    assert [request.connection for request in server.requests] == [1, 2, 3]


def test_a_connection_is_kept_after_the_last_step():
    with RawServer([response(b"x", headers=[("X-Own", "1")])]) as server, requests.Session() as session:
        assert session.get(server.url, timeout=5).headers["x-own"] == "1"
        session.get(server.url, timeout=5)
        assert server.connections == 1


def test_a_script_may_answer_the_request_it_gets():
    with RawServer(lambda request: [response(request.body)]) as server:
        assert requests.post(server.url, data=b"echo", timeout=5).text == "echo"


def test_chunks_are_framed():
    script = [chunked_head(), chunk(b"one"), 0.001, [chunk(b" two")], chunk(b"")]
    with RawServer(script) as server:
        assert requests.get(server.url, timeout=5).text == "one two"


@pytest.mark.parametrize(("step", "end"), [("close", "closed"), ("reset", "reset")])
def test_a_script_ends_the_connection_as_it_says(step, end):
    with RawServer([b"HTTP/1.1 200 OK\r\n", step, b"never"]) as server:
        answer = talk(server, "/", {})
    assert (answer.raw, answer.end) == (b"HTTP/1.1 200 OK\r\n", end)
    assert server.left == []


def test_an_end_inside_a_nested_script_ends_the_whole():
    with RawServer([[b"a", "close"], b"b"]) as server:
        assert talk(server, "/", {}).raw == b"a"


def test_it_waits_for_an_event():
    gate = threading.Event()
    with RawServer([b"before", gate, b"after", "close"]) as server, dial(server) as sock:
        sock.sendall(request_bytes("/", {}))
        assert sock.recv(100) == b"before"
        gate.set()
        assert read_all(sock).raw == b"after"


def test_it_does_not_wait_for_an_event_once_the_client_has_left():
    with RawServer([b"before", threading.Event()]) as server:
        with dial(server) as sock:
            sock.sendall(request_bytes("/", {}))
            assert sock.recv(6, socket.MSG_WAITALL) == b"before"
        assert server.wait_closed()
        assert server.left == [1]


def test_it_tells_which_connection_the_client_closed_and_what_it_was_sent():
    with RawServer([b"12345", "wait-close"]) as server:
        with dial(server) as sock:
            sock.sendall(request_bytes("/", {}))
            assert sock.recv(5, socket.MSG_WAITALL) == b"12345"
            assert server.open_connections == 1
        assert server.wait_closed()
        assert server.left == [1]
        assert server.sent == {1: 5}


def test_endless_steps_end_when_the_client_leaves():
    with RawServer(itertools.repeat(b"x" * 1000)) as server:
        with dial(server) as sock:
            sock.sendall(request_bytes("/", {}))
            sock.recv(1)
        assert server.wait_closed()
        assert server.left == [1]


def test_a_greeting_comes_before_any_request():
    with RawServer(greeting=["close"]) as server, dial(server) as sock:
        assert sock.recv(1) == b""
    assert server.requests == []


def test_a_server_without_a_script_is_silent():
    with RawServer() as server:
        with dial(server) as sock:
            sock.sendall(request_bytes("/", {}))
            while not server.requests:
                sock.settimeout(0.001)
                with pytest.raises(socket.timeout):
                    sock.recv(1)
        assert server.wait_closed()
        assert server.left == [1]


def test_a_step_that_does_not_exist_is_told_when_the_server_is_made():
    with pytest.raises(ValueError, match="'sleep' is none of"):
        RawServer([b"x", ["sleep"]])


def test_it_speaks_tls_and_cuts_it():
    authority = trustme.CA()
    server_context, client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    authority.configure_trust(client_context)
    with RawServer([b"part", "close"], tls=server_context) as server:
        with (
            dial(server) as plain,
            client_context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as sock,
        ):
            sock.sendall(request_bytes("/", {}))
            assert sock.recv(4) == b"part"
            # Python 3.9 tells OpenSSL to pass a cut off as an end.
            with contextlib.nullcontext() if sys.version_info < (3, 10) else pytest.raises(ssl.SSLEOFError):
                assert sock.recv(1) == b""
        assert server.requests[0].method == "POST"


def test_a_server_that_never_started_has_no_address():
    with pytest.raises(RuntimeError, match="not started"):
        _ = RawServer().url
