"""Answer -> response without a socket: HTTP read from memory, in a time that passes without being waited for."""

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

__all__ = ["BROKEN", "TIMED_OUT", "Clock", "Steps", "broken", "open_response", "refused"]

#: What `open_response` raises; Python 3.9 has a time-out of its own for sockets.
TIMED_OUT = (TimeoutError, socket.timeout)
BROKEN = (OSError, http.client.HTTPException)

#: Bytes that come, seconds of silence before what follows, or "reset".
Step = Any
Steps = Generator[Step, None, None]


class Clock:
    """The time of `time.monotonic`, which sleeping moves on at once; `slept` lists the waits in seconds."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._ahead = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time."""
        return time.monotonic() + self._ahead

    def skip(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._ahead += seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass, and list it as a wait."""
        self.slept.append(seconds)
        self.skip(seconds)


def open_response(steps: Steps, *, method: str, timeout: float | None, clock: Clock) -> urllib3.HTTPResponse:
    """Return a response whose body is read from the steps as if they came over a socket.

    A silence of `timeout` seconds or more is a time-out, as on a socket; a broken head is the error of `http.client`.
    """
    sock: Any = _Socket(steps, timeout, clock)
    inner = http.client.HTTPResponse(sock, method=method)
    inner.begin()
    # As urllib3 makes it of what `http.client` has read.
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
    """As much of a socket as reading an answer takes."""

    def __init__(self, steps: Steps, timeout: float | None, clock: Clock) -> None:
        self.timeout = timeout
        self.shut = False
        self._source = _Source(steps, self, clock)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._source)

    def settimeout(self, seconds: float | None) -> None:
        self.timeout = seconds

    def shutdown(self, how: int) -> None:
        self.shut = True


class _Source(io.RawIOBase):
    """The steps as a file; `_sock` is looked for by whoever wants to set its time-out."""

    def __init__(self, steps: Steps, sock: _Socket, clock: Clock) -> None:
        self._steps = steps
        self._sock = sock
        self._clock = clock
        self._left = b""
        self._silence = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            self._pass(self._silence)
            step = None if self._sock.shut else next(self._steps, None)
            if step is None:
                return 0
            if isinstance(step, bytes):
                self._left = step
            elif isinstance(step, str):
                raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            else:
                self._silence = step
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count

    def close(self) -> None:
        """Let the steps go as well: they may hold a connection."""
        self._steps.close()
        super().close()

    def _pass(self, seconds: float) -> None:
        limit = self._sock.timeout
        if limit is not None and seconds >= limit:
            self._silence = seconds - limit
            self._clock.skip(limit)
            raise socket.timeout("timed out")
        self._silence = 0.0
        if seconds:
            self._clock.skip(seconds)


def broken(error: Exception) -> urllib3.exceptions.HTTPError:
    """Return what urllib3 makes of an error before the head of the answer is there."""
    return urllib3.exceptions.ProtocolError("Connection aborted.", error)


def refused() -> urllib3.exceptions.HTTPError:
    """Return what urllib3 makes of an address where nothing listens."""
    error = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    nowhere: Any = None
    return urllib3.exceptions.NewConnectionError(nowhere, f"Failed to establish a new connection: {error}")
