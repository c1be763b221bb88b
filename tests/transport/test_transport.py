from __future__ import annotations

import gc
import logging
import os
import pickle
import re
import select
import ssl
import threading
import time

import pytest
import requests
import trustme
import urllib3
from reading_doubles import Answering
from urllib3 import exceptions as urllib3_errors

from aichatkit import Client
from aichatkit.errors import (
    BadResponseError,
    BlockedError,
    ChatError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    StreamInterruptedError,
    TimedOutError,
)
from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.transport import certificates, connections, responses
from aichatkit.transport.authorization import Authorization
from aichatkit.transport.connections import Connections
from aichatkit.transport.exceptions import translate_read, translate_send
from aichatkit.transport.responses import Response
from aichatkit.transport.timeouts import Deadline, Timeout
from aichatkit.transport.transport import Transport

JSON = [("Content-Type", "application/json")]
PAGE = [("Content-Type", "text/html")]
LIMITS = Timeout(connect=5, read=5)
STREAM = [chunked_head(), chunk(b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n')]
ANSWER = [*STREAM, chunk(b"data: [DONE]\n\n"), chunk(b"")]


@pytest.fixture
def transport():
    made = []

    def make(url: str = "http://127.0.0.1:9", held: Connections | None = None, **options) -> Transport:
        made.append(held or Connections())
        settings = {"provider": "test", "base_url": url, "timeout": LIMITS, "deadline": Deadline(), **options}
        return Transport(made[-1], **settings)

    yield make
    for held in made:
        held.close()


BEARER = Authorization("Authorization", "Bearer sk-1")


def post(url: str, **fields) -> requests.Request:
    return requests.Request("POST", url, **fields)


# What goes out.


def test_a_request_goes_out_as_it_was_built(transport):
    with RawServer([response(b"ok")]) as server:
        http = transport(server.url, authorization=BEARER, headers={"X-Call": "1"})
        assert http.send(post(f"{server.url}/chat?a=b", json={"x": 1}, headers={"X-Own": "2"})).status == 200
        sent = server.requests[0]
    assert (sent.method, sent.target, sent.json()) == ("POST", "/chat?a=b", {"x": 1})
    expected = {"authorization": "Bearer sk-1", "x-call": "1", "x-own": "2", "accept-encoding": "identity"}
    assert {name: sent.headers[name] for name in expected} == expected
    assert sent.headers["user-agent"].startswith("aichatkit/")


def test_headers_of_the_call_win_over_those_of_the_client_and_these_over_the_providers(transport):
    with RawServer([response(b"ok")]) as server:
        held = Connections(headers={"X-A": "client", "X-B": "client"})
        http = transport(server.url, held, headers={"X-A": "call"})
        http.send(post(server.url, headers={"X-A": "provider", "X-B": "provider", "X-C": "provider"}))
        sent = server.requests[0].headers
    assert [sent[name] for name in ("x-a", "x-b", "x-c")] == ["call", "client", "provider"]


@pytest.mark.parametrize("own", [True, False])
def test_limits_arrive_at_the_adapter(transport, own):
    adapter = Answering(b"ok")
    with requests.Session() as session:
        held = Connections(None if own else session)
        held.session.mount("https://", adapter)
        transport(held=held, timeout=Timeout(connect=3, read=4)).send(post("https://openai.example/"))
    assert adapter.settings[0]["timeout"] == (3, 4)
    assert adapter.settings[0]["stream"] is True
    assert adapter.settings[0]["verify"] is True


def test_the_deadline_shortens_the_limits(transport):
    adapter = Answering(b"ok")
    with requests.Session() as session:
        session.mount("https://", adapter)
        http = transport(held=Connections(session), deadline=Deadline(2, lambda: 0.0))
        http.send(post("https://openai.example/"))
    assert adapter.settings[0]["timeout"] == (2, 2)


def test_nothing_is_sent_past_the_deadline(transport):
    now = iter([0.0, 3.0])
    http = transport(deadline=Deadline(2, lambda: next(now)))
    with pytest.raises(DeadlineExceededError):
        http.send(post("http://127.0.0.1:9/"))


def test_the_log_tells_method_host_status_and_time_and_nothing_else(transport, caplog):
    caplog.set_level(logging.DEBUG, "aichatkit")
    with RawServer([response(b"ok")]) as server:
        transport(server.url, authorization=BEARER).send(post(f"{server.url}/path?secret=1", json="prompt"))
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert re.match(r"POST 127\.0\.0\.1 200 \d+\.", caplog.messages[0])


# A Session of the user's.


class Tagged(requests.auth.AuthBase):
    def __init__(self, header: str) -> None:
        self.header = header

    def __call__(self, request):
        request.headers[self.header] = "theirs"
        return request


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        pytest.param(None, {"authorization": "Bearer sk-1"}, id="none"),
        pytest.param(("me", "pw"), {"authorization": "Basic bWU6cHc="}, id="pair"),
        pytest.param(Tagged("Authorization"), {"authorization": "theirs"}, id="same-header"),
        pytest.param(Tagged("X-Gateway"), {"authorization": "Bearer sk-1", "x-gateway": "theirs"}, id="other-header"),
    ],
)
def test_auth_of_a_users_session_keeps_the_header_it_set(transport, auth, sent):
    with RawServer([response(b"ok")]) as server, requests.Session() as session:
        session.auth = auth
        http = transport(server.url, Connections(session), authorization=BEARER)
        http.send(post(server.url)).read_body(10)
        assert {name: server.requests[0].headers[name] for name in sent} == sent
        assert session.auth is auth


def test_auth_of_a_users_session_stays_when_the_service_wants_no_key(transport):
    with RawServer([response(b"ok")]) as server, requests.Session() as session:
        session.auth = ("me", "pw")
        transport(server.url, Connections(session)).send(post(server.url)).read_body(10)
        assert server.requests[0].headers["authorization"] == "Basic bWU6cHc="


def test_a_users_session_is_used_as_it_is_and_not_altered(transport):
    with RawServer([response(b"ok", headers=[("Set-Cookie", "a=b")])]) as server, requests.Session() as session:
        session.headers["X-Theirs"] = "1"
        session.cookies.set("kept", "yes")
        seen = []
        session.hooks["response"] = [lambda answer, **_: seen.append(answer.status_code)]
        before = dict(session.headers), dict(session.adapters), session.trust_env
        for _ in range(2):
            transport(server.url, Connections(session)).send(post(server.url)).read_body(10)
        assert (dict(session.headers), dict(session.adapters), session.trust_env) == before
        assert session.cookies.get_dict() == {"kept": "yes"}
        assert [request.headers["cookie"] for request in server.requests] == ["kept=yes"] * 2
        assert server.requests[0].headers["x-theirs"] == "1"
        assert seen == [200, 200]


def test_one_hook_that_is_not_in_a_list_is_called_too(transport):
    with RawServer([response(b"ok")]) as server, requests.Session() as session:
        seen = []
        session.hooks["response"] = lambda answer, **_: seen.append(answer.status_code)
        transport(server.url, Connections(session)).send(post(server.url)).read_body(10)
        session.hooks = {}
        transport(server.url, Connections(session)).send(post(server.url)).read_body(10)
    assert seen == [200]


# Cookies.


@pytest.mark.parametrize("own", [True, False])
def test_cookies_stay_within_the_call_that_got_them(transport, own):
    script = [response(b"ok", headers=[("Set-Cookie", "turn=1")])]
    with RawServer(script) as server, requests.Session() as session:
        held = Connections(None if own else session)
        first = transport(server.url, held)
        first.send(post(server.url)).read_body(10)
        first.send(post(server.url)).read_body(10)
        transport(server.url, held).send(post(server.url)).read_body(10)
        assert len(held.session.cookies) == 0
    assert [request.headers.get("cookie") for request in server.requests] == [None, "turn=1", None]


# Handshakes.


def test_a_page_is_read_as_utf8(transport):
    with RawServer([response("é😀".encode(), headers=[("Content-Type", "text/html; charset=latin-1")])]) as server:
        assert transport(server.url).get_text(f"{server.url}/", headers={"X-A": "1"}) == "é😀"
        assert (server.requests[0].method, server.requests[0].headers["x-a"]) == ("GET", "1")


def test_a_json_document_is_parsed(transport):
    with RawServer([response(b'{"token": 1}', headers=JSON)]) as server:
        assert transport(server.url).get_json(server.url) == {"token": 1}


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        pytest.param(response(b"<title>Just a moment...</title>", headers=PAGE), BlockedError, id="challenge"),
        pytest.param(response(b"no", status="403 No"), ChatError, id="forbidden"),
        pytest.param(response(b"", status="302 Found", headers=[("Location", "/x")]), BadResponseError, id="redirect"),
        pytest.param(response(b"", status="204 No Content"), BadResponseError, id="no-content"),
        pytest.param(response(b"not json"), BadResponseError, id="text"),
        pytest.param(response(b""), BadResponseError, id="empty"),
        pytest.param(response(b"[" * 100_000), BadResponseError, id="deep"),
    ],
)
def test_a_handshake_that_fails_is_our_error(transport, script, kind):
    with RawServer([script]) as server:
        with pytest.raises(kind, match="test") as caught:
            transport(server.url).get_json(server.url)
        assert len(server.requests) == 1
    assert caught.value.__context__ is None


def test_a_handshake_is_bounded(transport, monkeypatch):
    monkeypatch.setattr("aichatkit.transport.transport._HANDSHAKE_BYTES", 100)
    with RawServer([response(b"x" * 101)]) as server:
        with pytest.raises(BadResponseError, match="larger than 100"):
            transport(server.url).get_text(server.url)
        assert server.wait_closed()
    with RawServer([response(b"x" * 100)]) as server:
        assert transport(server.url).get_text(server.url) == "x" * 100


# Keys in errors.


def test_keys_are_taken_out_of_an_error(transport):
    error = ChatError("key sk-longkey refused, sk-longkey", code="sk-longkey", request_id="r-sk-longkey")
    transport(secrets=["sk-longkey"]).scrub(error)
    assert (str(error), error.args) == ("key [key] refused, [key]", ("key [key] refused, [key]",))
    assert (error.code, error.request_id) == ("[key]", "r-[key]")


def test_a_placeholder_key_is_a_word_and_stays(transport):
    error = ChatError("ollama does not run")
    transport(secrets=["ollama"]).scrub(error)
    assert str(error) == "ollama does not run"


# Connections.


def test_a_session_is_made_on_first_use_and_kept():
    held = Connections()
    assert held._session is None
    assert held.session is held.session
    held.close()


def test_a_session_is_made_once_by_many_threads():
    held = Connections()
    gate, seen = threading.Barrier(16), []

    def use():
        gate.wait(5)
        seen.append(held.session)

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(set(map(id, seen))) == 1
    held.close()


def test_the_pool_is_as_large_as_many_threads():
    held = Connections()
    for scheme in ("http://", "https://"):
        adapter = held.session.adapters[scheme]
        assert (adapter._pool_maxsize, adapter.max_retries.total) == (connections.POOL_SIZE, 0)
    held.close()


@pytest.mark.usefixtures("patient")
def test_no_connection_is_thrown_away_however_many_threads_come():
    start = threading.Barrier(100)
    with Sandbox() as sandbox, Client(model="openai", api_key="k", base_url=f"{sandbox.url}/v1") as client:

        def ask():
            for _ in range(2):
                start.wait(60)
                client.ask("Hi")

        threads = [threading.Thread(target=ask) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len(sandbox.requests) == 200
        assert sandbox.connections <= 100


def test_the_environment_is_asked_once_per_host(monkeypatch):
    held, asked = Connections(), []
    merge = requests.Session.merge_environment_settings
    monkeypatch.setattr(
        requests.Session, "merge_environment_settings", lambda *args: asked.append(args[1]) or merge(*args)
    )
    for url in ("http://127.0.0.1:1/a", "http://127.0.0.1:1/b", "http://127.0.0.1:2/a", "https://127.0.0.1:1/a"):
        held.settings(url, None, False)
    assert asked == ["http://127.0.0.1:1/a", "http://127.0.0.1:2/a", "https://127.0.0.1:1/a"]
    held.close()


@pytest.mark.parametrize("proxy", ["http://user:hunter2@", "http://", ":8080", "http://["])
@pytest.mark.parametrize("session", [None, requests.Session])
def test_a_proxy_without_a_host_is_told_as_such(transport, monkeypatch, proxy, session):
    monkeypatch.setenv("http_proxy", proxy)
    http = transport("http://far.example", held=Connections(session and session()))
    with pytest.raises(ConfigurationError, match=r"names no host.*HTTP_PROXY") as caught:
        http.send(post("http://far.example/chat"))
    assert "hunter2" not in str(caught.value)


def test_settings_of_addresses_without_end_are_not_all_remembered():
    held = Connections()
    for number in range(2500):
        held.settings(f"https://{number}.example/", None, True)
    assert len(held._settings) <= 1000
    held.close()


def test_proxies_of_the_call_win_over_the_clients_and_these_over_the_environment(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://env:1")
    url = "https://openai.example/"
    held = Connections(proxies={"https": "http://client:1"})
    assert held.settings(url, {"https": "http://call:1"}, False)["proxies"]["https"] == "http://call:1"
    assert held.settings(url, None, False)["proxies"]["https"] == "http://client:1"
    assert Connections().settings(url, None, False)["proxies"]["https"] == "http://env:1"
    assert not Connections().settings(url, None, True)["proxies"].get("https")
    held.close()


def test_a_proxy_is_used(transport):
    with RawServer([response(b"by proxy")]) as proxy:
        http = transport("http://far.example", proxies={"http": proxy.url})
        assert http.send(post("http://far.example/chat")).read_body(100) == (b"by proxy", True)
        assert proxy.requests[0].target == "http://far.example/chat"


def test_a_proxy_that_is_down_is_told_as_such(transport):
    with RawServer() as server:
        url = server.url
    with pytest.raises(ConnectError, match="proxy") as caught:
        transport(proxies={"http": url}).send(post("http://far.example/"))
    assert not caught.value.maybe_processed


def test_what_a_client_holds_survives_a_pickle_without_its_session():
    held = Connections(proxies={"http": "http://p:1"}, verify="/ca.pem", headers={"X": "1"})
    assert held.session is not None
    again = Connections(**pickle.loads(pickle.dumps(held.portable())))
    assert (again.owns_session, again.proxies, again.verify, again.headers) == (
        True,
        held.proxies,
        "/ca.pem",
        {"X": "1"},
    )
    assert again._session is None
    held.close()


def test_closing_before_any_use_is_fine():
    Connections().close()


def test_a_fork_takes_no_lock_of_its_parent(monkeypatch):
    held = Connections()
    assert held.session is not None
    held._lock.acquire()
    monkeypatch.setattr(os, "getpid", lambda: -1)

    def use():
        with held.pending_request():
            held.track(object.__new__(Response))

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert held._pid == -1
    held.close()


def test_a_fork_gives_a_users_session_fresh_pools_with_the_same_settings(monkeypatch):
    with requests.Session() as session:
        session.mount("https://own.example", Answering(b""))
        adapter = session.adapters["https://"]
        adapter.max_retries = 3
        pools = adapter.poolmanager
        held = Connections(session)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert held.session is session
        assert session.adapters["https://"] is adapter
        assert adapter.poolmanager is not pools
        assert adapter.max_retries == 3


def test_a_fork_does_not_close_what_its_parent_holds(monkeypatch):
    with RawServer([*STREAM, "wait-close"]) as server:
        held = Connections()
        http = Transport(held, provider="test", base_url=server.url, timeout=LIMITS, deadline=Deadline())
        answer = http.send(post(server.url))
        assert answer.read_block()
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            held.close()
        assert not answer._cancelled
        held.close()
        with pytest.raises(StreamInterruptedError, match="cancelled"):
            answer.read_block()


# TLS.


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def tls_sandbox(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with Sandbox(tls=context) as running:
        yield running


def tls_client(sandbox, **options):
    options = {"retry": 0, "timeout": (5, 5), "base_url": f"{sandbox.url}/v1", **options}
    return Client(model="openai", api_key="sk-test", **options)


@pytest.fixture
def contexts(monkeypatch):
    made = []
    create = ssl.create_default_context
    monkeypatch.setattr(certificates, "_contexts", {})
    monkeypatch.setattr(
        connections.ssl, "create_default_context", lambda *args, **kwargs: made.append(1) or create(*args, **kwargs)
    )
    return made


shares_contexts = pytest.mark.skipif(
    not hasattr(requests.adapters.HTTPAdapter, "build_connection_pool_key_attributes")
    or urllib3.__version__.startswith("1."),
    reason="older versions of requests or urllib3 make a context for every connection",
)


@shares_contexts
def test_one_context_serves_all_connections_and_clients(tls_sandbox, ca_file, contexts):
    for _ in range(2):
        with tls_client(tls_sandbox, verify=ca_file) as client:
            streams = [client.stream("Hi") for _ in range(3)]
            for stream in streams:
                stream.read()
    assert tls_sandbox.connections == 6
    assert len(contexts) == 1


@shares_contexts
def test_a_bundle_of_the_environment_counts(tls_sandbox, ca_file, monkeypatch, contexts):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_file)
    with tls_client(tls_sandbox) as client:
        assert client.ask("Hi").text
    assert len(contexts) == 1


def test_a_folder_of_certificates_is_taken(ca_file, tmp_path, contexts):
    context = certificates.bundle_context(str(tmp_path))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert certificates.bundle_context(str(tmp_path)) is context
    assert certificates.bundle_context(ca_file) is not context


def test_an_unknown_certificate_is_refused_before_anything_is_sent(tls_sandbox):
    with tls_client(tls_sandbox) as client, pytest.raises(ConnectError, match="TLS failed") as caught:
        client.ask("Hi", retry=2)
    assert (caught.value.action, len(caught.value.attempts)) == ("next", 1)
    assert tls_sandbox.requests == []


def test_a_certificate_of_another_host_is_refused(authority, ca_file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with Sandbox(tls=context) as sandbox, tls_client(sandbox, verify=ca_file) as client:
        with pytest.raises(ConnectError, match="TLS failed"):
            client.ask("Hi")
        assert sandbox.requests == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_verification_is_off_only_on_the_users_word(tls_sandbox):
    with tls_client(tls_sandbox, verify=False) as client:
        assert client.ask("Hi").text
    with tls_client(tls_sandbox) as client, pytest.raises(ConnectError):
        client.ask("Hi")


def test_a_bundle_that_is_not_there_is_told(tls_sandbox, tmp_path):
    missing = str(tmp_path / "none.pem")
    with tls_client(tls_sandbox, verify=missing) as client, pytest.raises(ConfigurationError, match="certificate"):
        client.ask("Hi")


def test_a_users_session_keeps_its_own_verify(tls_sandbox, ca_file):
    with requests.Session() as session:
        session.verify = ca_file
        with tls_client(tls_sandbox, session=session) as client:
            assert client.ask("Hi").text


def test_a_read_over_tls_is_woken_from_another_thread(authority, ca_file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        RawServer([*STREAM, "wait-close"], tls=context) as server,
        tls_client(server, base_url=server.url, verify=ca_file) as client,
    ):
        stream = client.stream("Hi")
        assert next(stream) == "Hi"
        timer = threading.Timer(0.03, stream.cancel)
        timer.start()
        started = time.monotonic()
        with pytest.raises(StreamInterruptedError, match="cancelled"):
            next(stream)
        assert time.monotonic() - started < 4
        timer.join()


# Responses.


def test_a_body_is_read_up_to_a_limit(transport):
    with RawServer([response(b"x" * 10)]) as server:
        assert transport(server.url).send(post(server.url)).read_body(10) == (b"x" * 10, True)
        assert transport(server.url).send(post(server.url)).read_body(9) == (b"x" * 9, False)


def test_after_the_close_there_is_nothing_to_read(transport):
    with RawServer([*STREAM, "wait-close"]) as server:
        answer = transport(server.url).send(post(server.url))
        answer.close()
        assert answer.read_block() == b""
        answer.finish()
        answer.cancel()
        assert server.wait_closed()


@pytest.mark.parametrize("ending", ["unread", "cut"])
def test_a_refusal_is_closed_whoever_holds_on_to_it(transport, ending):
    head = b"HTTP/1.1 500 No\r\nContent-Length: 900000\r\n\r\n"
    script = [head, b"x" * 200_000, "wait-close"] if ending == "unread" else [head, b"x", "close"]
    with RawServer(script) as server:
        http = transport(server.url)
        answer = http.send(post(server.url))
        received = answer._response
        http.refusal(answer)
        assert answer.closed
        assert received.raw.closed
        assert server.wait_closed()


@pytest.mark.usefixtures("patient")
def test_a_kept_connection_does_not_carry_a_short_limit(transport):
    with RawServer([*ANSWER]) as server:
        answer = transport(server.url).send(post(server.url))
        sock = answer._socket
        while b"DONE" not in answer.read_block():
            continue
        answer.finish()
        assert sock.gettimeout() == 5
        assert answer.closed


def test_an_end_that_has_arrived_is_seen_even_after_the_moment_that_it_had(transport, monkeypatch):
    monkeypatch.setattr(responses, "_GRACE", 0.0)
    read = threading.Event()
    with RawServer([*STREAM, chunk(b"data: [DONE]\n\n"), read, chunk(b"")]) as server:
        http = transport(server.url)
        for _ in range(2):
            read.clear()
            answer = http.send(post(server.url))
            while b"DONE" not in answer.read_block():
                continue
            read.set()
            assert select.select([answer._socket], [], [], 5)[0]
            answer.finish()
        assert server.connections == 1


def test_a_socket_that_was_closed_under_our_hands_is_told_by_the_read(transport):
    with RawServer([*STREAM, "wait-close"]) as server:
        answer = transport(server.url, deadline=Deadline(60)).send(post(server.url))
        assert answer.read_block()
        os.close(answer._socket.detach())
        with pytest.raises(StreamInterruptedError):
            answer.read_block()


def test_what_reads_a_deadline_closes_the_connection(transport):
    now = [0.0]
    with RawServer([*STREAM, "wait-close"]) as server:
        answer = transport(server.url, deadline=Deadline(60, lambda: now[0])).send(post(server.url))
        now[0] = 61.0
        with pytest.raises(DeadlineExceededError):
            answer.read_block()
        assert server.wait_closed()


def test_the_head_of_an_answer_is_waited_for_until_the_client_closes(transport):
    asked = threading.Event()
    with RawServer(lambda request: [asked.set(), "wait-close"][1:]) as server:
        held = Connections()
        http = transport(server.url, held)
        threading.Thread(target=lambda: asked.wait(5) and held.close()).start()
        started = time.monotonic()
        with pytest.raises(ConnectError) as caught:
            http.send(post(server.url))
        assert time.monotonic() - started < 4
        assert caught.value.maybe_processed


def test_a_client_that_closed_before_the_head_is_waited_for_does_not_wait(transport):
    with RawServer(["wait-close"]) as server:
        held = Connections()
        http = transport(server.url, held)
        # Closed while the request is on its way, so that there is no socket to wake yet.
        body = (held.close() or piece for piece in (b"part", b"last"))
        with pytest.raises(ConnectError):
            http.send(post(server.url, data=body))


def test_a_session_that_is_used_by_hand_works_as_any_other():
    held = Connections()
    with RawServer([response(b"ok")]) as server:
        assert held.session.get(server.url, timeout=5).text == "ok"
    held.close()


def test_cancelling_a_body_without_framing_is_no_end_of_it(transport):
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    with RawServer([head, b"part", "wait-close"]) as server:
        answer = transport(server.url).send(post(server.url))
        assert answer.read_block() == b"part"
        answer.cancel()
        with pytest.raises(StreamInterruptedError, match="cancelled"):
            answer.read_block()


def test_the_head_behind_a_proxy_is_waited_for_until_the_client_closes(transport):
    asked = threading.Event()
    with RawServer(lambda request: [asked.set(), "wait-close"][1:]) as server:
        held = Connections()
        http = transport("http://far.example", held, proxies={"http": server.url})
        threading.Thread(target=lambda: asked.wait(5) and held.close()).start()
        with pytest.raises(ConnectError):
            http.send(post("http://far.example/"))
        manager = held.session.adapters["http://"].proxy_manager_for(server.url)
        names = [kind.__name__ for kind in manager.pool_classes_by_scheme["http"].__mro__]
        assert names.count("TrackedPool") == 1


def test_a_response_that_is_dropped_is_forgotten(transport):
    with RawServer([response(b"ok")]) as server:
        held = Connections()
        answer = transport(server.url, held).send(post(server.url))
        assert len(held.open_responses) == 1
        answer.close()
        del answer
        gc.collect()
        assert len(held.open_responses) == 0


# Other people's exceptions.


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (requests.exceptions.InvalidURL("x key"), ConfigurationError, "InvalidURL"),
        (requests.exceptions.InvalidHeader("x key"), ConfigurationError, "InvalidHeader"),
        (requests.exceptions.MissingSchema("x key"), ConfigurationError, "MissingSchema"),
        (UnicodeEncodeError("ascii", "key", 0, 1, "x"), ConfigurationError, "UnicodeEncodeError"),
        (FileNotFoundError(2, "none", "my.pem"), ConfigurationError, "certificate file 'my.pem'"),
        (requests.ConnectTimeout("key"), TimedOutError, "no connection"),
        (requests.ReadTimeout("key"), TimedOutError, "no answer"),
        (requests.exceptions.SSLError("key"), ConnectError, "TLS"),
        (requests.exceptions.ProxyError("key"), ConnectError, "proxy"),
        (requests.exceptions.ChunkedEncodingError("key"), ConnectError, "failed"),
        (requests.ConnectionError("key"), ConnectError, "failed"),
        (urllib3_errors.HTTPError("key"), ConnectError, "failed"),
    ],
)
def test_what_sending_raises_becomes_our_error_without_its_text(error, kind, told):
    failure = translate_send(error, "test at host")
    assert type(failure) is kind
    assert str(failure).startswith("test at host: ")
    assert told in str(failure)
    assert "key" not in str(failure)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (urllib3_errors.ReadTimeoutError(None, "/", "key"), TimedOutError),
        (TimeoutError("key"), TimedOutError),
        (requests.ConnectionError(urllib3_errors.ReadTimeoutError(None, "/", "key")), TimedOutError),
        (urllib3_errors.DecodeError("key"), BadResponseError),
        (requests.exceptions.ContentDecodingError("key"), BadResponseError),
        (urllib3_errors.ProtocolError("key", ConnectionResetError(104, "reset by peer")), StreamInterruptedError),
        (requests.exceptions.ChunkedEncodingError("key"), StreamInterruptedError),
        (EOFError("key"), StreamInterruptedError),
    ],
)
def test_what_reading_raises_becomes_our_error_without_its_text(error, kind):
    failure = translate_read(error, "test at host")
    assert type(failure) is kind
    assert "key" not in str(failure)


def test_an_exception_that_the_caller_handles_is_not_a_cause(transport):
    with RawServer() as server:
        url = server.url
    try:
        raise requests.Timeout("theirs")
    except requests.Timeout:
        with pytest.raises(ConnectError, match="Connection refused") as caught:
            transport(url).send(post(url))
    assert not caught.value.maybe_processed


def test_an_exception_that_the_caller_handles_is_not_the_cause_of_a_cut_either(transport):
    with RawServer([chunked_head(), chunk(b"Hi"), "reset"]) as server:
        answer = transport(server.url).send(post(server.url))
        assert answer.read_block() == b"Hi"
        try:
            raise requests.Timeout("theirs")
        except requests.Timeout:
            with pytest.raises(StreamInterruptedError) as caught:
                answer.read_block()
    assert not isinstance(caught.value, TimedOutError)


def test_causes_that_lead_in_a_circle_end():
    error = requests.ConnectionError("a")
    error.__context__ = other = ValueError("b")
    other.__context__ = error
    assert type(translate_send(error, "test")) is ConnectError


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api-key", "X-Goog-Api-Key"])
@pytest.mark.parametrize("given", ["client", "call"])
def test_a_key_that_was_given_as_a_header_is_hidden_as_well(given, name):
    headers = {name: "Bearer by-hand-1234"}
    script = response(b'{"error": {"message": "Wrong key by-hand-1234"}}', status="401 No", headers=JSON)
    with RawServer([script]) as server:
        options = {"model": "openai/m", "base_url": server.url, "retry": 0}
        client = Client(**options, **({"headers": headers} if given == "client" else {}))
        with client, pytest.raises(ChatError, match=r"Wrong key \[key\]"):
            client.ask("Hi", **({"headers": headers} if given == "call" else {}))


def test_an_error_body_is_not_read_beyond_its_time(sandbox):
    moments = iter([0.0, 3.0])
    received = requests.get(f"{sandbox.url}/v1/models", stream=True, timeout=5)
    late = Response(received, label="test", read_timeout=5, deadline=Deadline(), clock=lambda: next(moments))
    assert late.read_error() == b""
    assert late.closed


@pytest.mark.parametrize("own", [True, False])
def test_no_redirect_is_followed(transport, own):
    redirect = [response(b"", status="302 Found", headers=[("Location", "/elsewhere")])]
    with RawServer(redirect) as server, requests.Session() as session:
        http = transport(server.url, None if own else Connections(session))
        assert http.send(post(server.url)).status == 302
        assert len(server.requests) == 1
