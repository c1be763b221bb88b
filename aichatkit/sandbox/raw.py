"""Script -> bytes on the wire: a server that sends exactly the bytes a test specifies, over TCP or TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aichatkit.sandbox.exchange import Request
from aichatkit.sandbox.http1 import read_request
from aichatkit.sandbox.server import ClientDisconnected, Connection, Listener, LocalServer

#: Bytes to send, seconds to wait, an event to wait for, "close", "reset", "wait-close", or more steps.
Step = Any
Script = Iterable[Step]

_END_STEPS = ("close", "reset", "wait-close")
#: How long "wait-close" waits for the client to close, in seconds.
_WAIT_CLOSE_SECONDS = 3600.0


class RawServer(LocalServer):
    """Answer each request with the next script of steps, repeating the last one; without scripts, stay silent.

    A step is bytes (sent), a number (seconds to wait), a `threading.Event` (waited for), "close" (a FIN),
    "reset" (an RST), "wait-close" (wait until the client closes), or an iterable of steps, which may be endless.
    A script may also be a function that takes the request and returns steps.
    After the last step the connection stays open for another request.
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
        #: The numbers of the connections that the client closed while a script ran.
        self.left: list[int] = []
        #: The number of bytes sent on each connection.
        self.sent: dict[int, int] = {}
        self._scripts = list(scripts) or [("wait-close",)]
        self._greeting = list(greeting)
        for script in (*scripts, self._greeting):
            _check_steps(script)
        self._lock = threading.Lock()
        self._options = (host, tls)

    def start(self) -> RawServer:
        """Start listening."""
        host, tls = self._options
        self._listener = Listener(self._serve, host=host, tls=tls)
        return self

    def close(self) -> None:
        """Stop listening, and close all connections."""
        self._running.close()

    def _serve(self, connection: Connection) -> None:
        is_open = self._run(connection, self._greeting)
        while is_open:
            request = read_request(connection)
            is_open = self._run(connection, self._next_script(request))

    def _next_script(self, request: Request) -> Script:
        with self._lock:
            self.requests.append(request)
            index = min(len(self.requests), len(self._scripts)) - 1
            script = self._scripts[index]
        return script(request) if callable(script) else script

    def _run(self, connection: Connection, script: Script) -> bool:
        try:
            return all(_run_step(connection, step) for step in script)
        except ClientDisconnected:
            self.left.append(connection.number)
            raise
        finally:
            self.sent[connection.number] = connection.sent


def _run_step(connection: Connection, step: Step) -> bool:
    """Run one step; return whether the connection is still open."""
    if isinstance(step, bytes):
        connection.send(step)
    elif isinstance(step, (int, float)):
        connection.wait(step)
    elif isinstance(step, threading.Event):
        while not step.is_set():
            connection.wait(0.01)
    elif isinstance(step, str):
        return _run_end_step(connection, step)
    else:
        return all(_run_step(connection, inner) for inner in step)
    return True


def _run_end_step(connection: Connection, step: str) -> bool:
    if step == "wait-close":
        connection.wait(_WAIT_CLOSE_SECONDS)
    elif step == "reset":
        connection.reset()
    return False


def _check_steps(script: Any) -> None:
    """Reject an unknown step in the constructor, not later in a background thread."""
    for step in script if isinstance(script, (list, tuple)) else ():
        if isinstance(step, str) and step not in _END_STEPS:
            raise ValueError(f"the step {step!r} is none of {', '.join(_END_STEPS)}")
        _check_steps(step)


def response(body: bytes = b"", *, status: str = "200 OK", headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Build the bytes of a complete response with its content length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked_head(content_type: str = "text/event-stream", *, status: str = "200 OK") -> bytes:
    """Build the head of a chunked response."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Frame one chunk; an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
