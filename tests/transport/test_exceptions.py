"""What the network raises is the reason of our errors, in words and without secrets."""

from __future__ import annotations

import http.client
import ssl
import sys

import pytest
import requests
import trustme
from urllib3 import exceptions as urllib3_errors

from aichatkit import Client
from aichatkit.errors import (
    BadResponseError,
    ChatError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    StreamInterruptedError,
    StreamStalledError,
    TimedOutError,
)
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.transport.connections import Connections
from aichatkit.transport.downloads import download
from aichatkit.transport.exceptions import translate_read, translate_send
from aichatkit.transport.probe import _skew, probe
from aichatkit.transport.timeouts import Deadline, Timeout

PIECE = chunk(b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n')
EVENTS = ("Content-Type", "text/event-stream")


@pytest.fixture(scope="module")
def closed():
    """An address at which nobody listens."""
    with RawServer() as server:
        return server.url


def failed(url, **options):
    """Return the error of a call to this address."""
    given = {"model": "openai/m", "api_key": "sk-secret-0123456789", "base_url": url, "retry": 0, **options}
    with Client(**given) as client, pytest.raises(ChatError) as caught:
        client.ask("Hi")
    assert " at 0x" not in caught.value.reason
    assert caught.value.reason not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    return caught.value


def served(*script, **options):
    """Return the error of a call to a server that sends this."""
    with RawServer(lambda request: script) as server:
        return failed(server.url, **options)


def test_a_refused_connection_says_so(closed):
    error = failed(closed)
    assert type(error) is ConnectError
    assert error.reason.startswith("ConnectionRefusedError: [Errno ")
    assert error.reason.endswith("] Connection refused")


def test_an_unknown_host_says_so():
    error = failed("http://chat.invalid/v1")
    assert type(error) is ConnectError
    assert error.reason.startswith("gaierror: [Errno ")
    assert "chat.invalid" in error.reason


def test_a_probe_of_an_unknown_host_says_so():
    with pytest.raises(ConnectError) as caught:
        probe("http://chat.invalid/v1", provider="openai", connections=Connections())
    assert caught.value.reason.startswith("gaierror: [Errno ")


@pytest.mark.parametrize(
    ("name", "known", "told"),
    [("127.0.0.1", False, "unable to get local issuer certificate"), ("other.example", True, "127.0.0.1")],
)
def test_a_wrong_certificate_says_what_is_wrong(tmp_path, name, known, told):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with RawServer([], tls=context) as server:
        error = failed(server.url, verify=str(tmp_path / "ca.pem") if known else True)
    assert type(error) is ConnectError
    # Older versions of urllib3 compare the names themselves.
    assert "certificate verify failed" in error.reason or error.reason.startswith("CertificateError: ")
    assert told in error.reason
    assert "Pool" not in error.reason


def test_a_bundle_that_is_not_there_is_the_reason(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with RawServer([], tls=context) as server:
        error = failed(server.url, verify=str(tmp_path / "none.pem"))
    assert type(error) is ConfigurationError
    # Some versions of requests look for the file before they use it.
    assert "[Errno 2] No such file or directory" in error.reason or "Could not find" in error.reason


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("close", "RemoteDisconnected: Remote end closed connection without response"),
        ("reset", "] Connection reset by peer"),
        (b"HTTP/1.1 yes\r\n\r\n", "BadStatusLine: HTTP/1.1 yes"),
    ],
)
def test_a_head_that_does_not_come_says_why(end, reason):
    assert served(end).reason.endswith(reason)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([chunked_head(), PIECE, "close"], "IncompleteRead(0 bytes read)"),
        ([chunked_head(), PIECE, b"9\r\nda", "close"], "IncompleteRead(0 bytes read, 7 more expected)"),
        ([chunked_head(), PIECE, b"zz\r\n", "close"], "IncompleteRead(0 bytes read)"),
        ([response(b"data: 1", headers=[EVENTS])[:-3], "close"], "IncompleteRead(0 bytes read, 3 more expected)"),
        ([chunked_head(), PIECE, "reset"], "] Connection reset by peer"),
    ],
)
def test_a_body_that_breaks_off_says_how(script, reason):
    error = served(*script)
    assert type(error) is StreamInterruptedError
    assert error.reason.endswith(reason)


@pytest.mark.parametrize(
    ("script", "timeout", "kind"),
    [
        (["wait-close"], (5, 0.2), TimedOutError),
        ([chunked_head(), "wait-close"], (5, 0.2), TimedOutError),
        ([chunked_head(), PIECE, "wait-close"], (5, 0.2), StreamStalledError),
        (["wait-close"], Timeout(total=0.2), DeadlineExceededError),
        ([chunked_head(), PIECE, "wait-close"], Timeout(total=0.2), DeadlineExceededError),
    ],
)
def test_silence_says_that_the_time_ran_out(script, timeout, kind):
    error = served(*script, timeout=timeout)
    assert type(error) is kind
    assert error.reason.endswith(": timed out")


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_that_is_down_says_so(closed, scheme):
    if scheme == "socks5h":
        pytest.importorskip("socks")
    proxy = f"{scheme}://me:hunter2hunter2@{closed.partition('://')[2]}"
    error = failed("https://far.example/v1", proxies=proxy)
    assert error.reason.endswith("] Connection refused")


def test_a_proxy_that_refuses_says_so():
    with RawServer([response(b"no", status="407 Proxy Authentication Required")]) as proxy:
        error = failed("https://far.example/v1", proxies=proxy.url.replace("://", "://me:hunter2hunter2@"))
        (request,) = proxy.requests
    assert error.reason == "OSError: Tunnel connection failed: 407 Proxy Authentication Required"
    # What signs in a connection, such as NTLM, needs one that is kept.
    assert sys.version_info >= (3, 12) or request.headers["proxy-connection"] == "keep-alive"


def test_a_damaged_body_says_what_its_decoder_says():
    error = served(response(b"hello", headers=[EVENTS, ("Content-Encoding", "gzip")]))
    assert type(error) is BadResponseError
    assert error.reason == "zlib.error: Error -3 while decompressing data: incorrect header check"


def test_a_record_that_cannot_be_read_says_what_its_parser_says():
    error = served(chunked_head(), chunk(b"data: {oops\n\n"), chunk(b""))
    assert type(error) is BadResponseError
    assert error.reason.startswith("JSONDecodeError: Expecting property name")


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"{oops", "JSONDecodeError: Expecting property name"), (b'{"data": [{}]}', "KeyError: 'name'")],
)
def test_a_list_of_models_that_cannot_be_read_says_why(body, reason):
    with RawServer([response(body)]) as server:
        client = Client(model="openai", api_key="sk-secret-0123456789", base_url=server.url, retry=0)
        with client, pytest.raises(BadResponseError) as caught:
            client.models("openai")
    assert caught.value.reason.startswith(reason)


def test_the_address_of_a_picture_that_cannot_be_read_is_not_quoted():
    with pytest.raises(BadResponseError) as caught:
        download(
            "https://me:hunter2/hunter2@host/a.png",
            Connections(),
            base_url="https://home.example",
            timeout=Timeout(),
            deadline=Deadline(),
        )
    assert caught.value.reason == "ValueError"


class Quoting(urllib3_errors.HTTPError):
    """An exception as urllib3 makes them, which show a connection and a URL."""

    def __init__(self):
        super().__init__(f"{http.client.HTTPConnection('host')}: no /v1?key=hunter2 at http://me:hunter2@host/v1")


@pytest.mark.parametrize("translate", [translate_send, translate_read])
@pytest.mark.parametrize("wrap", [requests.ConnectionError, urllib3_errors.ProtocolError, lambda error: error])
def test_what_an_exception_quotes_is_cleaned(translate, wrap):
    reason = translate(wrap(Quoting()), "test").reason
    assert "HTTPConnection object" in reason
    assert "no /v1 at http://host/v1" in reason
    assert "0x" not in reason


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.InvalidURL("hunter2"),
        requests.exceptions.InvalidHeader("hunter2"),
        requests.exceptions.InvalidProxyURL("hunter2"),
        UnicodeError("hunter2"),
        http.client.InvalidURL("hunter2"),
    ],
)
def test_of_an_exception_that_quotes_all_of_a_header_or_url_the_type_is_enough(error):
    assert translate_send(error, "test").reason == type(error).__name__


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2026 00:00:00 +99999999999999", ""]
)
def test_an_absurd_date_of_a_service_tells_nothing_about_its_clock(date):
    assert _skew(date) is None
