"""Connections that know which socket a thread is waiting on, and send a request in a single packet."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from aichatkit.transport.prepared import remember
from aichatkit.transport.readers import bound_reads, shut_down
from aichatkit.transport.response_heads import FastResponse
from aichatkit.transport.timeouts import Deadline

__all__ = ["MAX_JOINED_BODY", "PendingRequest", "is_sending", "is_tracked", "track_connections"]

#: The largest body that is appended to its headers before sending, in bytes; larger ones are not copied.
MAX_JOINED_BODY = 65536

_current = threading.local()


def is_sending() -> bool:
    """Return whether this thread is sending a request of the package."""
    return getattr(_current, "request", None) is not None


class PendingRequest:
    """Context manager around sending a request and waiting for the response head; `cancel` wakes the thread.

    `reused` is true if the connection has carried a response before; `fresh` requires a new connection. `head` is the
    head as it was sent; `when_sent` is called with it once the request is on its way.
    """

    when_sent: Callable[[bytes], None] | None = None

    def __init__(
        self,
        registry: set[PendingRequest],
        lock: threading.Lock,
        *,
        fresh: bool = False,
        deadline: Deadline | None = None,
    ) -> None:
        self.fresh = fresh
        self.deadline = deadline
        self.reused = False
        self.head = b""
        self._registry = registry
        self._lock = lock
        self._socket: Any = None
        self._cancelled = False

    def __enter__(self) -> PendingRequest:
        with self._lock:
            self._registry.add(self)
        _current.request = self
        return self

    def __exit__(self, *exception: object) -> None:
        _current.request = None
        with self._lock:
            self._registry.discard(self)

    def wait_on(self, sock: Any) -> None:
        """Set the socket to wait on; if the request has already been cancelled, the wait ends immediately."""
        self._socket = sock
        if self._cancelled:
            shut_down(sock)
        if self.when_sent is not None:
            self.when_sent(self.head)

    def cancel(self) -> None:
        """Wake the waiting thread, now or as soon as it starts to wait."""
        self._cancelled = True
        if self._socket is not None:
            shut_down(self._socket)


def is_tracked(connection: object) -> bool:
    """Return whether a connection is a plain one of urllib3, tracked here."""
    return isinstance(connection, _TrackedMixin) and getattr(type(connection), "response_class", None) is _open_response


def track_connections(manager: Any) -> None:
    """Make a pool manager create tracked connections, each a subclass of the class it used before."""
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _tracked_pool(pool_cls) for scheme, pool_cls in pools.items()}


def _tracked_pool(pool_cls: Any) -> Any:
    base_cls: Any = pool_cls.ConnectionCls
    if not issubclass(base_cls, http.client.HTTPConnection):
        # In a browser, whose connections are not sockets.
        return pool_cls
    namespace: dict[str, Any] = {"_header_lines": {}}
    if getattr(base_cls, "response_class", None) is http.client.HTTPResponse:
        namespace["response_class"] = _open_response
    connection_cls = type("TrackedConnection", (_TrackedMixin, base_cls), namespace)
    return type("TrackedPool", (pool_cls,), {"ConnectionCls": connection_cls})


def _open_response(connection: Any, sock: Any, *args: Any, **options: Any) -> FastResponse:
    """Create the response to a request, or to CONNECT while the connection to a proxy is set up."""
    response = FastResponse(sock, *args, **options)
    deadline = connection._handshake or _deadline()
    if deadline is not None:
        bound_reads(response.fp, deadline)
    return response


def _deadline() -> Deadline | None:
    """Return the deadline of the request this thread is sending, None if it has none."""
    deadline: Deadline | None = getattr(getattr(_current, "request", None), "deadline", None)
    return deadline if deadline is not None and deadline.total is not None else None


class _TrackedMixin:
    """Mixin placed before a connection class, which it calls through `super()`."""

    #: Encoded header lines of earlier requests, by header name and values.
    _header_lines: ClassVar[dict[Any, bytes]]
    _last_line: bytes | None = None
    #: Headers of the current request, held back to be sent with its body: empty at first, None once sent.
    _unsent: bytes | None = None
    has_answered = False

    #: The deadline of the handshakes with the proxy and of TLS, while they last.
    _handshake: Deadline | None = None

    def connect(self) -> None:
        parent: Any = super()
        self.has_answered = False
        try:
            parent.connect()
        finally:
            self._handshake = None

    def _new_conn(self) -> Any:
        parent: Any = super()
        sock = parent._new_conn()
        deadline = _deadline()
        candidates = (sock.gettimeout(), None if deadline is None else deadline.remaining())
        limits = [limit for limit in candidates if limit is not None]
        # All handshakes together get the time of one connection attempt.
        self._handshake = Deadline(min(limits)) if limits else None
        self._bound_handshake(sock)
        return sock

    def _tunnel(self) -> None:
        parent: Any = super()
        parent._tunnel()
        self._bound_handshake(self.sock)  # type: ignore[attr-defined]

    def _bound_handshake(self, sock: Any) -> None:
        if self._handshake is None:
            return
        remaining = self._handshake.remaining() or 0
        if remaining <= 0:
            sock.close()
            raise socket.timeout("timed out")
        sock.settimeout(remaining)

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        parent: Any = super()
        pending = getattr(_current, "request", None)
        if pending is not None:
            pending.wait_on(self.sock)  # type: ignore[attr-defined]
        response = parent.getresponse(*args, **kwargs)
        self.has_answered = True
        return response

    def request(self, *args: Any, **kwargs: Any) -> None:
        parent: Any = super()
        self._unsent = b""
        pending = getattr(_current, "request", None)
        if pending is not None and pending.fresh:
            parent.close()
        elif pending is not None:
            pending.reused = self.has_answered and self.sock is not None  # type: ignore[attr-defined]
        try:
            parent.request(*args, **kwargs)
            unsent, self._unsent = self._unsent, None
            if unsent:
                parent.send(unsent)
        finally:
            self._unsent = None

    def send(self, data: Any) -> None:
        # Sent separately, headers and body would be two packets and wake the server twice.
        parent: Any = super()
        unsent, self._unsent = self._unsent, None
        if unsent == b"" and isinstance(data, bytes):
            self._unsent = data
            if (pending := getattr(_current, "request", None)) is not None:
                pending.head = data
            return
        if unsent and isinstance(data, bytes) and len(data) <= MAX_JOINED_BODY:
            data = unsent + data
        elif unsent:
            parent.send(unsent)
        parent.send(data)

    def putheader(self, header: Any, *values: Any) -> None:
        # Most headers equal those of the previous call, which are already validated and encoded.
        parent: Any = super()
        line = self._header_lines.get((header, values))
        if line is not None:
            parent._output(line)
            return
        self._last_line = None
        parent.putheader(header, *values)
        if self._last_line is not None:
            remember(self._header_lines, (header, values), self._last_line)

    def _output(self, line: bytes) -> None:
        parent: Any = super()
        self._last_line = line
        parent._output(line)
