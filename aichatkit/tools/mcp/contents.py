"""The result of a call -> text for the model, and its data and files for the program."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from aichatkit._dataclasses import dataclass, field
from aichatkit._surrogates import repair

__all__ = ["Blob", "ToolResult", "parse_result"]


class Blob(NamedTuple):
    """An image, a sound or a file in a result."""

    mime_type: str
    data: bytes

    def __repr__(self) -> str:
        return f"Blob({self.mime_type!r}, {len(self.data)} bytes)"


@dataclass(frozen=True)
class ToolResult:
    """What a tool of an MCP server returned.

    `text` is what a model gets, `data` the structured content if there is any, `parts` the images, sounds and files,
    each with `mime_type` and `data`. `is_error` is True if the tool failed; `text` says why.
    """

    text: str
    data: Any = None
    parts: list[Blob] = field(default_factory=list)
    is_error: bool = False

    def __str__(self) -> str:
        return self.text


def parse_result(result: Mapping[str, Any], limit: int | None) -> ToolResult:
    """Return the result of a call, its text cut to `limit` characters.

    >>> parse_result({"content": [{"type": "text", "text": "12 degrees"}]}, None).text
    '12 degrees'
    """
    content = result.get("content")
    lines: list[str] = []
    parts: list[Blob] = []
    for item in content if isinstance(content, list) else ():
        if isinstance(item, Mapping) and not _is_for_user(item):
            lines.append(_line(item, parts))
    data = result.get("structuredContent")
    has_text = any(isinstance(item, Mapping) and item.get("type") == "text" for item in content or ())
    if data is not None and not has_text:
        lines.append(json.dumps(data, ensure_ascii=False))
    text = repair("\n".join(lines))
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]}\n[cut: the result has {len(text):,} characters]"
    return ToolResult(text, data, parts, bool(result.get("isError")))


def _is_for_user(item: Mapping[str, Any]) -> bool:
    annotations = item.get("annotations")
    return isinstance(annotations, Mapping) and annotations.get("audience") == ["user"]


def _line(item: Mapping[str, Any], parts: list[Blob]) -> str:
    """Return the text for one item of a result; bytes go to `parts` and never into the text."""
    item_type = item.get("type")
    if item_type == "text":
        return str(item.get("text", ""))
    if item_type in ("image", "audio"):
        return _blob_line(item, "data", parts)
    if item_type == "resource_link":
        named = (f"{name}: {item[name]}" for name in ("uri", "name", "mimeType", "size") if item.get(name))
        return f"[link: {', '.join(named)}]"
    resource = item.get("resource")
    if item_type == "resource" and isinstance(resource, Mapping):
        if isinstance(resource.get("text"), str):
            return str(resource["text"])
        return _blob_line(resource, "blob", parts)
    return f"[content of type {item_type} left out]"


def _blob_line(item: Mapping[str, Any], name: str, parts: list[Blob]) -> str:
    mime_type = str(item.get("mimeType") or "application/octet-stream")
    try:
        data = base64.b64decode(str(item.get(name, "")), validate=True)
    except (binascii.Error, ValueError):
        return f"[{mime_type}, not readable]"
    parts.append(Blob(mime_type, data))
    return f"[{mime_type}, {max(1, len(data) // 1000)} kB, not shown]"
