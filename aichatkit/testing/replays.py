"""Real answers, recorded once and replayed without network access, API keys or waiting."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Callable

import requests
from requests.adapters import BaseAdapter

from aichatkit._locks import Lock
from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError
from aichatkit.params import parse_path, suggestion
from aichatkit.sandbox.exchange import Piece, Response
from aichatkit.sandbox.http1 import response_steps
from aichatkit.sandbox.memory import Clock
from aichatkit.sandbox.raw import chunk
from aichatkit.testing.patches import NetworkPatch, build_response
from aichatkit.testing.recordings import Exchange, RecordedRequest, collect_secrets, load, save
from aichatkit.transport.readers import pick_reader

__all__ = ["MODES", "Replay"]

#: "none" only replays, "once" records if there is no recording yet, "all" always records.
MODES = ("none", "once", "all")

#: Fields of requests to the web chat sites that change each time.
_IGNORED_FIELDS = ("time", "sign", "canvas", "conversationId", "session", "chatId", "wpaicg_chat_client_id")
#: Headers that describe the original framing, which is replaced by chunks.
_FRAMING_HEADERS = {"transfer-encoding", "content-length", "content-encoding", "connection", "keep-alive"}


class Replay:
    """Replay the answers in the file `path`, or record them there.

    `mode` is "none" (only replay), "once" (record if there is no recording yet) or "all" (always record).
    A request gets the first recorded answer to an equal request that has not been replayed yet.
    Keys, cookies and most headers are not recorded; prompts and answers are.
    `ignored` is a set of names of request fields that may differ, such as signatures and timestamps.
    `again` is the command to record again, shown if a recording is missing or does not match.
    """

    def __init__(self, path: Path | str, *, mode: str = "once", again: str = "mode='all'") -> None:
        if mode not in MODES:
            raise ConfigurationError(f"replay: there is no mode {mode!r}{suggestion(mode, MODES)}; there are {MODES}")
        self.path = Path(parse_path(path, "replay: must be the path of a recording"))
        state = "is recorded again" if mode == "all" else "does not exist yet"
        self.recording = mode == "all" or (mode == "once" and not self.path.exists())
        self.ignored = set(_IGNORED_FIELDS)
        self._again = again
        self._exchanges: list[Exchange] = []
        self._replayed: set[int] = set()
        self._failures: list[str] = []
        self._lock = Lock()
        self._clock = Clock()
        self._patch = NetworkPatch(
            partial(_ReplayAdapter, self),
            clock=None if self.recording else self._clock,
            key_note=f"; the key is needed to record the answers, as {self.path} {state}" if self.recording else "",
        )

    @property
    def waits(self) -> list[float]:
        """The length of each wait in seconds; while replaying, waits return immediately."""
        return self._clock.slept

    def install(self) -> Replay:
        """Replace the network for every client in the process, until `remove`."""
        if not self.recording and self.path.exists():
            try:
                self._exchanges = load(self.path)
            except (ValueError, LookupError, TypeError) as error:
                raise ConfigurationError(
                    f"{self.path}: is not a recording ({error}); record again: {self._again}", reason=reason_of(error)
                ) from error
        self._patch.apply()
        return self

    def remove(self) -> None:
        """Restore the network, and write the recording."""
        self._patch.remove()
        if self.recording and self._exchanges:
            save(self.path, self._exchanges)

    @contextmanager
    def installed(self) -> Iterator[Replay]:
        """Replay or record inside a with statement, then call `assert_found`."""
        self.install()
        try:
            yield self
        finally:
            self.remove()
        self.assert_found()

    def assert_found(self) -> None:
        """Raise AssertionError if a request had no recorded answer, even if the code under test caught the error."""
        if self._failures:
            raise AssertionError(self._failures[0])

    def answer(self, request: requests.PreparedRequest, timeout: Any, usual: Callable[[], Any]) -> requests.Response:
        """Answer one request; `usual` returns a function that sends it over the network."""
        if self.recording:
            return self._record(request, timeout, usual())
        exchange = self._find(_recorded_request(request, collect_secrets(request.headers)))
        pieces = [Piece(piece) for piece in exchange.pieces]
        response = Response(exchange.status, list(exchange.headers), pieces, framing="chunked", ending=exchange.ending)
        return build_response(request, response_steps(response), timeout, self._clock)

    def _record(self, request: requests.PreparedRequest, timeout: Any, send: Any) -> requests.Response:
        secrets = collect_secrets(request.headers)
        response = send(request)
        recorded, headers = _recorded_request(request, secrets), list(response.raw.headers.items())
        exchange = Exchange(recorded, response.status_code, headers, secrets=secrets)
        with self._lock:
            self._exchanges.append(exchange)
        return build_response(request, _recording_steps(exchange, response), timeout, self._clock)

    def _find(self, request: RecordedRequest) -> Exchange:
        wanted = request.lines(self.ignored)
        with self._lock:
            for index, exchange in enumerate(self._exchanges):
                if index not in self._replayed and exchange.request.lines(self.ignored) == wanted:
                    self._replayed.add(index)
                    return exchange
            self._failures.append(self._failure_message(wanted))
        raise AssertionError(self._failures[-1])

    def _failure_message(self, wanted: list[str]) -> str:
        if not self._exchanges:
            return f"cannot find a recording at {self.path}; make it, with your key set: {self._again}"
        recorded = [exchange.request.lines(self.ignored) for exchange in self._exchanges]
        if wanted in recorded:
            return f"{self.path}: this was asked more often than recorded: {wanted[0]}; record again: {self._again}"
        closest = max(recorded, key=lambda lines: difflib.SequenceMatcher(None, lines, wanted).ratio())
        diff = "\n".join(difflib.unified_diff(closest, wanted, "recorded", "asked now", lineterm="", n=1))
        return f"{self.path}: nothing is recorded for this request; record again: {self._again}\n{diff}"


class _ReplayAdapter(BaseAdapter):
    """The transport adapter of a session; `get_original` returns the adapter that it replaces."""

    def __init__(self, replay: Replay, get_original: Callable[[], BaseAdapter]) -> None:
        super().__init__()
        self._replay = replay
        self._get_original = get_original

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        def get_send() -> Callable[[requests.PreparedRequest], requests.Response]:
            adapter = self._get_original()
            return lambda prepared: adapter.send(prepared, *args, **kwargs)

        return self._replay.answer(request, kwargs.get("timeout"), get_send)

    def close(self) -> None:
        """Do nothing: there are no connections to close."""


def _recorded_request(request: requests.PreparedRequest, secrets: list[str]) -> RecordedRequest:
    body: Any = request.body or b""
    return RecordedRequest.of(
        request.method or "POST", str(request.url), body.encode() if isinstance(body, str) else body, secrets
    )


def _recording_steps(exchange: Exchange, response: requests.Response) -> Generator[bytes, None, None]:
    """Yield the bytes of a response as they arrive, and record each piece."""
    status_line = f"HTTP/1.1 {response.status_code} {response.reason or ''}"
    headers = [f"{name}: {value}" for name, value in exchange.headers if name.lower() not in _FRAMING_HEADERS]
    yield "\r\n".join([status_line, *headers, "Transfer-Encoding: chunked", "", ""]).encode("latin-1")
    read, framing = pick_reader(response)
    try:
        while block := read():
            exchange.pieces.append(block)
            yield chunk(block)
        inner: Any = getattr(response.raw, "_fp", None)
        is_incomplete = framing is not None and bool(getattr(inner, "length", 0))
    finally:
        response.close()
    if not is_incomplete:
        exchange.ending = ""
        yield chunk(b"")
