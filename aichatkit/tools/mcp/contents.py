"""The result of a call -> text for the model, and its data and files for the program."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import NamedTuple, dataclass, field
from aichatkit._lazy import lazy_module
from aichatkit._surrogates import repair
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Content, File

if TYPE_CHECKING:
    from aichatkit import attachments
else:
    # Most results are text.
    attachments = lazy_module("aichatkit.attachments")

__all__ = ["Blob", "ToolResult", "parse_result"]

_FOR_USER = "[left out, as it is for the user only]"


class Blob(NamedTuple):
    """An image, a sound or a file in a result."""

    mime_type: str
    data: bytes

    def __repr__(self) -> str:
        return f"Blob({self.mime_type!r}, {len(self.data)} bytes)"


@dataclass(frozen=True)
class ToolResult:
    """What a tool of an MCP server returned.

    `text` names images, sounds and files where they were; `parts` are they, each with `mime_type` and `data`.
    `data` is the structured content if there is any. `is_error` is True if the tool failed; `text` says why.
    """

    text: str
    data: Any = None
    parts: list[Blob] = field(default_factory=list)
    is_error: bool = False
    #: What a model gets: text, or parts if there are files, without what is for the user only.
    content: Content = field(default="", repr=False)

    def __str__(self) -> str:
        return self.text


def parse_result(result: Mapping[str, Any], limit: int | None) -> ToolResult:
    """Return the result of a call, its text cut to `limit` characters.

    >>> parse_result({"content": [{"type": "text", "text": "12 degrees"}]}, None).text
    '12 degrees'
    """
    content = result.get("content")
    items = [item for item in content if isinstance(item, Mapping)] if isinstance(content, list) else []
    pieces = [(_piece(item), _is_for_user(item)) for item in items]
    data = result.get("structuredContent")
    if data is not None and not any(item.get("type") == "text" for item in items):
        pieces.append((json.dumps(data, ensure_ascii=False), False))
    is_error = bool(result.get("isError"))
    text = _text([piece for piece, _ in pieces], limit)
    blobs = [piece for piece, _ in pieces if isinstance(piece, Blob)]
    shown = [_FOR_USER if is_for_user else piece for piece, is_for_user in pieces]
    has_files = any(isinstance(piece, Blob) for piece in shown) and not is_error
    return ToolResult(text, data, blobs, is_error, _content(shown, limit) if has_files else _text(shown, limit))


def _text(pieces: Sequence[str | Blob], limit: int | None) -> str:
    return _cut([_describe(piece) if isinstance(piece, Blob) else piece for piece in pieces], limit)


def _content(pieces: Sequence[str | Blob], limit: int | None) -> Content:
    """Return the pieces as parts of a message: texts next to each other as one, and the files that models take."""
    parts: list[dict[str, Any]] = []
    texts: list[str] = []
    left = limit
    for piece in [*pieces, None]:
        file = _file_of(piece) if isinstance(piece, Blob) else None
        if piece is not None and file is None:
            texts.append(_describe(piece) if isinstance(piece, Blob) else piece)
            continue
        text = _cut(texts, left)
        if text:
            parts.append({"type": "text", "text": text})
        left = None if left is None else max(0, left - len(text))
        texts = []
        if file is not None:
            parts.append({"type": "file", "file": file})
    return parts


def _cut(texts: Sequence[str], limit: int | None) -> str:
    text = repair("\n".join(texts))
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: the result has {len(text):,} characters]"


def _file_of(blob: Blob) -> File | None:
    """Return a file as models take them, None if it is of another type: its bytes count, not what the server says."""
    try:
        return attachments.load_file(blob.data)
    except ConfigurationError:
        return None


def _is_for_user(item: Mapping[str, Any]) -> bool:
    annotations = item.get("annotations")
    return isinstance(annotations, Mapping) and annotations.get("audience") == ["user"]


def _piece(item: Mapping[str, Any]) -> str | Blob:
    """Return the text of one item of a result, or its bytes, which never become text in base64."""
    item_type = item.get("type")
    if item_type == "text":
        return str(item.get("text") or "")
    if item_type in ("image", "audio"):
        return _blob(item, "data")
    if item_type == "resource_link":
        named = (f"{name}: {item[name]}" for name in ("uri", "name", "mimeType", "size") if item.get(name))
        return f"[link: {', '.join(named)}]"
    resource = item.get("resource")
    if item_type == "resource" and isinstance(resource, Mapping):
        if isinstance(resource.get("text"), str):
            return str(resource["text"])
        return _blob(resource, "blob")
    return f"[content of type {item_type} left out]"


def _blob(item: Mapping[str, Any], name: str) -> str | Blob:
    mime_type = str(item.get("mimeType") or "application/octet-stream")
    try:
        return Blob(mime_type, base64.b64decode(str(item.get(name, "")), validate=True))
    except (binascii.Error, ValueError):
        return f"[{mime_type}, not readable]"


def _describe(blob: Blob) -> str:
    return f"[{blob.mime_type}, {max(1, len(blob.data) // 1000)} kB, not shown]"
