"""Response -> bytes: a response in progress, read in blocks until it ends, breaks off or is cancelled.

It applies the timeouts of the call to the socket, detects truncated bodies, and releases or closes the connection.
"""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Mapping
from typing import Any, Callable

import requests

from aichatkit.errors import ChatError, StreamInterruptedError, TimedOutError
from aichatkit.transport.encodings import read_start
from aichatkit.transport.exceptions import READ_ERRORS, translate_read
from aichatkit.transport.readers import bound_reads, find_socket, pick_reader, shut_down
from aichatkit.transport.timeouts import Deadline

__all__ = ["Response"]

#: How long to wait for the end of the body once the answer is complete, in seconds and in reads.
_GRACE, _GRACE_READS = 0.05, 4
#: The shortest timeout of such a read, in seconds: even on a busy machine it returns data already received.
_MIN_TIMEOUT = 0.001
#: The limits for reading an error body, in bytes and seconds.
_ERROR_BYTES, _ERROR_SECONDS = 65536, 2.0


class Response:
    """A response whose body is read block by block; `cancel` may be called from another thread."""

    def __init__(
        self,
        response: requests.Response,
        *,
        label: str,
        read_timeout: float,
        deadline: Deadline,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url = response.url
        self._label = label
        self.closed = False
        self._response = response
        self._read, self._framing = pick_reader(response)
        self._started = False
        self._socket = find_socket(response.raw)
        self._read_timeout = self._socket_timeout = read_timeout
        self._deadline = deadline
        self._clock = clock
        self._enforces_deadline = deadline.total is not None
        if self._enforces_deadline:
            bound_reads(_file_of(response), deadline)
        self._cancelled = False
        self._error: bytes | None = None

    def read_block(self) -> bytes:
        """Return the next bytes of the body as soon as they arrive, empty bytes at its end."""
        if self.closed:
            return b""
        if self._enforces_deadline:
            self._apply_deadline()
        handled = sys.exc_info()[1]
        try:
            block = self._read() if self._started else self._read_start()
        except (EOFError, AttributeError, ValueError, *READ_ERRORS) as error:
            # Reading a file that another thread has closed raises a variety of errors.
            failure = self._failure(error, handled)
        else:
            if block:
                return block
            if not self._is_truncated():
                self._release()
                return b""
            failure = self._failure(http.client.IncompleteRead(b"", getattr(self._framing, "length", None)), handled)
        self.close()
        raise failure

    def read_body(self, limit: int) -> tuple[bytes, bool]:
        """Return the body up to `limit` bytes, and whether that is all of it."""
        parts: list[bytes] = []
        size = 0
        while size <= limit:
            block = self.read_block()
            if not block:
                return b"".join(parts), True
            parts.append(block)
            size += len(block)
        self.close()
        return b"".join(parts)[:limit], False

    def read_error(self) -> bytes:
        """Return the start of an error body, limited in size and time; errors while reading it are ignored.

        It is read once, and returned again by later calls.
        """
        if self._error is None:
            self._error = self._read_error()
        return self._error

    def _read_error(self) -> bytes:
        end = self._clock() + _ERROR_SECONDS
        self._enforces_deadline = False
        remaining = self._deadline.remaining()
        seconds = _ERROR_SECONDS if remaining is None else min(_ERROR_SECONDS, remaining)
        bound_reads(_file_of(self._response), Deadline(seconds))
        parts: list[bytes] = []
        size = 0
        try:
            while size < _ERROR_BYTES:
                self._set_timeout(min(end - self._clock(), self._deadline.bound(self._read_timeout)))
                block = self.read_block()
                if not block:
                    break
                parts.append(block)
                size += len(block)
        except ChatError:
            # The status already says that the request failed; an error while reading its body adds nothing.
            self.close()
        self.close()
        return b"".join(parts)[:_ERROR_BYTES]

    def finish(self) -> None:
        """Wait briefly for the end of the body, so that the connection can be reused."""
        end = self._clock() + _GRACE
        self._enforces_deadline = False
        try:
            for _ in range(_GRACE_READS):
                if not getattr(self._framing, "end_received", False):
                    self._set_timeout(max(end - self._clock(), _MIN_TIMEOUT))
                if self.closed or not self.read_block():
                    return
        except ChatError:
            return
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection and discard unread data; safe to call more than once."""
        if not self.closed:
            self.closed = True
            self._response.close()

    def cancel(self) -> None:
        """End the response from another thread: a blocked read wakes up and raises."""
        self._cancelled = True
        if self._socket is not None and not self.closed:
            shut_down(self._socket)

    def _read_start(self) -> bytes:
        self._started = True
        return read_start(self._read)

    def _apply_deadline(self) -> None:
        try:
            self._set_timeout(self._deadline.bound(self._read_timeout))
        except ChatError:
            self.close()
            raise

    def _set_timeout(self, seconds: float) -> None:
        if self._socket is None:
            return
        if seconds <= 0:
            raise TimedOutError(f"{self._label}: silent for too long; ask again, or raise timeout read=")
        self._socket_timeout = seconds
        try:
            self._socket.settimeout(seconds)
        except OSError:
            # Closed by another thread; the next read raises the proper error.
            return

    def _failure(self, error: BaseException, handled: BaseException | None) -> ChatError:
        if self._cancelled:
            return StreamInterruptedError(f"{self._label}: the answer was cancelled")
        remaining = self._deadline.remaining()
        failure = translate_read(error, self._label, handled)
        if remaining is not None and remaining <= 0 and isinstance(failure, TimedOutError):
            return self._deadline.error(failure.reason)
        return failure

    def _is_truncated(self) -> bool:
        # http.client silently ends a body shorter than its Content-Length; urllib3 1.26 does not check either.
        if self._cancelled:
            return True
        inner: Any = getattr(self._response.raw, "_fp", None)
        return self._framing is not None and bool(getattr(inner, "length", 0))

    def _release(self) -> None:
        self.closed = True
        raw: Any = self._response.raw
        if self.status < 200 or not getattr(self._framing, "reusable", True):
            # The final response still follows an interim one on the connection.
            self._response.close()
            return
        if self._framing is not None:
            if self._deadline.total is not None or self._socket_timeout != self._read_timeout:
                # A pooled connection must not keep the short timeout of its last read.
                self._set_timeout(self._read_timeout)
            raw._fp.close()
        release = getattr(raw, "release_conn", None)
        if release is not None:
            release()


def _file_of(response: requests.Response) -> Any:
    return getattr(getattr(response.raw, "_fp", None), "fp", None)
