"""Tools of a server -> fingerprints, and how the tools of today differ from those that were pinned."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from aichatkit.errors import ConfigurationError, MCPError
from aichatkit.tools.mcp.definitions import ServerTool

__all__ = ["check_pin", "fingerprint", "parse_pin"]

_HASH = re.compile(r"[0-9a-f]{64}")
#: How many tools an error names.
_SHOWN = 10


def fingerprint(tool: ServerTool) -> str:
    """Return a hash of what the model and `approve` get to know about a tool; the order of keys does not matter."""
    # Hints too: a function for `approve` may rely on them.
    fields = [tool.name, tool.description, tool.schema, tool.hints]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def parse_pin(pin: Any) -> Mapping[str, str] | None:
    """Return the hashes of tools by their names, None without a pin."""
    if pin is None:
        return None
    pairs = pin.items() if isinstance(pin, Mapping) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(text, str) and _HASH.fullmatch(text) for name, text in pairs):
        raise ConfigurationError(
            "mcp: pin must be a dict of tool names and hashes, as server.fingerprints() and 'aichatkit mcp --pin' give"
        )
    return dict(pin)


def check_pin(server: str, tools: Mapping[str, ServerTool], pin: Mapping[str, str]) -> None:
    """Raise MCPError if the tools are not exactly the pinned ones."""
    hashes = {name: fingerprint(tool) for name, tool in tools.items()}
    changes = [f"{name!r:.100} has changed" for name, text in hashes.items() if pin.get(name, text) != text]
    changes += [f"{name!r:.100} is new" for name in hashes if name not in pin]
    changes += [f"{name!r:.100} is missing" for name in pin if name not in hashes]
    if not changes:
        return
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    raise MCPError(
        f"MCP server {server!r}: its tools are not the pinned ones: {', '.join(changes[:_SHOWN])}{more}; review them "
        "without pin=, and if you trust them, pass what fingerprints() or 'aichatkit mcp --pin' returns now",
        server=server,
        code="changed",
    )
