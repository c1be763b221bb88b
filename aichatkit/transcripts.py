"""Messages -> JSON-serializable dicts for files, Markdown for people, and text to search."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from aichatkit import _json
from aichatkit.messages import CitedMessage, Content, File, Message, ToolCallsMessage, ToolResultMessage

__all__ = ["message_to_dict", "messages_to_markdown", "searchable_text"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_HEADINGS = {"user": "User", "assistant": "Assistant", "tool": "Tool", "system": "System", "developer": "System"}


def message_to_dict(message: Message) -> dict[str, Any]:
    """Return a message as a JSON-serializable dict in OpenAI's format."""
    record = {"role": message.role, "content": _build_content(message.content)}
    if isinstance(message, ToolCallsMessage):
        record["tool_calls"] = [
            {
                "id": call.id,
                "function": {"name": call.name, "arguments": _json.dumps(call.arguments)},
                **({"signature": call.signature} if call.signature else {}),
            }
            for call in message.calls
        ]
        # A conversation may be saved and loaded before its tool results are sent; the service then requires these.
        reasoning = {"reasoning": message.reasoning, "thoughts": list(map(list, message.thoughts))}
        record.update({name: value for name, value in reasoning.items() if value})
    if isinstance(message, CitedMessage):
        record["citations"] = [citation._asdict() for citation in message.citations]
    if isinstance(message, ToolResultMessage):
        record["tool_call_id"] = message.call.id
    return record


def messages_to_markdown(messages: Sequence[Message], *, system: str | None = None) -> str:
    r"""Return a conversation as Markdown, each message under a heading with its role.

    >>> messages_to_markdown([Message("user", "Hi"), Message("assistant", "Hello!")])
    '## User\n\nHi\n\n## Assistant\n\nHello!\n'
    """
    shown = [*([Message("system", system)] if system else []), *messages]
    blocks = [f"## {_HEADINGS[message.role]}\n\n{_body(message)}" for message in shown]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def searchable_text(record: Any) -> str:
    """Return the text of a saved message that a search looks through: content, file names and tool calls."""
    if not isinstance(record, dict):
        return ""
    content = record.get("content")
    parts = (
        [content] if isinstance(content, str) else list(map(_part_text, content)) if isinstance(content, list) else []
    )
    calls = record.get("tool_calls")
    if isinstance(calls, list):
        parts += [str(call.get("function", "")) for call in calls if isinstance(call, dict)]
    return "\n".join(filter(None, parts))


def _build_content(content: Content) -> Any:
    """Return a content as JSON-serializable data, with files in OpenAI's format."""
    if isinstance(content, str):
        return content
    return [_build_file(part["file"]) if isinstance(part.get("file"), File) else part for part in content]


def _build_file(file: File) -> dict[str, Any]:
    data = file.url or f"data:{file.media_type};base64,{base64.b64encode(file.data).decode('ascii')}"
    detail = {"detail": file.detail} if file.detail else {}
    return {"type": "file", "file": {"filename": file.name, "file_data": data, **detail}}


def _body(message: Message) -> str:
    return "\n\n".join(_iter_blocks(message))


def _iter_blocks(message: Message) -> Iterator[str]:
    content = message.content
    parts: list[dict[str, Any]] = [{"text": content}] if isinstance(content, str) else content
    show_text = _close_fence
    if isinstance(message, ToolResultMessage):
        yield f"`{message.call.name}` answered:"
        show_text = _fenced
    for part in parts:
        file = part.get("file")
        block = _file_link(file) if isinstance(file, File) else show_text(str(part.get("text", "")))
        if block:
            yield block
    for call in message.calls if isinstance(message, ToolCallsMessage) else ():
        yield f"Calls `{call.name}`:"
        yield _fenced(json.dumps(call.arguments, ensure_ascii=False, indent=2), "json")


def _file_link(file: File) -> str:
    """Return a link to a file with a URL, else a line that describes the file: its bytes would be unreadable."""
    name = re.sub(r"[\[\]\n]", " ", file.name) or f"{file.kind} file"
    if file.url:
        url = re.sub(r"[<>\s]", lambda match: quote(match[0]), file.url)
        return f"{'!' if file.kind == 'image' else ''}[{name}](<{url}>)"
    return f"*Attached: {name} ({file.media_type}, {len(file.data):,} bytes)*"


def _fenced(text: str, language: str = "") -> str:
    """Return text in a code fence that is longer than any fence within."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _close_fence(text: str) -> str:
    """Close a code fence left open, as in a truncated answer: everything after it would render as code."""
    text, fence = text.strip("\n"), ""
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if match is None:
            continue
        marker, rest = match.groups()
        if not fence:
            # Backticks closed on the same line are inline code.
            fence = "" if marker[0] == "`" and "`" in rest else marker
        elif marker.startswith(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text


def _part_text(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    file = part.get("file")
    return str(part.get("text") or (file.get("filename", "") if isinstance(file, dict) else ""))
