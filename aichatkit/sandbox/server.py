"""Socket -> connection: listen on a local port, with one thread per connection and a clean shutdown."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import struct
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar, TypeVar

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HANDSHAKE_SECONDS = 5.0


class ClientDisconnected(Exception):
    """The client closed the connection."""


class Connection:
    """An accepted connection with its own read buffer; `number` counts from 1."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.sock = sock
        self.sent = 0
        self.is_shut_down = False
        self._buffer = bytearray()

    def read_line(self, limit: int = 65536) -> bytes:
        """Read up to the next line feed and return the line without its ending."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > limit:
                raise ValueError(f"a line is longer than {limit} bytes")
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.rstrip(b"\r")

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes."""
        while len(self._buffer) < size:
            self._fill()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def send(self, data: bytes) -> None:
        """Send all of `data` immediately."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise ClientDisconnected from error
        self.sent += len(data)

    def wait(self, seconds: float) -> None:
        """Wait; raise `ClientDisconnected` if the client closes first."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            self.sock.settimeout(remaining)
            with contextlib.suppress(socket.timeout):
                self._fill()
        self.sock.settimeout(None)

    def shut_down(self) -> None:
        """Shut down both directions, which wakes up a thread that is reading or writing."""
        self.is_shut_down = True
        # The plain socket's method: that of a TLS socket drops the encryption while another thread is using it.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection normally."""
        self.shut_down()
        self.sock.close()

    def reset(self) -> None:
        """Close so that the client gets a connection reset."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.sock.close()

    def _fill(self) -> None:
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            raise
        except OSError as error:
            raise ClientDisconnected from error
        if not data:
            raise ClientDisconnected
        self._buffer += data


class Listener:
    """Accept connections and run `serve` on each in a separate thread, until closed."""

    def __init__(
        self,
        serve: Callable[[Connection], None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connections = 0
        self._serve = serve
        self._tls = tls
        self._open: dict[Connection, threading.Thread] = {}
        self._changed = threading.Condition()
        self._closing = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server_socket = socket.create_server((host, port), family=family, backlog=256)
        self._wake_sender, self._wake_receiver = socket.socketpair()
        self.port: int = self._server_socket.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{self.port}"
        self._thread = threading.Thread(target=self._accept_all, name=f"sandbox-{self.port}", daemon=True)
        self._thread.start()
        _LISTENERS.add(self)

    @property
    def open_connections(self) -> int:
        """The number of open connections."""
        return len(self._open)

    def wait_closed(self, timeout: float = 5.0) -> bool:
        """Wait until all connections are closed; return False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout)

    def close(self) -> None:
        """Stop accepting, close all connections and join the threads."""
        if self._closing:
            return
        self._closing = True
        self._wake_sender.send(b"x")
        self._thread.join(1.0)
        with self._changed:
            connections = dict(self._open)
        for connection in connections:
            connection.shut_down()
        for thread in connections.values():
            thread.join(1.0)
        for sock in (self._server_socket, self._wake_sender, self._wake_receiver):
            sock.close()

    def close_after_fork(self) -> None:
        """Close the sockets copied by a fork without shutting them down: the clients still belong to the parent."""
        self._closing = True
        for sock in (
            self._server_socket,
            self._wake_sender,
            self._wake_receiver,
            *(connection.sock for connection in self._open),
        ):
            sock.close()
        self._open.clear()

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._server_socket, selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            while True:
                selector.select()
                if self._closing:
                    return
                # The client may have disconnected between the select and the accept.
                with contextlib.suppress(OSError):
                    self._accept(self._server_socket.accept()[0])

    def _accept(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        connection = Connection(self.connections, sock)
        thread = threading.Thread(target=self._run, args=(connection,), name=f"sandbox-{self.port}-c", daemon=True)
        with self._changed:
            self._open[connection] = thread
        thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            if self._tls is not None:
                _start_tls(connection, self._tls)
            self._serve(connection)
        except (ClientDisconnected, OSError):
            # Clients may disconnect at any moment, even during a TLS handshake.
            connection.shut_down()
        finally:
            connection.close()
            with self._changed:
                self._open.pop(connection, None)
                self._changed.notify_all()


_Server = TypeVar("_Server", bound="LocalServer")


class LocalServer(ABC):
    """The base of the servers for tests: a listener from `start` to `close`, or for the length of a with statement."""

    _label: ClassVar[str] = "server"
    _listener: Listener | None = None

    @abstractmethod
    def start(self: _Server) -> _Server:
        """Start listening."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening, and close all connections."""

    def __enter__(self: _Server) -> _Server:
        return self.start()

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The URL, without a trailing slash."""
        return self._running.url

    @property
    def connections(self) -> int:
        """The number of connections accepted."""
        return self._running.connections

    @property
    def open_connections(self) -> int:
        """The number of open connections."""
        return self._running.open_connections

    def wait_closed(self, timeout: float = 5.0) -> bool:
        """Wait until all connections are closed; return False after `timeout` seconds."""
        return self._running.wait_closed(timeout)

    @property
    def _running(self) -> Listener:
        if self._listener is None:
            raise RuntimeError(f"the {self._label} is not started: use it in a with statement or call start()")
        return self._listener


def _start_tls(connection: Connection, tls: ssl.SSLContext) -> None:
    connection.sock.settimeout(_HANDSHAKE_SECONDS)
    # Wrapped before the handshake, so that `shut_down` reaches the socket while a silent client delays the handshake.
    encrypted = tls.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
    connection.sock = encrypted
    if connection.is_shut_down:
        # `shut_down` was called on the plain socket, which no longer held the connection.
        raise ClientDisconnected
    encrypted.do_handshake()
    encrypted.settimeout(None)


_LISTENERS: weakref.WeakSet[Listener] = weakref.WeakSet()


def _close_listeners_after_fork() -> None:
    for listener in list(_LISTENERS):
        listener.close_after_fork()


# Platforms without fork have no `register_at_fork`.
getattr(os, "register_at_fork", dict)(after_in_child=_close_listeners_after_fork)
