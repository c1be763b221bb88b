"""Real answers, recorded once, and played from then on without a network, a key or a wait."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import requests
from requests.adapters import BaseAdapter

from aichatkit._locks import Lock
from aichatkit.errors import ConfigurationError
from aichatkit.params import nearest
from aichatkit.sandbox.exchange import Answer, Piece
from aichatkit.sandbox.http1 import answer_steps
from aichatkit.sandbox.memory import Clock
from aichatkit.sandbox.raw import chunk
from aichatkit.testing.recordings import Exchange, Sent, load, save, secrets_of
from aichatkit.testing.stand_ins import StandIn, respond
from aichatkit.transport.readers import pick_reader

__all__ = ["MODES", "Replay"]

#: "none" only plays, "once" records where nothing is recorded yet, "all" records anew.
MODES = ("none", "once", "all")

#: What the web chat sites are sent anew each time.
_IGNORED = ("time", "sign", "canvas", "conversationId", "session", "chatId", "wpaicg_chat_client_id")
#: Headers about the form of the body, which is sent on in another one.
_FRAMING = {"transfer-encoding", "content-length", "content-encoding", "connection", "keep-alive"}


class Replay:
    """Play the answers in the file `path`, or record them there: see `MODES`.

    A request is answered with the first recorded answer to one like it that has not been played yet.
    Keys, cookies and all headers but a few are not written; prompts and answers are.
    `ignored` names fields of request bodies that may differ, such as signatures and times.
    `again` is the command that records, told where a recording is missing or does not fit.
    """

    def __init__(self, path: Path | str, *, mode: str = "once", again: str = "mode='all'") -> None:
        if mode not in MODES:
            raise ConfigurationError(f"replay: there is no mode {mode!r}{nearest(mode, MODES)}; there are {MODES}")
        self.path = Path(path)
        self.recording = mode == "all" or (mode == "once" and not self.path.exists())
        self.ignored = set(_IGNORED)
        self._again = again
        self._exchanges: list[Exchange] = []
        self._played: set[int] = set()
        self._missed: list[str] = []
        self._lock = Lock()
        self._clock = Clock()
        choose: Callable[[Callable[[], BaseAdapter]], BaseAdapter] = lambda usual: _Adapter(self, usual)  # noqa: E731
        self._stand_in = StandIn(choose, clock=None if self.recording else self._clock)

    @property
    def waits(self) -> list[float]:
        """The seconds of each wait while playing, none of which was waited."""
        return self._clock.slept

    def install(self) -> Replay:
        """Stand in for the network for every client of the process, until `remove`."""
        if not self.recording and self.path.exists():
            try:
                self._exchanges = load(self.path)
            except (ValueError, LookupError, TypeError) as error:
                raise ConfigurationError(
                    f"{self.path}: is no recording ({error}); record again: {self._again}"
                ) from error
        self._stand_in.put()
        return self

    def remove(self) -> None:
        """Give the network back, and write what was recorded."""
        self._stand_in.remove()
        if self.recording and self._exchanges:
            save(self.path, self._exchanges)

    @contextmanager
    def installed(self) -> Iterator[Replay]:
        """Play or record inside a with statement."""
        self.install()
        try:
            yield self
        finally:
            self.remove()
        self.assert_found()

    def assert_found(self) -> None:
        """Raise AssertionError where a request had no recorded answer, also if the code under test caught that."""
        if self._missed:
            raise AssertionError(self._missed[0])

    def answer(self, request: requests.PreparedRequest, timeout: Any, usual: Callable[[], Any]) -> requests.Response:
        """Answer one request."""
        if self.recording:
            return self._record(request, timeout, usual())
        exchange = self._find(_sent(request, secrets_of(request.headers)))
        pieces = [Piece(piece) for piece in exchange.pieces]
        answer = Answer(exchange.status, list(exchange.headers), pieces, framing="chunked", ending=exchange.ending)
        return respond(request, answer_steps(answer), timeout, self._clock)

    def _record(self, request: requests.PreparedRequest, timeout: Any, send: Any) -> requests.Response:
        secrets = secrets_of(request.headers)
        real = send(request)
        exchange = Exchange(_sent(request, secrets), real.status_code, list(real.raw.headers.items()), secrets=secrets)
        with self._lock:
            self._exchanges.append(exchange)
        return respond(request, _recorded(exchange, real), timeout, self._clock)

    def _find(self, sent: Sent) -> Exchange:
        wanted = sent.lines(self.ignored)
        with self._lock:
            for place, exchange in enumerate(self._exchanges):
                if place not in self._played and exchange.sent.lines(self.ignored) == wanted:
                    self._played.add(place)
                    return exchange
            self._missed.append(self._complaint(wanted))
        raise AssertionError(self._missed[-1])

    def _complaint(self, wanted: list[str]) -> str:
        if not self._exchanges:
            return f"there is no recording at {self.path}; make it, with your key set: {self._again}"
        known = [exchange.sent.lines(self.ignored) for exchange in self._exchanges]
        if wanted in known:
            return f"{self.path}: this was asked more often than recorded: {wanted[0]}; record again: {self._again}"
        closest = max(known, key=lambda lines: difflib.SequenceMatcher(None, lines, wanted).ratio())
        shown = "\n".join(difflib.unified_diff(closest, wanted, "recorded", "asked now", lineterm="", n=1))
        return f"{self.path}: nothing is recorded for this request; record again: {self._again}\n{shown}"


class _Adapter(BaseAdapter):
    """Where a Session sends its requests; `usual` finds the adapter it would have had."""

    def __init__(self, replay: Replay, usual: Callable[[], BaseAdapter]) -> None:
        super().__init__()
        self._replay = replay
        self._usual = usual

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        def usual() -> Callable[[requests.PreparedRequest], requests.Response]:
            adapter = self._usual()
            return lambda prepared: adapter.send(prepared, *args, **kwargs)

        return self._replay.answer(request, kwargs.get("timeout"), usual)

    def close(self) -> None:
        """Hold nothing, so there is nothing to close."""


def _sent(request: requests.PreparedRequest, secrets: list[str]) -> Sent:
    body: Any = request.body or b""
    return Sent.of(
        request.method or "POST", str(request.url), body.encode() if isinstance(body, str) else body, secrets
    )


def _recorded(exchange: Exchange, real: requests.Response) -> Generator[bytes, None, None]:
    """Pass an answer on as it comes, and keep each piece."""
    kept = [(name, value) for name, value in exchange.headers if name.lower() not in _FRAMING]
    head = [f"HTTP/1.1 {real.status_code} {real.reason or ''}", *(f"{name}: {value}" for name, value in kept)]
    yield "\r\n".join([*head, "Transfer-Encoding: chunked", "", ""]).encode("latin-1")
    read, framing = pick_reader(real)
    try:
        while block := read():
            exchange.pieces.append(block)
            yield chunk(block)
        inner: Any = getattr(real.raw, "_fp", None)
        cut_short = framing is not None and bool(getattr(inner, "length", 0))
    finally:
        real.close()
    if not cut_short:
        exchange.ending = ""
        yield chunk(b"")
