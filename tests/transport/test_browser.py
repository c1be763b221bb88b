"""What a browser gives instead of sockets, played by responses that cannot `read1`; a real one is among the peers."""

from __future__ import annotations

import http.client
import io
import sys
from types import SimpleNamespace

import pytest
import requests
import urllib3
from urllib3.connectionpool import HTTPConnectionPool

from aichatkit import Client, ConnectError, TimedOutError
from aichatkit.transport.exceptions import translate_send
from aichatkit.transport.pools import track_connections
from aichatkit.transport.readers import pick_reader

needs_urllib3_2 = pytest.mark.skipif(not hasattr(urllib3, "BaseHTTPResponse"), reason="came with urllib3 2")


class BrowserResponse(getattr(urllib3, "BaseHTTPResponse", object)):
    """As urllib3 has it for Emscripten: the browser's body is a stream, or all there."""

    def __init__(self, body, content_type="text/event-stream"):
        headers = {"Content-Type": content_type, "Content-Encoding": "gzip"}  # of the wire: the body is decoded
        super().__init__(
            headers=headers, status=200, version=0, version_string="", reason="", decode_content=True, request_url=None
        )
        self.sizes = []
        self._response = SimpleNamespace(body=body)
        self._file = body if isinstance(body, io.IOBase) else io.BytesIO(body)

    def close(self):
        self._file.close()

    def stream(self, amt=None, decode_content=None):
        self.sizes.append(amt)
        yield from iter(lambda: self._file.read(amt), b"")


def read_all(raw):
    response = requests.Response()
    response.raw, response.headers = raw, raw.headers
    read, framing = pick_reader(response)
    assert framing is None
    return b"".join(iter(read, b""))


@needs_urllib3_2
def test_a_stream_is_read_as_it_comes():
    raw = BrowserResponse(io.BytesIO(b"data: 1\n\n"))
    assert read_all(raw) == b"data: 1\n\n"
    assert raw.sizes == [1]


@needs_urllib3_2
def test_an_answer_that_is_not_a_stream_is_read_in_large_blocks():
    raw = BrowserResponse(io.BytesIO(b'{"a": 1}'), "application/json; charset=utf-8")
    assert read_all(raw) == b'{"a": 1}'
    assert raw.sizes == [65536]


@needs_urllib3_2
def test_a_browser_that_cannot_stream_is_said():
    raw = BrowserResponse(b"data: 1\n\n")
    with pytest.warns(UserWarning, match="this browser delivers responses only once they are complete"):
        assert read_all(raw) == b"data: 1\n\n"
    assert raw.sizes == [65536]


def test_connections_without_sockets_are_left_as_they_are():
    class BrowserPool(HTTPConnectionPool):
        ConnectionCls = type("BrowserConnection", (), {})

    manager = SimpleNamespace(pool_classes_by_scheme={"http": HTTPConnectionPool, "https": BrowserPool})
    track_connections(manager)
    assert manager.pool_classes_by_scheme["https"] is BrowserPool
    assert manager.pool_classes_by_scheme["http"] is not HTTPConnectionPool


def test_what_a_browser_does_not_say_is_an_error_that_names_what_to_look_at(monkeypatch):
    failure = http.client.HTTPException("Failed to execute 'send'")
    assert "not HTTP" in str(translate_send(failure, "openai at api.example"))
    monkeypatch.setattr(sys, "platform", "emscripten")
    error = translate_send(failure, "openai at api.example")
    assert isinstance(error, ConnectError)
    assert str(error).startswith("openai at api.example: the browser did not get an answer")
    other = translate_send(requests.exceptions.InvalidHeader("x"), "openai at api.example")
    assert "the browser" not in str(other)


def test_a_timeout_of_a_browser_is_one():
    error = translate_send(urllib3.exceptions.TimeoutError("timed out"), "openai at api.example")
    assert isinstance(error, TimedOutError)


@pytest.mark.parametrize("failure", [OSError(138, "Not supported"), RuntimeError("can't start new thread")])
def test_offline_says_that_it_cannot_start_a_server(monkeypatch, failure):
    def start(sandbox):
        raise failure

    monkeypatch.setattr("aichatkit.providers.offline._sandboxes", {})
    monkeypatch.setattr("aichatkit.sandbox.Sandbox.start", start)
    with Client(model="offline") as client:
        for _ in range(2):
            with pytest.raises(ValueError, match=r"offline: its server cannot be started here .*testing\.Fake"):
                client.ask("Hi")
