"""The stream on which a server with handshake sends what belongs to no request: a thread that reads it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Callable

from aichatkit.errors import ChatError
from aichatkit.tools.mcp.events import iter_events
from aichatkit.tools.mcp.messages import Limits, messages_in
from aichatkit.transport.readers import mime_type
from aichatkit.transport.responses import Response

__all__ = ["DAY", "Listener"]

logger = logging.getLogger(__name__)

#: A stream may be silent as long as nobody waits for it, in seconds.
DAY = 86400.0
#: How often a stream that ended without a message is opened again, and the wait before that, in seconds.
_REOPENS, _RETRY_SECONDS, _MAX_RETRY_SECONDS = 3, 1.0, 60.0
#: How long the start waits for the stream, in seconds.
_OPEN_SECONDS = 5.0


class Listener:
    """Reads the stream until it is closed; `send` opens it, with the ID of the last event."""

    def __init__(
        self,
        server: str,
        send: Callable[[Limits, str], Response],
        on_message: Callable[[Mapping[str, Any]], None],
        limits: Limits,
    ) -> None:
        self._server = server
        self._send = send
        self._on_message = on_message
        self._limits = limits._replace(idle=DAY, total=DAY)
        self._closed, self._tried = threading.Event(), threading.Event()
        self._response: Response | None = None
        self._last_id, self._wait = "", _RETRY_SECONDS
        threading.Thread(target=self._run, name="aichatkit-mcp", daemon=True).start()
        # A server may ask at once, and forgets what it cannot send.
        self._tried.wait(_OPEN_SECONDS)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._response is not None:
            # Closing it would wait for the thread that reads it.
            self._response.cancel()

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set() and failures <= _REOPENS and self._open():
            failures = 0 if self._read() else failures + 1
            self._closed.wait(self._wait)

    def _open(self) -> bool:
        """Open the stream; return whether the server offers one and it is still wanted."""
        try:
            response = self._send(self._limits, self._last_id)
            is_stream = response.status == 200 and mime_type(response.headers) == "text/event-stream"
            self._response = response
            if is_stream and not self._closed.is_set():
                return True
            response.close()
        except ChatError as error:
            logger.debug("MCP server %s: its stream cannot be opened (%s)", self._server, error)
        finally:
            self._tried.set()
        return False

    def _read(self) -> bool:
        """Read the stream to its end; return whether there was an event on it."""
        response, found = self._response, False
        assert response is not None
        try:
            for event in iter_events(iter(response.read_block, b"")):
                found = True
                self._last_id = event.id or self._last_id
                self._wait = self._wait if event.retry is None else min(event.retry / 1000, _MAX_RETRY_SECONDS)
                for message in messages_in(event.data):
                    self._on_message(message)
        except ChatError as error:
            logger.debug("MCP server %s: its stream broke off (%s)", self._server, error)
        response.close()
        return found
