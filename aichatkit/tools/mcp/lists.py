"""The list of tools of a server, read page by page to its end."""

from __future__ import annotations

from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.tools.mcp.messages import Limits
from aichatkit.tools.mcp.peer import Peer

__all__ = ["ToolList", "read_list"]

_MAX_PAGES, _MAX_TOOLS = 100, 2000


class ToolList(NamedTuple):
    """The definitions of all tools of a server, in its order, and for how many seconds they hold, if it says so."""

    records: list[Any]
    ttl: float | None


def read_list(peer: Peer, limits: Limits) -> ToolList:
    """Return the list; a server whose pages have no end is read up to a limit."""
    records: list[Any] = []
    cursors: list[Any] = []
    params: dict[str, Any] = {}
    ttl = None
    while len(cursors) < _MAX_PAGES and len(records) < _MAX_TOOLS:
        result = peer.request("tools/list", params, limits)
        found = result.get("tools")
        records += found if isinstance(found, list) else ()
        cursor, ttl = result.get("nextCursor"), result.get("ttlMs")
        if cursor is None or cursor in cursors:
            break
        cursors.append(cursor)
        params = {"cursor": cursor}
    return ToolList(records, ttl / 1000 if isinstance(ttl, (int, float)) else None)
