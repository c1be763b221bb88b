"""A response under way: its head, its blocks, its end.

It keeps the limits of the call on the socket, tells a cut from an end, and gives the connection back or closes it.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from typing import Any, Callable

import requests

from aichatkit.errors import ChatError, StreamInterruptedError, TimedOutError
from aichatkit.transport.exceptions import READ_ERRORS, translate_read
from aichatkit.transport.readers import find_socket, pick_reader, shut_down
from aichatkit.transport.timeouts import Deadline

__all__ = ["Response"]

#: How long to look for the end of the body once the answer has ended, in seconds, and in how many reads.
_GRACE, _GRACE_READS = 0.05, 4
#: The least time of one such read, in seconds: what has arrived is seen even where a busy machine used up the rest.
_GLANCE = 0.001
#: How much of an error body is read, in bytes and seconds.
_ERROR_BYTES, _ERROR_SECONDS = 65536, 2.0


class Response:
    """What a service answered; `read_block` gives the body piece by piece."""

    def __init__(
        self,
        response: requests.Response,
        *,
        who: str,
        read_timeout: float,
        deadline: Deadline,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url = response.url
        self._who = who
        self.closed = False
        self._response = response
        self._read, self._framing = pick_reader(response)
        self._socket = find_socket(response.raw)
        self._read_timeout = self._silence = read_timeout
        self._deadline = deadline
        self._clock = clock
        self._limited = deadline.total is not None
        self._cancelled = False

    def read_block(self) -> bytes:
        """Return the next bytes of the body as soon as there are any, empty bytes at its end."""
        if self.closed:
            return b""
        if self._limited:
            self._limit_silence()
        try:
            block = self._read()
        except (EOFError, AttributeError, ValueError, *READ_ERRORS) as error:
            # A file that another thread closed raises errors of many kinds.
            failure = self._failure(error)
        else:
            if block:
                return block
            if not self._cut_short():
                self._release()
                return b""
            failure = self._failure(http.client.IncompleteRead(b""))
        self.close()
        raise failure

    def read_body(self, limit: int) -> tuple[bytes, bool]:
        """Return the body up to `limit` bytes, and whether that was all of it."""
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
        """Return the start of an error body, within bounds of size and time, whatever happens on the way."""
        end = self._clock() + _ERROR_SECONDS
        self._limited = False
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
            # The status has already told that it failed; a body that fails as well adds nothing.
            self.close()
        self.close()
        return b"".join(parts)[:_ERROR_BYTES]

    def finish(self) -> None:
        """Look for the end of the body for a moment, so that the connection can be used again."""
        end = self._clock() + _GRACE
        self._limited = False
        try:
            for _ in range(_GRACE_READS):
                if not getattr(self._framing, "in_hand", False):
                    self._set_timeout(max(end - self._clock(), _GLANCE))
                if self.closed or not self.read_block():
                    return
        except ChatError:
            return
        finally:
            self.close()

    def close(self) -> None:
        """Give up the connection; what was not read is lost. Closing twice is fine."""
        if not self.closed:
            self.closed = True
            self._response.close()

    def cancel(self) -> None:
        """End the answer from another thread: a blocked read wakes up and raises."""
        self._cancelled = True
        if self._socket is not None and not self.closed:
            shut_down(self._socket)

    def _limit_silence(self) -> None:
        try:
            self._set_timeout(self._deadline.bound(self._read_timeout))
        except ChatError:
            self.close()
            raise

    def _set_timeout(self, seconds: float) -> None:
        if self._socket is None:
            return
        if seconds <= 0:
            raise TimedOutError(f"{self._who}: silent for too long; ask again, or raise timeout read=")
        self._silence = seconds
        try:
            self._socket.settimeout(seconds)
        except OSError:
            # Closed under our hands; the read that follows tells it properly.
            return

    def _failure(self, error: BaseException) -> ChatError:
        if self._cancelled:
            return StreamInterruptedError(f"{self._who}: the answer was cancelled")
        left = self._deadline.left()
        failure = translate_read(error, self._who)
        if left is not None and left <= 0 and isinstance(failure, TimedOutError):
            return self._deadline.error()
        return failure

    def _cut_short(self) -> bool:
        # http.client ends a short Content-Length body without a word; urllib3 1.26 does not look either.
        if self._cancelled:
            return True
        inner: Any = getattr(self._response.raw, "_fp", None)
        return self._framing is not None and bool(getattr(inner, "length", 0))

    def _release(self) -> None:
        self.closed = True
        raw: Any = self._response.raw
        if not getattr(self._framing, "reusable", True):
            self._response.close()
            return
        if self._framing is not None:
            if self._silence != self._read_timeout:
                # A kept connection must not carry the short limit of its last read.
                self._set_timeout(self._read_timeout)
            raw._fp.close()
        release = getattr(raw, "release_conn", None)
        if release is not None:
            release()
