"""Script -> bytes on the wire: a server that sends exactly what a test says, over TCP or TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from aichatkit.sandbox.exchange import Request
from aichatkit.sandbox.http1 import read_request
from aichatkit.sandbox.server import Connection, Gone, Listener

#: Bytes to send, seconds to wait, an event to wait for, "close", "reset", "wait-close", or more steps.
Step = Any
Script = Iterable[Step]

_ENDS = ("close", "reset", "wait-close")
#: How long "wait-close" waits for a client that stays, in seconds.
_PATIENCE = 3600.0


class RawServer:
    """Answer each request with the next script of steps; the last one is used again, and none at all is silence.

    A step is bytes (sent), a number (seconds to wait), a `threading.Event` (waited for), "close" (a FIN),
    "reset" (an RST), "wait-close" (until the client closes), or an iterable of steps, which may be endless.
    A script may also be a function that takes the request and returns steps.
    After its last step the connection is kept for a further request.
    `greeting` is run on each new connection before anything is read.
    """

    def __init__(
        self,
        *scripts: Script | Callable[[Request], Script],
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        greeting: Script = (),
    ) -> None:
        self.requests: list[Request] = []
        #: Numbers of the connections that the client closed while a script ran, and the bytes each one was sent.
        self.left: list[int] = []
        self.sent: dict[int, int] = {}
        self._scripts = list(scripts) or [("wait-close",)]
        self._greeting = list(greeting)
        for script in (*scripts, self._greeting):
            _check(script)
        self._lock = threading.Lock()
        self._address = (host, tls)
        self._listener: Listener | None = None

    def start(self) -> RawServer:
        """Listen from now on."""
        host, tls = self._address
        self._listener = Listener(self._serve, host=host, tls=tls)
        return self

    def close(self) -> None:
        """Stop, and end every open connection."""
        self._running.close()

    def __enter__(self) -> RawServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return self._running.url

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._running.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return self._running.open_connections

    def wait_closed(self, timeout: float = 5.0) -> bool:
        """Wait until no connection is open; False when `timeout` seconds were not enough."""
        return self._running.wait_closed(timeout)

    @property
    def _running(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the server is not started: use it in a with statement or call start()")
        return self._listener

    def _serve(self, connection: Connection) -> None:
        keep = self._run(connection, self._greeting)
        while keep:
            request = read_request(connection)
            keep = self._run(connection, self._next_script(request))

    def _next_script(self, request: Request) -> Script:
        with self._lock:
            self.requests.append(request)
            place = min(len(self.requests), len(self._scripts)) - 1
            script = self._scripts[place]
        return script(request) if callable(script) else script

    def _run(self, connection: Connection, script: Script) -> bool:
        try:
            return all(_take(connection, step) for step in script)
        except Gone:
            self.left.append(connection.number)
            raise
        finally:
            self.sent[connection.number] = connection.sent


def _take(connection: Connection, step: Step) -> bool:
    """Take one step; return whether the connection is still there for the next one."""
    if isinstance(step, bytes):
        connection.send(step)
    elif isinstance(step, (int, float)):
        connection.wait(step)
    elif isinstance(step, threading.Event):
        while not step.is_set():
            connection.wait(0.01)
    elif isinstance(step, str):
        return _end(connection, step)
    else:
        return all(_take(connection, inner) for inner in step)
    return True


def _end(connection: Connection, step: str) -> bool:
    if step == "wait-close":
        connection.wait(_PATIENCE)
    elif step == "reset":
        connection.reset()
    return False


def _check(script: Any) -> None:
    """Refuse a mistyped step where the test is written, not in a thread that nobody looks at."""
    for step in script if isinstance(script, (list, tuple)) else ():
        if isinstance(step, str) and step not in _ENDS:
            raise ValueError(f"the step {step!r} is none of {', '.join(_ENDS)}")
        _check(step)


def response(body: bytes = b"", *, status: str = "200 OK", headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Make the bytes of a whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked_head(content_type: str = "text/event-stream", *, status: str = "200 OK") -> bytes:
    """Make the head of an answer in chunks."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Frame one chunk; the chunk of no data is the end of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
