"""The shortcut on pooled connections: the same bytes as the usual way, and only where nobody else looks."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import http.client
import logging
import os
import socket
import ssl
import threading
import types

import pytest
import requests
import responses as doubles
import urllib3
from background import in_thread

from aichatkit import (
    ChatError,
    Client,
    ConfigurationError,
    ConnectError,
    ServerError,
    StreamInterruptedError,
    TimedOutError,
    Timeout,
)
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.transport import connections, shortcut
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Deadline
from aichatkit.transport.transport import Transport

pytestmark = pytest.mark.skipif(
    not hasattr(requests.adapters.HTTPAdapter, "get_connection_with_tls_context"),
    reason="older versions of requests look up a pool in another way",
)

RECORDS = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
ANSWER = chunked_head() + chunk(RECORDS) + chunk(b"")


@pytest.fixture
def taken(monkeypatch):
    """For each request, whether it took the shortcut; the first of a client does not ask."""
    found = []
    send = shortcut.Shortcut.send

    def watched(self, *args):
        found.append(True)
        received = send(self, *args)
        found[-1] = received is not None
        return received

    monkeypatch.setattr(shortcut.Shortcut, "send", watched)
    return found


@pytest.fixture
def server():
    with RawServer(lambda request: [ANSWER]) as server:
        yield server


@pytest.fixture
def client(server):
    with Client(model="openai/m", api_key="sk-key", base_url=f"{server.url}/v1", retry=0) as client:
        yield client


@pytest.fixture
def warm(client):
    """A client whose next request would take the shortcut."""
    for _ in range(2):
        client.ask("Hi")
    return client


def connect(server, **options):
    return Client(model="openai/m", api_key="k", base_url=server.url, **{"retry": 0, **options})


def heads(server):
    return [(request.method, request.path, list(request.headers.items())) for request in server.requests]


def test_a_request_that_was_sent_before_takes_the_shortcut(client, server, taken):
    assert [client.ask("Hi").text for _ in range(4)] == ["Hi"] * 4
    assert taken == [False, True, True]
    assert server.connections == 1
    assert len(set(map(str, heads(server)))) == 1
    assert len({request.body for request in server.requests}) == 1


def test_the_length_of_the_body_is_its_own(warm, server, taken):
    for prompt in ("a", "a much longer prompt", "é" * 50):
        warm.ask(prompt)
    assert taken == [True] * 3
    lengths = [(int(request.headers["content-length"]), len(request.body)) for request in server.requests]
    assert all(told == size for told, size in lengths)
    assert len(set(lengths)) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Mine": "1"}},
        {"model": "openai/other", "temperature": 0.5},
        {"timeout": Timeout(read=9, total=9)},
    ],
    ids=str,
)
def test_a_call_with_other_settings_arrives_with_them(warm, server, options):
    for _ in range(3):
        warm.ask("Hi", **options)
    assert len(set(map(str, heads(server)[2:]))) == 1
    if "headers" in options:
        assert {request.headers.get("x-mine") for request in server.requests[2:]} == {"1"}
        assert warm.ask("Hi").text == "Hi"
        assert "x-mine" not in server.requests[-1].headers


def test_a_call_leaves_no_garbage_in_cycles(warm, taken):
    garbage = []
    gc.disable()
    try:
        for _ in range(5):
            gc.collect()
            warm.ask("Hi")
            garbage.append(gc.collect())
    finally:
        gc.enable()
    assert taken == [True] * 5
    # Threads that other tests have left may add to it.
    assert min(garbage) == 0


def test_each_key_is_sent_with_its_own_calls(server, taken):
    with Client(model="openai/m", api_key=["sk-a", "sk-b"], base_url=f"{server.url}/v1", retry=0) as client:
        for _ in range(4):
            client.ask("Hi")
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-a"}


# Who looks at requests, and how they put themselves in the way.

LAYERS = [
    (requests.Session, "send"),
    (requests.Session, "get_adapter"),
    (requests.adapters.HTTPAdapter, "send"),
    (requests.adapters.HTTPAdapter, "build_response"),
    (requests.adapters.HTTPAdapter, "add_headers"),
    (urllib3.HTTPConnectionPool, "urlopen"),
    (urllib3.HTTPConnectionPool, "_make_request"),
    (urllib3.connection.HTTPConnection, "request"),
    (http.client.HTTPConnection, "putrequest"),
    (http.client.HTTPConnection, "endheaders"),
    (http.client.HTTPConnection, "send"),
]


@pytest.mark.parametrize(("owner", "name"), LAYERS, ids=lambda value: getattr(value, "__name__", value))
def test_whoever_replaces_a_layer_sees_every_request(warm, server, taken, monkeypatch, owner, name):
    seen = []
    usual = getattr(owner, name)

    @functools.wraps(usual)
    def watched(self, *args, **kwargs):
        seen.append(name)
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, watched)
    for _ in range(2):
        before = len(seen)
        assert warm.ask("Hi").text == "Hi"
        assert len(seen) > before
    assert taken == [False, False]
    monkeypatch.undo()
    assert warm.ask("Hi").text == "Hi"


class Proxy:
    """A wrapper that claims the class of what it wraps, as those of tracing libraries do."""

    def __init__(self, wrapped, seen):
        self.wrapped, self.seen = wrapped, seen

    @property
    def __class__(self):
        return types.FunctionType

    def __getattr__(self, name):
        return getattr(self.wrapped, name)

    def __get__(self, instance, owner):
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args, **kwargs):
        self.seen.append(args)
        return self.wrapped(*args, **kwargs)


def test_a_wrapper_that_looks_like_the_function_sees_every_request(warm, monkeypatch):
    seen = []
    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", Proxy(urllib3.HTTPConnectionPool.urlopen, seen))
    for _ in range(3):
        warm.ask("Hi")
    assert len(seen) == 3


def test_instrumentation_that_came_first_is_not_taken_for_the_original(client, monkeypatch, taken):
    seen = []
    usual = requests.Session.send

    def watched(self, request, **options):
        seen.append(request)
        return usual(self, request, **options)

    monkeypatch.setattr(shortcut, "_untouched", [])
    monkeypatch.setattr(requests.Session, "send", watched)
    for _ in range(4):
        client.ask("Hi")
    assert len(seen) == 4
    assert True not in taken
    monkeypatch.setattr(requests.Session, "send", usual)
    for _ in range(2):
        client.ask("Hi")
    assert taken[-1]


def test_connections_of_another_class_are_left_to_them(warm, monkeypatch, taken):
    class Recorded(urllib3.connection.HTTPConnection):
        """A recorder's."""

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "ConnectionCls", Recorded)
    warm.ask("Hi")
    assert taken == [False]


def test_responses_answers_in_place_of_a_warm_client(warm, server):
    with doubles.RequestsMock() as mock:
        mock.post(f"{server.url}/v1/chat/completions", body=RECORDS, content_type="text/event-stream")
        before = len(server.requests)
        assert warm.ask("Hi").text == "Hi"
        assert len(mock.calls) == 1
    assert len(server.requests) == before
    assert warm.ask("Hi").text == "Hi"
    assert len(server.requests) == before + 1


def test_requests_mock_answers_in_place_of_a_warm_client(warm, server):
    mocks = pytest.importorskip("requests_mock")
    for options in ({}, {"session": warm.session}):
        before = len(server.requests)
        with mocks.Mocker(**options) as mock:
            mock.post(f"{server.url}/v1/chat/completions", content=RECORDS)
            assert warm.ask("Hi").text == "Hi"
            assert mock.call_count == 1
        assert len(server.requests) == before


def test_a_tape_of_vcrpy_sees_a_client_made_while_it_runs(server, tmp_path, taken):
    vcr = pytest.importorskip("vcr", reason="vcrpy needs Python 3.11")
    with vcr.use_cassette(str(tmp_path / "tape.yaml"), record_mode="all") as tape:
        with Client(model="openai/m", api_key="sk-key", base_url=f"{server.url}/v1", retry=0) as client:
            for _ in range(4):
                client.ask("Hi")
        assert len(tape) == 4
    assert True not in taken


@pytest.mark.filterwarnings("ignore:Transitional processing:DeprecationWarning")  # requests-cache on older Pythons
def test_a_cached_session_is_asked_every_time(server, taken):
    caches = pytest.importorskip("requests_cache")
    session = caches.CachedSession(backend="memory", allowable_methods=["POST"])
    with session, Client(model="openai/m", api_key="k", base_url=server.url, session=session) as client:
        for _ in range(4):
            client.ask("Hi")
    assert (len(server.requests), taken) == (1, [])


def test_a_session_of_the_user_goes_the_usual_way(server, taken):
    sent = []

    class Mine(requests.Session):
        def send(self, request, **options):
            sent.append(request.url)
            return super().send(request, **options)

    with Mine() as session, Client(model="openai/m", api_key="k", base_url=server.url, session=session) as client:
        for _ in range(4):
            client.ask("Hi")
    assert (len(sent), taken) == (4, [])


def watch_hooks(session, seen):
    session.hooks["response"].append(lambda response, **_: seen.append(response))


def watch_own_send(session, seen):
    send = session.send
    session.send = lambda request, **options: (seen.append(request), send(request, **options))[1]


def watch_adapter(session, seen):
    class Mine(requests.adapters.HTTPAdapter):
        def send(self, request, **options):
            seen.append(request)
            return super().send(request, **options)

    session.mount("http://", Mine())


def watch_deeper_adapter(session, seen):
    watch_adapter(session, seen)
    session.mount("http://127.0.0.1", session.adapters.pop("http://"))
    session.mount("http://", session.adapters["https://"])


def watch_send_of_the_adapter(session, seen):
    adapter = session.adapters["http://"]
    send = adapter.send
    adapter.send = lambda request, **options: (seen.append(request), send(request, **options))[1]


def watch_pool(session, seen):
    for pool in session.adapters["http://"].pools.values():
        urlopen = pool.urlopen
        pool.urlopen = lambda *args, urlopen=urlopen, **options: (seen.append(args), urlopen(*args, **options))[1]


def watch_auth(session, seen):
    session.auth = lambda request: (seen.append(request), request)[1]


WATCHERS = [
    watch_hooks,
    watch_own_send,
    watch_adapter,
    watch_deeper_adapter,
    watch_send_of_the_adapter,
    watch_pool,
]


@pytest.mark.parametrize("watch", WATCHERS, ids=lambda watch: watch.__name__[6:])
def test_what_the_clients_session_is_given_sees_every_request(warm, server, taken, watch):
    seen = []
    watch(warm.session, seen)
    for count in (1, 2):
        assert warm.ask("Hi").text == "Hi"
        assert len(seen) == count
    assert taken == [False, False]


def test_headers_cookies_and_parameters_of_the_clients_session_are_sent(warm, server):
    session = warm.session
    session.headers["X-Later"] = "1"
    for _ in range(2):
        warm.ask("Hi")
    assert [request.headers.get("x-later") for request in server.requests[-2:]] == ["1", "1"]
    session.cookies.set("seen", "yes")
    warm.ask("Hi")
    assert server.requests[-1].headers["cookie"] == "seen=yes"
    session.cookies.clear()
    session.params = {"version": "2"}
    warm.ask("Hi")
    assert server.requests[-1].query == {"version": "2"}
    session.params = {}
    del session.headers["User-Agent"]
    for _ in range(3):
        warm.ask("Hi")
    assert {request.headers["user-agent"] for request in server.requests[-3:]} == {
        server.requests[-1].headers["user-agent"]
    }


def test_headers_of_another_class_go_the_usual_way(warm, server, taken):
    warm.session.headers = dict(warm.session.headers, Later="1")
    warm.ask("Hi")
    assert (taken, server.requests[-1].headers["later"]) == ([False], "1")


def test_cookies_of_an_answer_are_not_sent_with_the_next_call(taken):
    answer = ANSWER.replace(b"\r\n\r\n", b"\r\nSet-Cookie: id=1; Path=/\r\n\r\n", 1)
    with RawServer(lambda request: [answer]) as server, connect(server) as client:
        for _ in range(5):
            client.ask("Hi")
        assert len(client.session.cookies) == 0
    assert taken[-1]
    assert not any("cookie" in request.headers for request in server.requests)


def test_a_proxy_in_the_environment_is_used_from_then_on(warm, server, monkeypatch):
    with RawServer(lambda request: [ANSWER]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        for _ in range(3):
            warm.ask("Hi")
        assert len(proxy.requests) == 3
    assert len(server.requests) == 2


def test_a_proxy_of_the_call_is_used(warm, server):
    with RawServer(lambda request: [ANSWER]) as proxy:
        for _ in range(3):
            warm.ask("Hi", proxies=proxy.url)
        assert len(proxy.requests) == 3
    assert len(server.requests) == 2


def test_netrc_is_not_read(warm, server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for _ in range(2):
        warm.ask("Hi")
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-key"}


def test_the_debug_log_of_urllib3_has_every_request(warm, caplog, taken):
    with caplog.at_level(logging.DEBUG, "urllib3.connectionpool"):
        warm.ask("Hi")
    assert taken == [False]
    assert "POST /v1/chat/completions" in caplog.text


def test_the_debug_level_of_http_client_shows_every_request(warm, monkeypatch, capsys, taken):
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    warm.ask("Hi")
    assert taken == [False]
    assert "POST /v1/chat/completions" in capsys.readouterr().out


def test_a_large_body_goes_the_usual_way(warm, server, taken):
    warm.ask("x" * 70_000)
    assert taken == [False]
    assert len(server.requests[-1].body) > 70_000


def test_an_unhashable_header_is_refused_as_before(warm):
    with pytest.raises(ConfigurationError):
        warm.ask("Hi", headers={"X-List": ["a"]})


def test_a_redirect_is_an_error_and_is_not_followed(taken):
    moved = response(status="302 Found", headers=[("Location", "http://127.0.0.1:9/x")])
    script = lambda request: [ANSWER if len(server.requests) < 3 else moved]  # noqa: E731
    with RawServer(script) as server, connect(server) as client:
        client.ask("Hi"), client.ask("Hi")
        with pytest.raises(ChatError, match="302"):
            client.ask("Hi")
    assert taken == [False, True]
    assert len(server.requests) == 3


def test_repeated_headers_are_joined_as_requests_joins_them(taken):
    head = chunked_head().replace(b"\r\n\r\n", b"\r\nX-A: 1\r\nx-a: 2\r\nX-B: 3\r\n\r\n", 1)
    with RawServer(lambda request: [head + chunk(RECORDS) + chunk(b"")]) as server, connect(server) as client:
        replies = [client.ask("Hi") for _ in range(3)]
    assert taken == [False, True]
    assert [dict(reply.headers) for reply in replies] == [dict(replies[0].headers)] * 3
    found = replies[-1].headers
    assert (found["x-A"], found.get("X-a"), found.get("nothing"), found.get("none", "-")) == ("1, 2", "1, 2", None, "-")
    assert found == replies[0].headers


def test_a_head_that_is_not_plain_is_read_all_the_same(taken):
    head = chunked_head().replace(b"\r\n\r\n", "\r\nX-Name: é\r\n\r\n".encode(), 1)
    with RawServer(lambda request: [head + chunk(RECORDS) + chunk(b"")]) as server, connect(server) as client:
        replies = [client.ask("Hi") for _ in range(3)]
    assert taken == [False, True]
    assert dict(replies[2].headers) == dict(replies[0].headers)


def test_a_closed_connection_is_replaced(taken):
    script = lambda request: [ANSWER, "close"] if len(server.requests) == 2 else [ANSWER]  # noqa: E731
    with RawServer(script) as server, connect(server) as client:
        for _ in range(2):
            client.ask("Hi")
        wait_until_dropped(client)
        assert [client.ask("Hi").text for _ in range(2)] == ["Hi", "Hi"]
        assert taken == [False, True, True]
        assert server.connections == 2


def wait_until_dropped(client):
    (pool,) = client.session.adapters["http://"].pools.values()
    sock = pool.pool.queue[-1].sock
    sock.settimeout(5)
    assert sock.recv(1, socket.MSG_PEEK) == b""


def test_an_answer_that_closes_its_connection_is_read_to_the_end(taken):
    closing = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + RECORDS
    script = lambda request: [closing, "close"] if len(server.requests) == 3 else [ANSWER]  # noqa: E731
    with RawServer(script) as server, connect(server) as client:
        assert [client.ask("Hi").text for _ in range(4)] == ["Hi"] * 4
        assert taken == [False, True, True]
        assert server.connections == 2


def test_a_stream_that_is_left_early_closes_its_connection(warm, server, taken):
    for _ in range(2):
        with warm.stream("Hi") as stream:
            next(stream)
    assert taken == [True, True]
    assert server.connections == 2


@pytest.mark.parametrize("step", ["reset", "close"])
def test_a_connection_that_breaks_is_asked_again_on_a_new_one(taken, policy, step):
    script = lambda request: [step] if len(server.requests) == 3 else [ANSWER]  # noqa: E731
    with (
        RawServer(script) as server,
        connect(server, retry=policy) as client,
    ):
        replies = [client.ask("Hi") for _ in range(3)]
        assert [type(attempt.error) for attempt in replies[2].attempts] == [ConnectError, type(None)]
        assert replies[2].attempts[0].error.stale
        assert server.connections == 2
    assert taken == [False, True, False]


def test_a_head_that_is_late_is_a_timeout(taken):
    late = threading.Event()
    script = lambda request: [late, ANSWER] if len(server.requests) == 3 else [ANSWER]  # noqa: E731
    with RawServer(script) as server, connect(server) as client:
        client.ask("Hi"), client.ask("Hi")
        with pytest.raises(TimedOutError) as caught:
            client.ask("Hi", timeout=(5, 0.05))
        late.set()
        assert (caught.value.phase, caught.value.maybe_processed) == ("head", True)
        assert client.ask("Hi").text == "Hi"


def test_a_head_that_is_no_http_is_an_error_that_says_so():
    script = lambda request: [b"garbage\r\n\r\n"] if len(server.requests) == 3 else [ANSWER]  # noqa: E731
    with RawServer(script) as server, connect(server) as client:
        client.ask("Hi"), client.ask("Hi")
        with pytest.raises(Exception, match="not HTTP"):
            client.ask("Hi")


def test_a_refusal_is_read_and_its_connection_kept(taken):
    down = response(b'{"error": {"message": "down"}}', status="500 Oops")
    script = lambda request: [down] if len(server.requests) == 3 else [ANSWER]  # noqa: E731
    with RawServer(script) as server, connect(server) as client:
        client.ask("Hi"), client.ask("Hi")
        with pytest.raises(ServerError, match="down"):
            client.ask("Hi")
        assert client.ask("Hi").text == "Hi"
        assert (server.connections, taken) == (1, [False, True, True])


def test_closing_the_client_wakes_a_call_that_waits_for_its_head():
    asked, late = threading.Event(), threading.Event()

    def script(request):
        if len(server.requests) < 3:
            return [ANSWER]
        asked.set()
        return [late, ANSWER]

    with RawServer(script) as server, connect(server) as client:
        client.ask("Hi"), client.ask("Hi")
        threading.Thread(target=lambda: (asked.wait(5), client.close()), daemon=True).start()
        with pytest.raises((ConnectError, StreamInterruptedError)):
            client.ask("Hi")
        late.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_another_process_starts_without_the_shortcut(warm, monkeypatch):
    context = warm._context
    assert context.connections._shortcut is not None
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert context.connections.session is not None
    assert context.connections._shortcut is None


# The parts, by themselves.


@pytest.fixture
def transport():
    made = Connections()
    yield Transport(made, provider="t", base_url="http://x", timeout=Timeout(connect=5, read=5), deadline=Deadline())
    made.close()


def post(url, **parts):
    return requests.Request("POST", url, headers={}, data=b"{}", **parts)


def test_cookies_of_a_handshake_are_sent_with_the_request_after_it(transport, taken):
    cookie = response(b"ok", headers=[("Set-Cookie", "id=7; Path=/")])
    script = lambda request: [cookie if len(server.requests) > 2 else response(b"ok")]  # noqa: E731
    with RawServer(script) as server:
        for _ in range(5):
            transport.send(post(server.url)).read_body(9)
    assert [request.headers.get("cookie") for request in server.requests] == [None, None, None, "id=7", "id=7"]
    assert taken == [False, True]


def test_an_encoding_that_only_urllib3_knows_is_left_to_it(transport, taken, monkeypatch):
    monkeypatch.setattr(urllib3.HTTPResponse, "CONTENT_DECODERS", ["br"], raising=False)
    monkeypatch.setattr(urllib3.response.HTTPResponse, "CONTENT_DECODERS", ["br"], raising=False)
    plain, packed = response(b"plain"), response(b"plain", headers=[("Content-Encoding", "br")])
    monkeypatch.setattr(
        urllib3.response,
        "_get_decoder",
        lambda mode: types.SimpleNamespace(
            decompress=lambda data, **_: data, flush=lambda: b"", has_unconsumed_tail=False
        ),
    )
    script = lambda request: [packed if len(server.requests) > 2 else plain]  # noqa: E731
    with RawServer(script) as server:
        bodies = [transport.send(post(server.url)).read_body(9) for _ in range(3)]
    assert bodies == [(b"plain", True)] * 3
    assert taken == [False, True]


@pytest.mark.parametrize("parts", [{"params": {"a": "b"}}, {"files": {"f": b"x"}}], ids=str)
def test_a_request_with_more_than_a_body_goes_the_usual_way(transport, taken, parts):
    with RawServer(lambda request: [response(b"ok")]) as server:
        for _ in range(2):
            transport.send(post(server.url)).read_body(9)
        request = post(server.url, **parts)
        request.data = request.data if "params" in parts else {}
        transport.send(request).read_body(9)
    assert taken == [False, False]


def test_without_verification_every_request_goes_the_usual_way(taken):
    made = Connections(verify=False)
    http = Transport(made, provider="t", base_url="http://x", timeout=Timeout(connect=5, read=5), deadline=Deadline())
    with RawServer(lambda request: [response(b"ok")]) as server:
        for _ in range(4):
            http.send(post(server.url)).read_body(9)
    assert taken == [False, False, False]
    made.close()


def test_a_pool_that_was_closed_is_not_used(transport, taken):
    with RawServer(lambda request: [response(b"ok")]) as server:
        for _ in range(2):
            transport.send(post(server.url)).read_body(9)
        transport._connections.session.close()
        for _ in range(3):
            assert transport.send(post(server.url)).read_body(9) == (b"ok", True)
    assert taken == [False, False, True, True]


def test_a_pool_that_somebody_closed_is_left_to_the_usual_way(warm):
    (pool,) = warm.session.adapters["http://"].pools.values()
    conn = shortcut._take_connection(pool)
    assert conn.sock is not None
    conn.close()
    pool.close()
    assert shortcut._take_connection(pool) is None


def test_an_interrupt_gives_the_connection_back_closed(transport, monkeypatch):
    class Interrupt(BaseException):
        """Ctrl-C, or the end of a greenlet."""

    def interrupted(*args, **kwargs):
        raise Interrupt

    with RawServer(lambda request: [response(b"ok")]) as server:
        for _ in range(2):
            transport.send(post(server.url)).read_body(9)
        (pool,) = transport._connections.session.adapters["http://"].pools.values()
        (conn,) = pool.pool.queue
        monkeypatch.setattr(conn, "response_class", interrupted, raising=False)
        with pytest.raises(Interrupt):
            transport.send(post(server.url))
        assert conn.sock is None
        assert list(pool.pool.queue) == [conn]


def test_the_usual_way_is_what_was_learned_from(transport):
    with RawServer(lambda request: [response(b"ok")]) as server:
        for _ in range(2):
            transport.send(post(server.url)).read_body(9)
        found = transport._connections.find_shortcut()
        (head,) = found._heads.values()
        assert head.before.endswith(b"\r\nContent-Length: ")
        assert head.after == b"\r\n"
        assert connections.PlainSession.send is requests.Session.send


@pytest.mark.parametrize(("code", "is_raised"), [(errno.EPIPE, False), (errno.ECONNRESET, False), (errno.EIO, True)])
def test_an_answer_is_still_read_if_the_service_closed_while_it_was_sent(code, is_raised):
    def send(data):
        raise OSError(code, "broken")

    with pytest.raises(OSError, match="broken") if is_raised else contextlib.nullcontext():
        shortcut._send(types.SimpleNamespace(send=send), b"data")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.timeout("late"), requests.ReadTimeout),
        (ssl.SSLError("bad record"), requests.exceptions.SSLError),
        (http.client.RemoteDisconnected("gone"), requests.ConnectionError),
        (OSError("odd"), requests.ConnectionError),
    ],
    ids=str,
)
def test_errors_have_the_classes_of_requests(error, expected):
    assert type(shortcut._as_requests_error(error)) is expected


def test_a_response_that_has_no_connection_left_is_closed_all_the_same():
    inner = types.SimpleNamespace(status=200, fields=[], close=lambda: closed.append(True))
    closed = []
    shortcut.RepeatedResponse(inner, "http://x", None, None).close()
    assert closed == [True]


def test_over_tls_the_connection_and_its_checks_are_kept(taken, tmp_path):
    trustme = pytest.importorskip("trustme")
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with RawServer(lambda request: [ANSWER], tls=context) as server:
        with connect(server, verify=str(tmp_path / "authority.pem")) as client:
            assert [client.ask("Hi").text for _ in range(4)] == ["Hi"] * 4
        assert server.connections == 1
    assert taken == [False, True, True]


# New connections.

#: Says that it closes: a client that finds out later may still have sent the next request.
CLOSING = response(b"ok", headers=[("Connection", "close")])


class Rival:
    """The same transport with and without the shortcut, after two requests to a server that has gone or changed."""

    def __init__(self, **options):
        self.made = Connections(**options)

    def ask_twice(self, url):
        for _ in range(2):
            self._transport().send(post(url)).read_body(9)

    def error(self, url, *, usual):
        with pytest.raises(ChatError) as caught:
            self._transport(fresh=usual).send(post(url))
        return caught.value

    def _transport(self, **options):
        timeout = Timeout(connect=5, read=5)
        return Transport(self.made, provider="t", base_url="http://x", timeout=timeout, deadline=Deadline(), **options)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.made.close()


def facts(error):
    names = ("action", "maybe_processed", "reason", "stale", "phase")
    return type(error), error.message, {name: getattr(error, name, None) for name in names}


def test_threads_that_start_together_share_the_shortcut(server, client, taken):
    for _ in range(2):
        client.ask("Hi")
    streams = [client.stream("Hi") for _ in range(5)]
    assert ["".join(stream) for stream in streams] == ["Hi"] * 5
    assert taken == [False] + [True] * 5
    assert server.connections == 5
    assert len(set(map(str, heads(server)))) == 1


def test_a_request_that_is_still_waiting_has_been_learned_from(taken, monkeypatch):
    late, learned = threading.Event(), threading.Event()
    learn = shortcut.Shortcut.learn
    monkeypatch.setattr(shortcut.Shortcut, "learn", lambda *args: (learn(*args), learned.set()))
    server = RawServer(lambda request: [late, ANSWER] if b"late" in request.body else [ANSWER])
    with server, connect(server) as client:
        client.ask("Hi")
        result = in_thread(lambda: client.ask("late").text)
        assert learned.wait(10)
        assert client.ask("Hi").text == "Hi"
        late.set()
        assert result() == "Hi"
    assert taken == [False, True]


def test_a_server_that_has_gone_is_told_as_the_usual_way_tells_it(taken):
    with Rival() as rival:
        with RawServer(lambda request: [CLOSING, "close"]) as server:
            rival.ask_twice(server.url)
        short, usual = (rival.error(server.url, usual=usual) for usual in (False, True))
    assert facts(short) == facts(usual)
    assert (type(short), short.maybe_processed) == (ConnectError, False)
    assert taken == [False, True, False]


def test_a_connection_that_is_not_made_in_time_is_a_timeout(warm, monkeypatch, taken):
    def connect_late(*args, **kwargs):
        raise socket.timeout("timed out")

    (pool,) = warm.session.adapters["http://"].pools.values()
    pool.pool.queue[-1].close()
    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect_late)
    with pytest.raises(TimedOutError) as caught:
        warm.ask("Hi")
    assert (caught.value.phase, caught.value.maybe_processed) == ("connect", False)
    monkeypatch.undo()
    assert warm.ask("Hi").text == "Hi"


@pytest.fixture
def tls(tmp_path):
    """A server whose certificate may be another one at the next connection: `use` says which."""
    trustme = pytest.importorskip("trustme")
    authority, stranger = trustme.CA(), trustme.CA()
    contexts = {}
    for name, issued in (
        ("good", authority.issue_cert("localhost")),
        ("of another host", authority.issue_cert("elsewhere")),
        ("of a stranger", stranger.issue_cert("localhost")),
    ):
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(contexts[name])
    used = ["good"]
    contexts["good"].sni_callback = lambda sock, name, context: setattr(sock, "context", contexts[used[-1]])
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with (
        Rival(verify=str(tmp_path / "authority.pem")) as rival,
        RawServer(lambda request: [CLOSING, "close"], tls=contexts["good"]) as server,
    ):
        url = server.url.replace("127.0.0.1", "localhost")
        rival.ask_twice(url)
        yield types.SimpleNamespace(rival=rival, url=url, use=used.append)


@pytest.mark.parametrize("certificate", ["of another host", "of a stranger"])
def test_a_certificate_that_no_longer_fits_is_refused(tls, taken, certificate):
    tls.use(certificate)
    short, usual = (tls.rival.error(tls.url, usual=usual) for usual in (False, True))
    assert facts(short) == facts(usual)
    assert "certificate" in short.message
    # The second is not asked for a pooled connection.
    assert taken == [True, False]


def test_a_handshake_that_takes_too_long_is_a_timeout(tls, taken, monkeypatch):
    def wrap_late(*args, **kwargs):
        raise socket.timeout("timed out")

    monkeypatch.setattr(urllib3.connection, "ssl_wrap_socket", wrap_late)
    short, usual = (tls.rival.error(tls.url, usual=usual) for usual in (False, True))
    assert facts(short) == facts(usual)
    assert taken == [True, False]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.timeout("late"), requests.ReadTimeout),
        (ssl.SSLError("bad record"), requests.exceptions.SSLError),
        (urllib3.connection.CertificateError("other host"), requests.exceptions.SSLError),
        (urllib3.exceptions.ConnectTimeoutError("late"), requests.ConnectTimeout),
        (http.client.RemoteDisconnected("gone"), requests.ConnectionError),
        (OSError("odd"), requests.ConnectionError),
    ],
    ids=repr,
)
def test_errors_of_connecting_have_the_classes_of_requests(error, expected):
    assert type(shortcut._as_connect_error(error, None, "http://x")) is expected


def test_an_interrupt_while_connecting_gives_the_connection_back_closed(warm, monkeypatch):
    class Interrupt(BaseException):
        """Ctrl-C, or the end of a greenlet."""

    def interrupted(*args, **kwargs):
        raise Interrupt

    (pool,) = warm.session.adapters["http://"].pools.values()
    (conn,) = pool.pool.queue
    conn.close()
    monkeypatch.setattr(urllib3.util.connection, "create_connection", interrupted)
    with pytest.raises(Interrupt):
        warm.ask("Hi")
    assert list(pool.pool.queue) == [conn]
    monkeypatch.undo()
    assert warm.ask("Hi").text == "Hi"
