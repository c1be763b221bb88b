"""JSON-RPC messages of the Model Context Protocol: its revisions, requests and answers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from aichatkit import _json
from aichatkit._dataclasses import NamedTuple
from aichatkit._reasons import reason_of
from aichatkit._version import __version__
from aichatkit.errors import ConfigurationError, MCPError

__all__ = [
    "CLIENT",
    "HANDSHAKE",
    "MAX_MESSAGE",
    "MODERN",
    "Limits",
    "encode",
    "encode_header",
    "is_answer",
    "messages_in",
    "modern_meta",
    "request_headers",
    "result_of",
    "rpc_error",
]

#: Revisions without and with a handshake, the newest first.
MODERN = ("2026-07-28",)
HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
CLIENT = {"name": "aichatkit", "version": __version__}
#: The longest message that is read, in bytes.
MAX_MESSAGE = 16 << 20

_META = "io.modelcontextprotocol/"
_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_MARKER = re.compile(r"=\?base64\?.*\?=", re.IGNORECASE)
#: Methods whose target is repeated in a header, and the parameter that names it.
_TARGETS = {"prompts/get": "name", "resources/read": "uri", "tools/call": "name"}


class Limits(NamedTuple):
    """Time limits of one request in seconds: for connecting, without a sign of life, and in total."""

    connect: float
    idle: float
    total: float


def modern_meta(version: str, capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that every request has in revisions without a handshake."""
    declared = {f"{_META}clientCapabilities": capabilities, f"{_META}clientInfo": CLIENT}
    return {f"{_META}protocolVersion": version, **declared}


def request_headers(method: str, params: Mapping[str, Any], version: str) -> dict[str, str]:
    """Return the HTTP headers of a request in revisions without a handshake."""
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": method}
    if method in _TARGETS:
        headers["Mcp-Name"] = encode_header(str(params[_TARGETS[method]]))
    return headers


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as JSON on one line; numbers keep their digits."""
    try:
        return _json.dumps(message).encode()
    except (TypeError, ValueError, RecursionError) as error:
        reason = reason_of(error)
    raise ConfigurationError(f"the arguments of a tool are not JSON serializable ({reason})", reason=reason)


def encode_header(value: str) -> str:
    """Return a value as an HTTP header: plain ASCII as it is, anything else encoded and marked.

    >>> encode_header("Berlin"), encode_header("Zürich")
    ('Berlin', '=?base64?WsO8cmljaA==?=')
    """
    if _PLAIN.fullmatch(value) and not _MARKER.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'surrogatepass')).decode()}?="


def messages_in(text: str | bytes) -> list[dict[str, Any]]:
    """Return the messages in a text: one JSON object, several in a list, or none.

    >>> messages_in('{"id": 1}'), messages_in('[{"id": 1}, 2]'), messages_in("Listening on port 80")
    ([{'id': 1}], [{'id': 1}], [])
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def is_answer(message: Mapping[str, Any], request_id: int) -> bool:
    """Return whether a message answers a request; some servers turn numbers into text."""
    return "method" not in message and message.get("id") in (request_id, str(request_id))


def result_of(message: Mapping[str, Any], server: str) -> dict[str, Any]:
    """Return the result in an answer; raise MCPError for an error, or for neither."""
    if "error" in message:
        raise rpc_error(message["error"], server)
    result = message.get("result")
    if not isinstance(result, dict):
        raise MCPError(f"MCP server {server!r}: an answer has no result", server=server, code="unreadable")
    return result


def rpc_error(error: Any, server: str, *, status: int | None = None) -> MCPError:
    """Return the MCPError for the error object of an answer."""
    fields = error if isinstance(error, Mapping) else {"message": error}
    code, text = fields.get("code", ""), str(fields.get("message") or "no message")
    return MCPError(
        f"MCP server {server!r} refused the request: {text[:1000]}{'' if code == '' else f' ({code})'}",
        server=server,
        code=str(code),
        data=fields.get("data"),
        status=status,
    )
