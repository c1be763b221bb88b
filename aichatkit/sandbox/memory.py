"""Steps -> urllib3 response without a socket: HTTP read from memory, with a clock that skips waits."""

from __future__ import annotations

import errno
import http.client
import io
import socket
import threading
import time
from collections.abc import Generator
from typing import Any

import urllib3
import urllib3.exceptions

__all__ = [
    "CONNECTION_ERRORS",
    "TIMEOUTS",
    "Clock",
    "Steps",
    "connection_aborted",
    "connection_refused",
    "open_response",
]

#: The errors that `open_response` raises; `socket.timeout` is a separate class in Python 3.9.
TIMEOUTS = (TimeoutError, socket.timeout)
CONNECTION_ERRORS = (OSError, http.client.HTTPException)

#: Bytes to receive, seconds of silence before the next step, or "reset".
Step = Any
Steps = Generator[Step, None, None]


class Clock:
    """A `time.monotonic` that sleeping advances immediately; `slept` lists the waits in seconds."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._offset = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the current time in seconds."""
        return time.monotonic() + self._offset

    def skip(self, seconds: float) -> None:
        """Advance the time."""
        with self._lock:
            self._offset += seconds

    def sleep(self, seconds: float) -> None:
        """Advance the time, and record it as a wait."""
        self.slept.append(seconds)
        self.skip(seconds)


def open_response(steps: Steps, *, method: str, timeout: float | None, clock: Clock) -> urllib3.HTTPResponse:
    """Return a response that reads its body from the steps as from a socket.

    A silence of `timeout` seconds or more is a timeout, as on a socket; a malformed head is an error of `http.client`.
    """
    sock: Any = _Socket(steps, timeout, clock)
    inner = http.client.HTTPResponse(sock, method=method)
    inner.begin()
    # Built as urllib3 does from a response of `http.client`.
    return urllib3.HTTPResponse(
        body=inner,
        headers=inner.msg.items(),  # type: ignore[arg-type]
        status=inner.status,
        version=inner.version,
        reason=inner.reason,
        preload_content=False,
        decode_content=False,
        original_response=inner,
        request_method=method,
    )


class _Socket:
    """The part of the socket interface that reading a response needs."""

    def __init__(self, steps: Steps, timeout: float | None, clock: Clock) -> None:
        self.timeout = timeout
        self.is_shut_down = False
        self._reader = _StepReader(steps, self, clock)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)

    def settimeout(self, seconds: float | None) -> None:
        self.timeout = seconds

    def shutdown(self, how: int) -> None:
        self.is_shut_down = True


class _StepReader(io.RawIOBase):
    """The steps as a raw file; the transport looks up `_sock` to set its timeout."""

    def __init__(self, steps: Steps, sock: _Socket, clock: Clock) -> None:
        self._steps = steps
        self._sock = sock
        self._clock = clock
        self._pending = b""
        self._silence = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._pending:
            self._wait(self._silence)
            step = None if self._sock.is_shut_down else next(self._steps, None)
            if step is None:
                return 0
            if isinstance(step, bytes):
                self._pending = step
            elif isinstance(step, str):
                raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            else:
                self._silence = step
        count = min(len(buffer), len(self._pending))
        buffer[:count], self._pending = self._pending[:count], self._pending[count:]
        return count

    def close(self) -> None:
        """Close the steps as well: they may hold a connection."""
        self._steps.close()
        super().close()

    def _wait(self, seconds: float) -> None:
        limit = self._sock.timeout
        if limit is not None and seconds >= limit:
            self._silence = seconds - limit
            self._clock.skip(limit)
            raise socket.timeout("timed out")
        self._silence = 0.0
        if seconds:
            self._clock.skip(seconds)


def connection_aborted(error: Exception) -> urllib3.exceptions.HTTPError:
    """Return the urllib3 error for a failure before the response head is complete."""
    return urllib3.exceptions.ProtocolError("Connection aborted.", error)


def connection_refused() -> urllib3.exceptions.HTTPError:
    """Return the urllib3 error for an address that nothing listens on."""
    error = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    pool: Any = None
    return urllib3.exceptions.NewConnectionError(pool, f"Failed to establish a new connection: {error}")
