"""Answers that arrive in another thread -> the callers that wait for them."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from typing import Any, Callable

from aichatkit._locks import Lock
from aichatkit.errors import MCPError
from aichatkit.tools.mcp.messages import Limits

__all__ = ["Mailbox"]

_PROGRESS: Any = object()


class Mailbox:
    """The requests in flight on one connection; `on_message` gets what is not an answer to one of them."""

    def __init__(
        self, server: str, on_message: Callable[[Any], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.closed = ""
        self._server = server
        self._on_message = on_message
        self._clock = clock
        self._waiting: dict[int, queue.Queue[Any]] = {}
        self._lock = Lock()

    def add(self, request_id: int) -> None:
        """Expect the answer to a request; raise MCPError if the connection is closed."""
        with self._lock:
            if self.closed:
                raise self._error("closed", self.closed)
            self._waiting[request_id] = queue.Queue()

    def remove(self, request_id: int) -> None:
        """Expect the answer no more."""
        self._waiting.pop(request_id, None)

    def deliver(self, message: Mapping[str, Any]) -> None:
        """Pass a message on: an answer to its caller, a sign of progress too, anything else to `on_message`."""
        if "method" not in message:
            waiting = self._find(message.get("id"))
            if waiting is not None:
                waiting.put(message)
            return
        if message["method"] == "notifications/progress":
            params = message.get("params")
            waiting = self._find(params.get("progressToken") if isinstance(params, Mapping) else None)
            if waiting is not None:
                waiting.put(_PROGRESS)
            return
        self._on_message(message)

    def close(self, reason: str) -> None:
        """Fail every request in flight."""
        with self._lock:
            self.closed = self.closed or reason
            waiting = list(self._waiting.values())
        for one in waiting:
            one.put(None)

    def wait(self, request_id: int, limits: Limits) -> Mapping[str, Any]:
        """Return the answer to a request; raise MCPError if it does not arrive in time or the connection ends."""
        waiting = self._waiting[request_id]
        end = self._clock() + limits.total
        seconds = shown = min(limits.idle, limits.total)
        while True:
            try:
                message = waiting.get(timeout=seconds)
            except queue.Empty:
                break
            if message is None:
                raise self._error("closed", self.closed)
            if message is not _PROGRESS:
                return message  # type: ignore[no-any-return]
            left = end - self._clock()
            seconds, shown = (limits.idle, limits.idle) if left > limits.idle else (max(0.0, left), limits.total)
        raise self._error("timeout", f"no answer within {shown:g} s; raise timeout=")

    def _find(self, request_id: Any) -> queue.Queue[Any] | None:
        # Some servers turn numbers into text.
        is_text = isinstance(request_id, str) and request_id.isascii() and request_id.isdigit()
        number = int(request_id[:20]) if is_text else request_id
        return self._waiting.get(number) if isinstance(number, int) else None

    def _error(self, code: str, text: str) -> MCPError:
        return MCPError(f"MCP server {self._server!r}: {text}", server=self._server, code=code)
