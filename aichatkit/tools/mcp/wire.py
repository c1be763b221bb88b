"""What carries the messages of one connection to a server; the transports implement it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional

from aichatkit.tools.mcp.messages import Limits

__all__ = ["OnMessage", "Wire", "cancelled"]

#: Gets what the server sends on its own; what it returns is sent back.
OnMessage = Callable[[Mapping[str, Any]], Optional[Mapping[str, Any]]]


class Wire:
    """A connection; requests may be sent from many threads."""

    #: Whether the server speaks a revision without a handshake.
    is_modern = False
    #: Headers that name the negotiated revision, for HTTP.
    version_headers: Mapping[str, str] = {}
    #: The session that the server named, if it did.
    session_id = ""

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, so that nothing can be sent."""
        return False

    @property
    def stderr(self) -> str:
        """The last text that the server printed for people."""
        return ""

    def request(self, message: Mapping[str, Any], limits: Limits, headers: Mapping[str, str]) -> Mapping[str, Any]:
        """Send a request and return the answer to it; raise MCPError without one."""
        raise NotImplementedError

    def notify(self, message: Mapping[str, Any], limits: Limits) -> None:
        """Send a message that has no answer."""
        raise NotImplementedError

    def listen(self, limits: Limits) -> None:
        """Hear what the server asks outside of requests; most transports do anyway."""

    def close(self) -> None:
        """End the connection."""
        raise NotImplementedError


def cancelled(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notification that nobody waits for the answer to a request any more."""
    params = {"requestId": message["id"], "reason": "timeout"}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
