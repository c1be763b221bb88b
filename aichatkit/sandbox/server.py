"""Socket -> connection: listen on loopback, one thread for each connection, and a clean stop."""

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
from collections.abc import Callable

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HANDSHAKE_SECONDS = 5.0


class Gone(Exception):
    """The other side closed the connection."""


class Connection:
    """One accepted connection, read through a buffer of its own; `number` counts from 1."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.sock = sock
        self.sent = 0
        self.ended = False
        self._buffer = bytearray()

    def read_line(self, limit: int = 65536) -> bytes:
        """Read to the next line feed and return the line without its end."""
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
        """Send all of `data` now."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone from error
        self.sent += len(data)

    def wait(self, seconds: float) -> None:
        """Wait, unless the client closes first, which raises `Gone`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            with contextlib.suppress(socket.timeout):
                self._fill()
        self.sock.settimeout(None)

    def shut(self) -> None:
        """End both directions, which wakes the thread that reads or writes here."""
        self.ended = True
        # The method of the plain socket: the one of a TLS socket takes the encryption away under the other thread.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close in good order."""
        self.shut()
        self.sock.close()

    def reset(self) -> None:
        """Close so that the client sees a reset connection."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.sock.close()

    def _fill(self) -> None:
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            raise
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self._buffer += data


class Listener:
    """Accept connections and run `serve` on each in a thread of its own, until closed."""

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
        self._listening = socket.create_server((host, port), family=family, backlog=256)
        self._waker, self._wakes = socket.socketpair()
        self.port: int = self._listening.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{self.port}"
        self._thread = threading.Thread(target=self._accept_all, name=f"sandbox-{self.port}", daemon=True)
        self._thread.start()
        _LISTENERS.add(self)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def wait_closed(self, timeout: float = 5.0) -> bool:
        """Wait until no connection is open; False when `timeout` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout)

    def close(self) -> None:
        """Stop accepting, end every connection and wait for the threads."""
        if self._closing:
            return
        self._closing = True
        self._waker.send(b"x")
        self._thread.join(1.0)
        with self._changed:
            open_now = dict(self._open)
        for connection in open_now:
            connection.shut()
        for thread in open_now.values():
            thread.join(1.0)
        for sock in (self._listening, self._waker, self._wakes):
            sock.close()

    def let_go(self) -> None:
        """Drop what a fork copied, without a word to the clients: they are still the parent's."""
        self._closing = True
        for sock in (self._listening, self._waker, self._wakes, *(connection.sock for connection in self._open)):
            sock.close()
        self._open.clear()

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._wakes, selectors.EVENT_READ)
            while True:
                selector.select()
                if self._closing:
                    return
                # The client may have gone again between the select and the accept.
                with contextlib.suppress(OSError):
                    self._accept(self._listening.accept()[0])

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
                _encrypt(connection, self._tls)
            self._serve(connection)
        except (Gone, OSError):
            # Clients may leave at any moment, in the middle of a TLS handshake too.
            connection.shut()
        finally:
            connection.close()
            with self._changed:
                self._open.pop(connection, None)
                self._changed.notify_all()


def _encrypt(connection: Connection, tls: ssl.SSLContext) -> None:
    connection.sock.settimeout(_HANDSHAKE_SECONDS)
    # Wrapped first and shaken after, so that a stop reaches the socket while a silent client holds up the handshake.
    encrypted = tls.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
    connection.sock = encrypted
    if connection.ended:
        # The stop met the plain socket just when it no longer held the connection.
        raise Gone
    encrypted.do_handshake()
    encrypted.settimeout(None)


_LISTENERS: weakref.WeakSet[Listener] = weakref.WeakSet()


def _let_go_after_fork() -> None:
    for listener in list(_LISTENERS):
        listener.let_go()


# Where there is no fork there is nothing to register.
getattr(os, "register_at_fork", dict)(after_in_child=_let_go_after_fork)
