"""Before the answer: interim responses, heads, proxies and TLS, and their time limits."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time

import pytest
import requests
import trustme
import urllib3

from aichatkit import Client, RetryPolicy, Timeout
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    ChatError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    OverloadedError,
    QuotaExceededError,
    TimedOutError,
)
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.transport.connections import Connections
from aichatkit.transport.exceptions import translate_send

KEY = "sk-test-0123456789"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"


def echo(request):
    """Answer with the prompt, after an interim response."""
    prompt = json.loads(request.body)["messages"][-1]["content"].encode()
    text = b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\ndata: [DONE]\n\n' % prompt
    return [EARLY, chunked_head(), chunk(text), chunk(b"")]


def client(url: str, **options) -> Client:
    return Client(**{"model": "openai", "base_url": url, "api_key": KEY, "retry": 0, "timeout": 5, **options})


def error_of(asked: Client) -> ChatError:
    """Return the error of a prompt."""
    with pytest.raises(ChatError) as caught:
        asked.ask("Hi")
    return caught.value


def test_answers_after_interim_responses_belong_to_their_prompts():
    with RawServer(echo) as server, client(server.url) as asked:
        assert [asked.ask(text).text for text in ("one", "two", "three")] == ["one", "two", "three"]
        assert server.connections == 1


def test_a_connection_of_a_users_session_is_not_kept_after_an_interim_response():
    with requests.Session() as session, RawServer(echo) as server, client(server.url, session=session) as asked:
        for text in ("one", "two"):
            with pytest.raises(BadResponseError, match="103"):
                asked.ask(text)
        assert server.connections == 2


def trickling(piece: bytes):
    """Send a piece every few hundredths of a second, until the other side is gone."""
    for _ in range(100):
        yield piece
        time.sleep(0.03)


TRICKLES = {
    "head": lambda: [b"HTTP/1.1 200 OK\r\n", trickling(b"X-Slow: y\r\n")],
    "status": lambda: [b"HTTP/1.1 200 ", trickling(b"O")],
    "interim": lambda: [trickling(b"HTTP/1.1 100 Continue\r\n\r\n")],
    "chunk-size": lambda: [chunked_head(), b"5;", trickling(b"x")],
    "trailer": lambda: [chunked_head(), b"0\r\n", trickling(b"X: y\r\n")],
    "error-body": lambda: [b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n5;", trickling(b"x")],
}


@pytest.mark.parametrize("where", TRICKLES)
def test_the_total_timeout_limits_a_response_that_trickles(where):
    with RawServer(lambda request: TRICKLES[where]()) as server:
        asked = client(server.url, timeout=Timeout(connect=2, read=2, total=0.3))
        started = time.monotonic()
        error = error_of(asked)
        took = time.monotonic() - started
        asked.close()
    assert took < 1.5
    if where != "error-body":
        assert type(error) is DeadlineExceededError


@pytest.mark.parametrize("limits", [Timeout(connect=2, read=2, total=0.3), Timeout(connect=0.3, read=2)])
@pytest.mark.parametrize("piece", [b"X-Slow: y\r\n", b""])
def test_the_timeouts_limit_a_proxy_that_trickles_or_is_silent(limits, piece):
    with RawServer(lambda request: [b"HTTP/1.1 200 OK\r\n", trickling(piece)] if piece else [trickling(b"")]) as proxy:
        asked = client("https://far.example/v1", proxies=proxy.url, timeout=limits)
        started = time.monotonic()
        error = error_of(asked)
        took = time.monotonic() - started
        asked.close()
    assert took < 1.5
    assert isinstance(error, (DeadlineExceededError, TimedOutError))
    assert not error.maybe_processed


@pytest.fixture
def silent():
    """The address of a server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("own", [True, False])
def test_a_stalled_tls_handshake_is_a_connect_timeout(silent, own):
    session = None if own else requests.Session()
    with client(f"https://{silent}/v1", timeout=0.2, session=session) as asked:
        error = error_of(asked)
    assert isinstance(error, TimedOutError)
    assert (error.phase, error.maybe_processed) == ("connect", False)
    assert "connect=" in str(error)
    if session is not None:
        session.close()


def test_the_total_timeout_limits_a_tls_handshake(silent):
    with client(f"https://{silent}/v1", timeout=Timeout(connect=5, read=5, total=0.2)) as asked:
        assert type(error_of(asked)) is DeadlineExceededError


def test_nothing_was_sent_if_the_server_closes_the_tls_handshake():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close():
            listener.accept()[0].close()

        thread = threading.Thread(target=close)
        thread.start()
        with (
            client(f"https://127.0.0.1:{listener.getsockname()[1]}/v1") as asked,
            pytest.raises(ConnectError) as caught,
        ):
            asked.ask("Hi")
        thread.join()
    assert not caught.value.maybe_processed


@pytest.mark.parametrize(
    ("status", "count", "advice"),
    [
        ("407 Proxy Authentication Required", 1, "user and password"),
        ("403 No, me:hunter2", 1, "waiting does not help"),
        ("404 Not Found", 1, "waiting does not help"),
        ("502 Bad Gateway", 3, "try again later"),
        ("503 Service Unavailable", 3, "try again later"),
        ("429 Too Many Requests", 3, "try again later"),
    ],
)
def test_the_error_of_a_proxy_shows_its_status(status, count, advice):
    retry = RetryPolicy(attempts=3, sleep=lambda seconds: None)
    with RawServer(lambda request: [response(b"", status=status), "close"]) as proxy:
        address = proxy.url.replace("://", "://me:hunter2@")
        with client("https://far.example/v1", proxies=address, retry=retry) as asked:
            error = error_of(asked)
        assert len(proxy.requests) == count
    assert type(error) is ConnectError
    assert (error.status, error.maybe_processed) == (int(status[:3]), False)
    assert advice in str(error)
    assert status[:3] in str(error)
    assert "hunter2" not in f"{error} {error.reason}"


def test_a_socks_proxy_without_pysocks_is_explained():
    error = requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")
    assert "aichatkit[socks]" in str(translate_send(error, "openai at host"))
    assert "InvalidSchema" in str(translate_send(requests.exceptions.InvalidSchema("No adapters"), "openai at host"))


@pytest.mark.parametrize("lengths", ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6"])
def test_two_content_lengths_are_a_bad_response(lengths):
    head = b"HTTP/1.1 200 OK\r\n" + lengths.encode() + b"\r\n\r\nabcde"
    with RawServer(lambda request: [head, "close"]) as server:
        with client(
            server.url, model=["openai", "offline"], base_url={"openai": server.url}, api_key={"openai": KEY}
        ) as asked:
            assert asked.ask("Hi").provider == "offline"
        with client(server.url) as asked, pytest.raises(BadResponseError):
            asked.ask("Hi")


# What adapters and hooks of a user's Session do.


class Raising(requests.adapters.BaseAdapter):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def send(self, request, **options):
        raise self.error

    def close(self):
        """Nothing is open."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("gone"), ConnectError),
        (ConnectionResetError(104, "reset"), ConnectError),
        (ConnectionRefusedError(111, "refused"), ConnectError),
        (BrokenPipeError(32, "pipe"), ConnectError),
        (socket.gaierror(-2, "name"), ConnectError),
        (OSError(113, "No route to host"), ConnectError),
        (FileNotFoundError(2, "no such socket"), ConnectError),
        (TimeoutError("slow"), TimedOutError),
        (socket.timeout("slow"), TimedOutError),
        (ssl.SSLEOFError(8, "EOF"), ConnectError),
        (OSError("Could not find a suitable TLS CA certificate bundle"), ConfigurationError),
        (PermissionError(13, "denied", "key.pem"), ConfigurationError),
    ],
)
def test_a_bare_error_of_an_adapter_is_about_the_network(error, kind):
    with requests.Session() as session:
        session.mount("http://", Raising(error))
        with client("http://far.example/v1", session=session) as asked, pytest.raises(ChatError) as caught:
            asked.ask("Hi")
    assert type(caught.value) is kind


@pytest.mark.skipif(urllib3.__version__.startswith("1."), reason="this version connects before it reads the file")
def test_a_file_without_a_certificate_is_a_configuration_error(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    with client("https://127.0.0.1:9/v1", verify=str(bundle)) as asked:
        error = error_of(asked)
    assert type(error) is ConfigurationError
    assert "certificate" in str(error)


REFUSALS = [
    ("401 Unauthorized", AuthenticationError),
    ("400 Bad Request", BadRequestError),
    ("429 Too Many Requests", QuotaExceededError),
    ("503 Service Unavailable", OverloadedError),
]


def strict(answer, **options):
    answer.raise_for_status()


def reading(answer, **options):
    assert answer.text


@pytest.mark.parametrize("hook", [strict, reading])
@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_an_error_response_is_classified_even_if_a_hook_raises_or_reads_it(hook, status, kind):
    code = "insufficient_quota" if status.startswith("429") else "x"
    body = json.dumps({"error": {"code": code, "message": "words"}}).encode()
    with RawServer(lambda request: [response(body, status=status)]) as server, requests.Session() as session:
        session.hooks["response"].append(hook)
        with client(server.url, session=session) as asked, pytest.raises(ChatError, match="words") as caught:
            asked.ask("Hi")
    assert type(caught.value) is kind


@pytest.mark.parametrize("own", [True, False])
def test_a_hook_may_read_the_answer(own):
    def plain(request):
        return echo(request)[1:]

    with RawServer(plain) as server, requests.Session() as session:
        session.hooks["response"].append(reading)
        with client(server.url, session=session) as asked:
            assert asked.ask("one").text == "one"
            assert "".join(asked.stream("two")) == "two"


@pytest.mark.parametrize("error", [requests.HTTPError("x"), ValueError("theirs")])
def test_another_error_of_a_hook_is_not_hidden(error):
    def broken(answer, **options):
        raise error

    with RawServer(echo) as server, requests.Session() as session:
        session.hooks["response"].append(broken)
        kind = ValueError if isinstance(error, ValueError) else ConnectError
        with client(server.url, session=session) as asked, pytest.raises(kind):
            asked.ask("Hi")


@pytest.mark.parametrize("own", [True, False])
def test_a_redirect_to_an_invalid_url_is_a_bad_response(own):
    head = response(b"", status="302 Found", headers=[("Location", "http://[/")])
    session = None if own else requests.Session()
    with RawServer(lambda request: [head]) as server, client(server.url, session=session) as asked:
        assert type(error_of(asked)) is BadResponseError
    if session is not None:
        session.close()


# Settings are read again when they change.


def test_an_existing_client_notices_a_new_proxy_in_the_environment(monkeypatch):
    with RawServer(echo) as server, RawServer(lambda request: [response(b"no", status="502 Bad Gateway")]) as proxy:
        with client(server.url) as asked:
            assert asked.ask("one").text == "one"
            monkeypatch.setenv("http_proxy", proxy.url)
            with pytest.raises(ChatError):
                asked.ask("two")
            monkeypatch.delenv("http_proxy")
            assert asked.ask("three").text == "three"
        assert len(proxy.requests) == 1


def test_settings_are_forgotten_after_a_failed_connection():
    connections = Connections()
    connections.settings("http://far.example", None, False)
    assert connections._settings
    connections.forget_settings()
    assert not connections._settings


@pytest.fixture
def authorities(tmp_path):
    """Two certificate authorities, each with its server's TLS context."""
    made = []
    for name in ("one", "two"):
        authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        path = tmp_path / f"{name}.pem"
        authority.cert_pem.write_to_path(str(path))
        made.append((path.read_text(), context))
    return made


def test_a_new_client_reads_a_bundle_that_was_renewed_in_place(authorities, tmp_path):
    bundle = tmp_path / "bundle.pem"
    for number, (text, context) in enumerate(authorities):
        bundle.write_text(text)
        os.utime(bundle, (number, number))
        with RawServer(echo, tls=context) as server, client(server.url, verify=str(bundle)) as asked:
            assert asked.ask("Hi").text == "Hi"


def test_a_bundle_in_the_environment_is_read_after_tls_failed(authorities, tmp_path, monkeypatch):
    text, context = authorities[0]
    (tmp_path / "ca.pem").write_text(text)
    with RawServer(echo, tls=context) as server, client(server.url) as asked:
        with pytest.raises(ConnectError, match="TLS"):
            asked.ask("Hi")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        assert asked.ask("Hi").text == "Hi"
