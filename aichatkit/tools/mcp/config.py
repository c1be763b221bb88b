"""The file in which other programs keep their MCP servers -> servers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError
from aichatkit.params import parse_path
from aichatkit.tools.mcp.inputs import Elicit
from aichatkit.tools.mcp.server import MCPServer, mcp
from aichatkit.tools.sources import Approve
from aichatkit.transport.timeouts import Timeout

__all__ = ["mcp_config"]

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_FIELDS = frozenset(("args", "command", "cwd", "env", "headers", "optional", "pin", "type", "url"))
#: What those files call the transports.
_TRANSPORTS = {"http": "http", "sse": "sse", "stdio": None, "streamable-http": "http", "streamableHttp": "http"}


def mcp_config(
    path: str | os.PathLike[str],
    *,
    approve: Approve | None = None,
    elicit: Elicit | None = None,
    timeout: float | tuple[float, float] | Timeout | None = None,
    limit: int | None = 100_000,
    optional: bool = False,
) -> list[MCPServer]:
    """Return the MCP servers of a file such as `mcp.json` for `tools=`; nothing is started.

    It is the format of many programs: an object `mcpServers` (or `servers`) with `command`, `args`, `env` and `cwd`, or
    `url` and `headers`, for each name. `${NAME}` is replaced with an environment variable. Servers marked as disabled
    are left out. A server may also have the keys `optional` and `pin`. The options apply to all servers, `optional` to
    those that do not have it as a key; see `mcp`.

    Raises:
        ConfigurationError: the file cannot be read, or names a variable that is not set.
    """
    path = parse_path(path, "mcp_config: must be the path of a file such as 'mcp.json'")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = reason_of(error)
    else:
        servers = content.get("mcpServers", content.get("servers")) if isinstance(content, Mapping) else None
        if not isinstance(servers, Mapping) or not all(isinstance(entry, Mapping) for entry in servers.values()):
            raise ConfigurationError(f'{path}: must be a JSON object with the servers in "mcpServers"')
        options = {"approve": approve, "elicit": elicit, "timeout": timeout, "limit": limit}
        options["optional"] = optional
        return [
            _build(name, entry, options, path) for name, entry in servers.items() if entry.get("disabled") is not True
        ]
    raise ConfigurationError(f"{path}: cannot be read as JSON", reason=reason)


def _build(name: str, entry: Mapping[str, Any], options: Mapping[str, Any], path: Any) -> MCPServer:
    fields = {key: _expand(entry[key], f"{path}: {name}") for key in _FIELDS if entry.get(key) is not None}
    transport, args = fields.pop("type", "stdio" if "command" in fields else "http"), fields.pop("args", [])
    if transport not in _TRANSPORTS or not isinstance(args, list):
        raise ConfigurationError(f"{path}: {name} has an unknown type {transport!r}, or its args are not a list")
    if ("command" in fields) == ("url" in fields):
        raise ConfigurationError(f'{path}: {name} must have either a "command" or a "url"')
    if "command" in fields:
        fields["command"] = [fields["command"], *args]
    elif _TRANSPORTS[transport] == "sse":
        fields["transport"] = "sse"
    try:
        return mcp(name=name, **{**options, **fields})
    except ConfigurationError as error:
        problem = error.message
    raise ConfigurationError(f"{path}: {name}: {problem}")


def _expand(value: Any, place: str) -> Any:
    """Return a value with environment variables in its texts replaced."""
    if isinstance(value, Mapping):
        return {name: _expand(inner, place) for name, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, place) for inner in value]
    if not isinstance(value, str):
        return value

    def look_up(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name, default)
        if found is None:
            raise ConfigurationError(f"{place}: the environment variable {name} is not set")
        return found

    return _VARIABLE.sub(look_up, value)
