"""MCP over HTTP as in its first revision: a stream that carries all answers, and POSTs to the URL that it names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from aichatkit.errors import ChatError, MCPError
from aichatkit.tools.mcp.events import StreamEvent, iter_events
from aichatkit.tools.mcp.http import Endpoint
from aichatkit.tools.mcp.listener import DAY
from aichatkit.tools.mcp.mailbox import Mailbox
from aichatkit.tools.mcp.messages import Limits, encode, messages_in
from aichatkit.tools.mcp.wire import OnMessage, Wire
from aichatkit.transport.readers import mime_type
from aichatkit.transport.responses import Response

__all__ = ["OldSSEWire"]

logger = logging.getLogger(__name__)


class OldSSEWire(Wire):
    """HTTP+SSE: the stream is opened at once, and a thread reads it; when it ends, all calls in flight are lost."""

    def __init__(self, endpoint: Endpoint, on_message: OnMessage, limits: Limits) -> None:
        self._endpoint = endpoint
        self._on_message = on_message
        self._limits = limits
        self._mailbox = Mailbox(endpoint.server, self._receive)
        stream_limits = Limits(limits.connect, DAY, DAY)
        self._response = endpoint.send("GET", stream_limits, {"Accept": "text/event-stream"})
        if self._response.status != 200 or mime_type(self._response.headers) != "text/event-stream":
            raise endpoint.refusal(self._response)
        self._url = ""
        self._has_url = threading.Event()
        threading.Thread(target=self._read, args=(self._response,), name="aichatkit-mcp", daemon=True).start()
        self._has_url.wait(limits.idle)
        if not self._url:
            self.close()
            raise endpoint.error("closed", "its event stream names no URL of the same origin to send to")

    @property
    def is_closed(self) -> bool:
        return bool(self._mailbox.closed)

    def request(self, message: Mapping[str, Any], limits: Limits, headers: Mapping[str, str]) -> Mapping[str, Any]:
        request_id = message["id"]
        self._mailbox.add(request_id)
        try:
            self.notify(message, limits)
            return self._mailbox.wait(request_id, limits)
        except MCPError as error:
            error.maybe_processed = error.maybe_processed or error.code in ("closed", "timeout")
            raise
        finally:
            self._mailbox.remove(request_id)

    def notify(self, message: Mapping[str, Any], limits: Limits) -> None:
        headers = {"Content-Type": "application/json", **self.version_headers}
        response = self._endpoint.send("POST", limits, headers, encode(message), self._url)
        if not 200 <= response.status < 300:
            raise self._endpoint.refusal(response)
        response.close()

    def close(self) -> None:
        self._mailbox.close("it was closed")
        # Closing it would wait for the thread that reads it.
        self._response.cancel()

    def _read(self, response: Response) -> None:
        try:
            for event in iter_events(iter(response.read_block, b"")):
                if event.type == "endpoint":
                    self._set_url(event)
                    continue
                for message in messages_in(event.data):
                    self._mailbox.deliver(message)
        except ChatError as error:
            self._mailbox.close(f"its event stream broke off ({error.message})")
        response.close()
        self._mailbox.close("its event stream ended")
        self._has_url.set()

    def _set_url(self, event: StreamEvent) -> None:
        url = urljoin(self._endpoint.url, event.data.strip())
        # The headers must not reach another server.
        if urlsplit(url)[:2] == urlsplit(self._endpoint.url)[:2]:
            self._url = url
        self._has_url.set()

    def _receive(self, message: Mapping[str, Any]) -> None:
        if message.get("id") is None:
            self._on_message(message)
        else:
            # Not in this thread, which has the answers to read: a person may be asked.
            threading.Thread(target=self._reply, args=(message,), name="aichatkit-mcp", daemon=True).start()

    def _reply(self, message: Mapping[str, Any]) -> None:
        reply = self._on_message(message)
        try:
            if reply is not None:
                self.notify(reply, self._limits)
        except ChatError as error:
            logger.debug("MCP server %s: %s", self._endpoint.server, error)
