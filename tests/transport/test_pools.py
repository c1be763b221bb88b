"""What goes out, piece by piece, and the pools that are kept."""

from __future__ import annotations

import http.client
import socket

import pytest
import requests

from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.transport import connections, pools, readers
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Deadline, Timeout
from aichatkit.transport.transport import Transport


@pytest.fixture
def held():
    made = Connections()
    yield made
    made.close()


@pytest.fixture
def transport(held):
    return Transport(
        held, provider="test", base_url="http://127.0.0.1:9", timeout=Timeout(connect=5, read=5), deadline=Deadline()
    )


keeps_pools = pytest.mark.skipif(
    not hasattr(requests.adapters.HTTPAdapter, "get_connection_with_tls_context"),
    reason="older versions of requests look up a pool in another way",
)


def post(url: str, **fields) -> requests.Request:
    return requests.Request("POST", url, **fields)


@pytest.fixture
def sent(monkeypatch):
    """What goes out, call by call."""
    pieces = []
    send = socket.socket.sendall

    def kept(self, data, *flags):
        pieces.append(bytes(data))
        return send(self, data, *flags)

    # The server of the test sends as well; only what a client says begins like this or follows it.
    monkeypatch.setattr(socket.socket, "sendall", kept)
    return lambda: [piece for piece in pieces if not piece.startswith((b"HTTP/", b"data:"))]


def test_head_and_body_go_out_in_one_piece(transport, sent):
    with RawServer([response(b"ok")]) as server:
        transport.send(post(server.url, data=b'{"a": 1}')).read_body(9)
        assert server.requests[0].body == b'{"a": 1}'
    assert [(piece[:4], piece[-8:]) for piece in sent()] == [(b"POST", b'{"a": 1}')]


def test_a_request_without_a_body_goes_out_as_well(transport, sent):
    with RawServer([response(b"ok")]) as server:
        assert transport.get_text(server.url) == "ok"
    assert [piece[:4] for piece in sent()] == [b"GET "]


def test_a_large_body_is_not_copied_behind_its_head(transport, sent):
    body = b"x" * (pools.MAX_JOINED_BODY + 1)
    with RawServer([response(b"ok")]) as server:
        transport.send(post(server.url, data=body)).read_body(9)
        assert server.requests[0].body == body
    assert [len(piece) == len(body) for piece in sent()] == [False, True]


def test_a_body_that_is_sent_bit_by_bit_is_not_held_back(held, sent):
    seen = []

    def bits():
        yield b"one"
        seen.append(len(sent()))
        yield b"two"

    with RawServer([response(b"ok")]) as server:
        assert held.session.post(server.url, data=bits(), timeout=5).text == "ok"
        assert server.requests[0].body == b"onetwo"
    assert seen[0] >= 1


@keeps_pools
def test_the_pool_of_a_host_is_looked_up_once(held, transport, monkeypatch):
    asked = []
    usual = requests.adapters.HTTPAdapter.get_connection_with_tls_context

    def counted(self, request, *args, **kwargs):
        asked.append(request.url)
        return usual(self, request, *args, **kwargs)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "get_connection_with_tls_context", counted)
    with RawServer([response(b"ok")]) as server, RawServer([response(b"ok")]) as other:
        for at in (server, server, other, server):
            assert transport.get_text(f"{at.url}/") == "ok"
        assert asked == [f"{server.url}/", f"{other.url}/"]
        # Who closes the Session and goes on finds a pool that is open.
        held.session.close()
        assert transport.get_text(f"{server.url}/") == "ok"
    assert len(asked) == 3


@keeps_pools
def test_a_pool_that_was_closed_is_not_used_again(held, transport):
    with RawServer([response(b"ok")]) as server:
        assert transport.get_text(server.url) == "ok"
        held.session.get_adapter(server.url).poolmanager.connection_from_url(server.url).close()
        assert transport.get_text(server.url) == "ok"


def test_a_connection_that_answers_in_its_own_way_goes_on_doing_so():
    kinds = [
        type("Connection", (http.client.HTTPConnection,), {"response_class": kind})
        for kind in (http.client.HTTPResponse, dict)
    ]
    made = [pools._tracked_pool(type("Pool", (), {"ConnectionCls": kind})).ConnectionCls for kind in kinds]
    assert [kind.response_class for kind in made] == [pools._open_response, dict]


@keeps_pools
def test_pools_of_many_hosts_are_not_all_kept(held):
    adapter = held.session.get_adapter("http://x")
    for port in range(1, 40):
        request = requests.Request("GET", f"http://127.0.0.1:{port}").prepare()
        adapter.get_connection_with_tls_context(request, True)
    assert len(adapter.pools) <= connections._MAX_HOSTS
    held.close()
    assert not adapter.pools


def test_an_end_that_is_in_hand_is_not_waited_for(transport, monkeypatch):
    limits = []
    with RawServer([chunked_head() + chunk(b"data: [DONE]\n\n") + chunk(b"")]) as server:
        answer = transport.send(post(server.url))
        while b"[DONE]" not in answer.read_block():
            continue
        monkeypatch.setattr(answer, "_set_timeout", limits.append)
        answer.finish()
        assert answer.closed
    assert limits == []


def test_headers_that_went_out_before_are_not_looked_through_again(transport, monkeypatch):
    looked = []
    usual = http.client.HTTPConnection.putheader

    def counted(self, name, *values):
        looked.append(name)
        return usual(self, name, *values)

    monkeypatch.setattr(http.client.HTTPConnection, "putheader", counted)
    with RawServer([response(b"ok")]) as server:
        for body, name in ((b"1", "a"), (b"2", "a"), (b"333", "b")):
            transport.send(post(server.url, data=body, headers={"X-Name": name})).read_body(9)
        told = [(sent.headers["x-name"], sent.headers["content-length"], sent.body) for sent in server.requests]
    assert told == [("a", "1", b"1"), ("a", "1", b"2"), ("b", "3", b"333")]
    # The length of a body and what a call brings are new; the rest is known.
    later = looked[looked.index("X-Name") + 1 :]
    assert later.count("X-Name") == 1
    assert later.count("User-Agent") == 0


def test_a_connection_of_another_kind_writes_its_headers_itself():
    class Plain:
        def putheader(self, name, *values):
            self.wrote = [*getattr(self, "wrote", ()), (name, *values)]

    kind = type("TrackedConnection", (pools._TrackedMixin, Plain), {"_header_lines": {}})
    made = kind()
    for _ in range(2):
        made.putheader("A", "b")
    assert made.wrote == [("A", "b"), ("A", "b")]


class Connecting:
    """A connection with an open socket."""

    def __init__(self, sock):
        self.sock = sock

    def _new_conn(self):
        return self.sock

    def _tunnel(self):
        """The proxy accepts the connection."""


class Tracked(pools._TrackedMixin, Connecting):
    pass


@pytest.fixture
def pair():
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def test_handshakes_without_limits_have_none(pair):
    connection = Tracked(pair[0])
    assert connection._new_conn() is pair[0]
    connection._tunnel()
    assert pair[0].gettimeout() is None


def test_the_handshakes_share_the_time_of_one_attempt(pair):
    pair[0].settimeout(5)
    connection = Tracked(pair[0])
    connection._new_conn()
    first = pair[0].gettimeout()
    connection._tunnel()
    assert 4 < pair[0].gettimeout() < first <= 5


def test_no_handshake_starts_after_the_deadline(pair):
    pair[0].settimeout(5)
    connection = Tracked(pair[0])
    with Connections().pending_request(deadline=Deadline(1e-9)), pytest.raises(socket.timeout):
        connection._new_conn()
    assert pair[0].fileno() == -1


def test_no_read_starts_after_the_deadline(pair):
    with pair[0].makefile("rb") as file:
        readers.bound_reads(file, Deadline(1e-9))
        with pytest.raises(socket.timeout):
            file.read(1)
