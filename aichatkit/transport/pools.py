"""Our connections: they tell on which socket a thread waits, and send a request in one piece."""

from __future__ import annotations

import http.client
import threading
from typing import Any, ClassVar

from aichatkit.transport.prepared import remember
from aichatkit.transport.readers import shut_down
from aichatkit.transport.response_heads import FastResponse

__all__ = ["ONE_PIECE", "PendingRequest", "is_sending", "track"]

#: The largest body that is put behind its head before it is sent, in bytes: a larger one is not copied.
ONE_PIECE = 65536

_waiting = threading.local()


def is_sending() -> bool:
    """Tell whether this thread is sending a request of the package."""
    return getattr(_waiting, "head", None) is not None


class PendingRequest:
    """Where the head of an answer is awaited, as a context: on a socket, once the request is out.

    `reused` tells whether an answer has come over that socket before; `anew` wants one over which none has.
    """

    def __init__(self, heads: set[PendingRequest], lock: threading.Lock, *, anew: bool = False) -> None:
        self.anew = anew
        self.reused = False
        self._heads = heads
        self._lock = lock
        self._socket: Any = None
        self._cancelled = False

    def __enter__(self) -> PendingRequest:
        with self._lock:
            self._heads.add(self)
        _waiting.head = self
        return self

    def __exit__(self, *exception: object) -> None:
        _waiting.head = None
        with self._lock:
            self._heads.discard(self)

    def wait_on(self, sock: Any) -> None:
        """Note the socket; where the client has closed already there is nothing to wait for."""
        self._socket = sock
        if self._cancelled:
            shut_down(sock)

    def cancel(self) -> None:
        """Wake the thread that waits, now or as soon as it does."""
        self._cancelled = True
        if self._socket is not None:
            shut_down(self._socket)


def track(manager: Any) -> None:
    """Have a manager of pools make our connections, whatever class they were of before."""
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _with_ours(pool) for scheme, pool in pools.items()}


def _with_ours(pool: Any) -> Any:
    parent: Any = pool.ConnectionCls
    told: dict[str, Any] = {"_lines": {}}
    if getattr(parent, "response_class", None) is http.client.HTTPResponse:
        told["response_class"] = FastResponse
    connection = type("TrackedConnection", (_Tracked, parent), told)
    return type("TrackedPool", (pool,), {"ConnectionCls": connection})


class _Tracked:
    """Goes before a connection's class, which it calls its parent."""

    #: Lines of heads that went out before, by name and values of their headers.
    _lines: ClassVar[dict[Any, bytes]]
    _line: bytes | None = None
    #: None, or what of the request has not gone out yet.
    _held: bytes | None = None
    _answered = False

    def connect(self) -> None:
        parent: Any = super()
        self._answered = False
        parent.connect()

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        parent: Any = super()
        head = getattr(_waiting, "head", None)
        if head is not None:
            head.wait_on(self.sock)  # type: ignore[attr-defined]
        response = parent.getresponse(*args, **kwargs)
        self._answered = True
        return response

    def request(self, *args: Any, **kwargs: Any) -> None:
        parent: Any = super()
        self._held = b""
        head = getattr(_waiting, "head", None)
        if head is not None and head.anew:
            parent.close()
        elif head is not None:
            head.reused = self._answered and self.sock is not None  # type: ignore[attr-defined]
        try:
            parent.request(*args, **kwargs)
            held, self._held = self._held, None
            if held:
                parent.send(held)
        finally:
            self._held = None

    def send(self, data: Any) -> None:
        # Head and body would each be a packet of its own, and wake the other side by itself.
        parent: Any = super()
        held, self._held = self._held, None
        if held == b"" and isinstance(data, bytes):
            self._held = data
            return
        if held and isinstance(data, bytes) and len(data) <= ONE_PIECE:
            data = held + data
        elif held:
            parent.send(held)
        parent.send(data)

    def putheader(self, header: Any, *values: Any) -> None:
        # Most headers are those of the call before, which were looked through for line ends and the like.
        parent: Any = super()
        line = self._lines.get((header, values))
        if line is not None:
            parent._output(line)
            return
        self._line = None
        parent.putheader(header, *values)
        if self._line is not None:
            remember(self._lines, (header, values), self._line)

    def _output(self, line: bytes) -> None:
        parent: Any = super()
        self._line = line
        parent._output(line)
