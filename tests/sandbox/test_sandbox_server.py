from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import trustme
from sandbox_talk import CHAT, dial, read_all, request_bytes, talk, text_of

from aichatkit.sandbox import Sandbox, playground, serve, server
from aichatkit.sandbox.server import ClientDisconnected, Connection, Listener

STREAM = {**CHAT, "stream": True}
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls_box(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Sandbox(tls=context) as sandbox:
        yield sandbox


def test_a_stop_leaves_no_thread_and_no_open_port():
    before = set(threading.enumerate())
    with Sandbox() as sandbox, dial(sandbox) as idle, dial(sandbox) as stalled:
        stalled.sendall(request_bytes(f"/fault/stall{PATH}", STREAM))
        stalled.recv(1)
        sandbox.close()
        assert set(threading.enumerate()) <= before
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            dial(sandbox)


def test_close_and_start_may_be_called_twice():
    sandbox = Sandbox().start()
    assert sandbox.start().url == sandbox.url
    sandbox.close()
    sandbox.close()


def test_a_sandbox_that_never_started_closes_and_has_no_address():
    sandbox = Sandbox()
    sandbox.close()
    with pytest.raises(RuntimeError, match="not started"):
        _ = sandbox.url


def test_the_port_asked_for_is_the_port_that_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Sandbox(port) as sandbox:
        assert sandbox.url == f"http://127.0.0.1:{port}"


def test_it_listens_on_ipv6():
    try:
        sandbox = Sandbox(host="::1").start()
    except OSError:
        pytest.skip("there is no IPv6 here")
    with sandbox:
        assert talk(sandbox, "/v1/models", method="GET").status == 200


def test_each_piece_of_text_is_sent_before_the_next_one_is_due(box):
    # The server stays silent after two pieces: what arrives has been flushed.
    with dial(box) as sock:
        sock.sendall(request_bytes(f"/fault/stall,after=2{PATH}", STREAM))
        raw = b""
        while raw.count(b"data: ") < 3:
            raw += sock.recv(65536)
        assert b'" long"' in raw
        assert b'" have"' not in raw


def test_the_delay_is_taken_before_each_piece_of_text():
    with Sandbox(delay=3600) as sandbox, dial(sandbox) as sock:
        sock.sendall(request_bytes(PATH, STREAM))
        raw = b""
        while b'"role"' not in raw:
            raw += sock.recv(65536)
        sock.settimeout(0.05)
        with pytest.raises(socket.timeout):
            sock.recv(65536)
        assert b'"How"' not in raw


def test_a_short_delay_loses_nothing():
    with Sandbox(delay=0.001) as sandbox:
        assert text_of(talk(sandbox, PATH, STREAM).body) == "How long have you been sad?"


def test_the_server_sees_a_client_leave_while_it_is_silent(box):
    with dial(box) as sock:
        sock.sendall(request_bytes(f"/fault/stall{PATH}", STREAM))
        sock.recv(1)
        assert box.open_connections == 1
    assert box.wait_closed()
    assert box.open_connections == 0


def test_the_server_sees_a_client_leave_while_it_talks(box):
    with dial(box) as sock:
        sock.sendall(request_bytes(f"/fault/error-body-huge{PATH}", STREAM))
        sock.recv(1)
    assert box.wait_closed()


def test_waiting_for_clients_to_leave_gives_up(box):
    with dial(box):
        while not box.open_connections:
            time.sleep(0.001)
        assert not box.wait_closed(0.01)


def test_a_kept_connection_takes_further_requests(box):
    with requests.Session() as session:
        for _ in range(3):
            session.post(box.url + PATH, json=CHAT, timeout=5)
    assert box.connections == 1
    assert [request.connection for request in box.requests] == [1, 1, 1]


@pytest.mark.parametrize("fault", ["refuse", "cut", "cut-chunk", "wrong-length", "close-delimited", "hang-up"])
def test_a_fault_that_ends_the_connection_ends_it_for_clients_that_want_to_keep_it(box, fault):
    with dial(box) as sock:
        sock.sendall(request_bytes(f"/fault/{fault}{PATH}", STREAM, keep=True))
        assert read_all(sock).end == "closed"


def test_small_pieces_are_not_held_back_to_be_sent_together():
    seen = []
    listener = Listener(
        lambda connection: seen.append(connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    )
    with dial(listener) as sock:
        assert sock.recv(1) == b""
    listener.close()
    assert seen[0]


def test_a_request_sent_while_the_answer_waits_is_answered_after_it(box):
    with dial(box) as sock:
        sock.sendall(request_bytes(f"/fault/slow-head,seconds=0.05{PATH}", CHAT, keep=True))
        sock.sendall(request_bytes(PATH, CHAT))
        assert read_all(sock).raw.count(b"HTTP/1.1 200") == 2


def test_a_request_is_recorded_as_it_came(box):
    talk(box, PATH + "?a=1&b=", CHAT, headers={"X-Own": "yes"})
    (request,) = box.requests
    assert (request.method, request.path, request.query) == ("POST", PATH, {"a": "1", "b": ""})
    assert request.headers["x-own"] == request.headers.get("X-OWN") == "yes"
    assert request.json() == CHAT
    assert "x-own" in request.headers
    assert len(request.headers) == len(list(request.headers)) == 5
    assert "X-Own" in repr(request.headers)


def test_it_can_stand_in_for_a_proxy(box):
    answer = requests.get("http://elsewhere.test/v1/models?a=1", proxies={"http": box.url}, timeout=5)
    assert answer.json()["object"] == "list"
    assert (box.requests[0].path, box.requests[0].query) == ("/v1/models", {"a": "1"})
    assert box.requests[0].target == "http://elsewhere.test/v1/models?a=1"
    assert box.requests[0].headers["host"] == "elsewhere.test"


def test_only_the_latest_requests_are_kept(box, monkeypatch):
    monkeypatch.setattr(playground, "_MAX_REQUESTS", 2)
    for path in ("/a", "/b", "/c"):
        talk(box, path, method="GET")
    assert [request.path for request in box.requests] == ["/b", "/c"]


def test_a_chunked_request_body_is_put_together(box):
    raw = request_bytes(PATH, body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
    with dial(box) as sock:
        sock.sendall(
            raw + b"4;x=y\r\n" + body[:4] + b"\r\n%x\r\n" % (len(body) - 4) + body[4:] + b"\r\n0\r\nT: r\r\n\r\n"
        )
        assert read_all(sock).status == 200
    assert box.requests[0].body == body


def test_a_client_that_asks_first_is_told_to_go_on(box):
    raw = request_bytes(PATH, CHAT, headers={"Expect": "100-continue"})
    head, _, body = raw.partition(b"\r\n\r\n")
    with dial(box) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_all(sock).status == 200


def test_http_1_0_gets_a_body_that_ends_with_the_connection(box):
    raw = request_bytes(PATH, STREAM, keep=True).replace(b"HTTP/1.1", b"HTTP/1.0")
    with dial(box) as sock:
        sock.sendall(raw)
        answer = read_all(sock)
    assert answer.headers["connection"] == "close"
    assert text_of(answer.rest) == "How long have you been sad?"


def test_http_1_0_may_ask_to_keep_the_connection(box):
    raw = request_bytes(PATH, CHAT, keep=True, headers={"Connection": "keep-alive"}).replace(b"HTTP/1.1", b"HTTP/1.0")
    with dial(box) as sock:
        sock.sendall(raw)
        sock.recv(1)
        sock.sendall(request_bytes("/v1/models", method="GET"))
        assert b'"list"' in read_all(sock).raw


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n spaced: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 201 + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 70_000, 400),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFF\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_a_request_that_is_no_http_is_refused(box, raw, status):
    with dial(box) as sock:
        sock.sendall(raw)
        answer = read_all(sock)
    assert answer.status == status
    assert answer.json()["error"]["message"]


def test_a_head_request_is_answered_without_a_body(box):
    assert talk(box, "/", method="HEAD").rest == b""


def test_a_client_that_leaves_in_the_middle_of_a_request_does_no_harm(box):
    with dial(box) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n123")
    assert box.wait_closed()
    assert talk(box, "/v1/models", method="GET").status == 200


def test_a_client_that_resets_does_no_harm(box):
    with dial(box) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(b"POST / ")
    assert box.wait_closed()


@pytest.mark.parametrize("use", [lambda end: end.read(1), lambda end: end.send(b"x"), lambda end: end.wait(1)])
def test_a_connection_that_is_no_more_is_gone_for_every_use(use):
    ours, theirs = socket.socketpair()
    with theirs:
        connection = Connection(1, ours)
        connection.close()
        with pytest.raises((ClientDisconnected, OSError)):
            use(connection)
        connection.reset()


def test_sixty_four_clients_at_once_each_get_their_own_answer(box):
    def ask(number):
        record = {"model": "m", "messages": [{"role": "user", "content": f"I need lamp {number}"}], "stream": True}
        return text_of(talk(box, PATH, record).body)

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(ask, range(64)))
    assert answers == [f"What would it mean to you to get lamp {number}?" for number in range(64)]
    assert box.connections == 64


def test_it_speaks_tls(tls_box, authority, tmp_path):
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    assert tls_box.url.startswith("https://")
    answer = requests.post(tls_box.url + PATH, json=STREAM, verify=str(bundle), timeout=5)
    assert text_of(answer.content) == "How long have you been sad?"


def test_a_client_that_does_not_trust_the_certificate_does_no_harm(tls_box):
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(tls_box.url, timeout=5)
    assert tls_box.requests == []
    assert tls_box.wait_closed()


def test_a_stop_does_not_wait_for_a_client_that_is_silent_in_the_handshake(tls_box):
    with dial(tls_box):
        while not tls_box.open_connections:
            time.sleep(0.001)
        tls_box.close()
        assert tls_box.open_connections == 0


def test_a_stop_in_the_moment_between_two_sockets_is_not_lost():
    class Context:
        def wrap_socket(self, sock, **options):
            # The plain socket no longer holds the connection, and the one over it is not known yet.
            made = socket.socket(fileno=sock.detach())
            connection.shut_down()
            return made

    ours, theirs = socket.socketpair()
    connection = Connection(1, ours)
    with theirs, pytest.raises(ClientDisconnected):
        server._start_tls(connection, Context())
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_leaves_the_parents_connections_alone(box):
    with dial(box) as sock:
        sock.sendall(request_bytes("/v1/models", method="GET", keep=True))
        raw = b""
        while not raw.endswith(b"}]}"):
            raw += sock.recv(65536)
        child = os.fork()
        if not child:
            box.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        sock.sendall(request_bytes("/v1/models", method="GET"))
        assert read_all(sock).status == 200


def test_a_fork_after_the_stop_finds_nothing_to_drop(monkeypatch):
    listener = Listener(lambda connection: connection.wait(60))
    monkeypatch.setattr(server, "_LISTENERS", {listener})
    listener.close()
    server._close_listeners_after_fork()
    assert listener.open_connections == 0


def test_serving_ends_with_an_interrupt_from_the_keyboard():
    seen = []

    def announce(url):
        seen.append(url)
        raise KeyboardInterrupt

    serve(0, announce=announce)
    with pytest.raises(requests.ConnectionError):
        requests.get(seen[0], timeout=5)


def test_serving_goes_on_until_the_interrupt(monkeypatch):
    slept = []
    answers = []

    def sleep(seconds):
        slept.append(seconds)
        answers.append(requests.post(answers[0] + PATH, json=CHAT, timeout=5).status_code)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    serve(0, fault="quota", announce=answers.append)
    assert answers[1:] == [429, 429]
