"""History -> text for people and files: one turn as JSON can hold it, and a conversation as Markdown."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from aichatkit.messages import Content, File, Message, ToolCallsMessage, ToolResultMessage

__all__ = ["markdown_of", "plain_turn", "words_of"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_HEADINGS = {"user": "User", "assistant": "Assistant", "tool": "Tool", "system": "System", "developer": "System"}


def plain_turn(message: Message) -> dict[str, Any]:
    """Return a turn as JSON can hold it, in OpenAI's form."""
    turn = {"role": message.role, "content": _plain(message.content)}
    if isinstance(message, ToolCallsMessage):
        turn["tool_calls"] = [
            {
                "id": call.id,
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                **({"signature": call.signature} if call.signature else {}),
            }
            for call in message.calls
        ]
        # Without these their service would not take the results, should it be loaded before they are there.
        own = {"reasoning": message.reasoning, "thoughts": list(map(list, message.thoughts))}
        turn.update({name: value for name, value in own.items() if value})
    if isinstance(message, ToolResultMessage):
        turn["tool_call_id"] = message.call.id
    return turn


def markdown_of(messages: Sequence[Message], *, system: str | None = None) -> str:
    r"""Return a conversation as Markdown, each message under the name of its role.

    >>> markdown_of([Message("user", "Hi"), Message("assistant", "Hello!")])
    '## User\n\nHi\n\n## Assistant\n\nHello!\n'
    """
    turns = [*([Message("system", system)] if system else []), *messages]
    blocks = [f"## {_HEADINGS[message.role]}\n\n{_body(message)}" for message in turns]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def words_of(turn: Any) -> str:
    """Return what a saved turn says, with the names of its files and tools."""
    if not isinstance(turn, dict):
        return ""
    content = turn.get("content")
    parts = [content] if isinstance(content, str) else list(map(_words, content)) if isinstance(content, list) else []
    calls = turn.get("tool_calls")
    if isinstance(calls, list):
        parts += [str(call.get("function", "")) for call in calls if isinstance(call, dict)]
    return "\n".join(filter(None, parts))


def _plain(content: Content) -> Any:
    """Return a content as JSON can hold it, its files in OpenAI's form."""
    if isinstance(content, str):
        return content
    return [_plain_file(part["file"]) if isinstance(part.get("file"), File) else part for part in content]


def _plain_file(file: File) -> dict[str, Any]:
    data = file.url or f"data:{file.media_type};base64,{base64.b64encode(file.data).decode('ascii')}"
    detail = {"detail": file.detail} if file.detail else {}
    return {"type": "file", "file": {"filename": file.name, "file_data": data, **detail}}


def _body(message: Message) -> str:
    return "\n\n".join(_blocks(message))


def _blocks(message: Message) -> Iterator[str]:
    if isinstance(message, ToolResultMessage):
        yield f"`{message.call.name}` answered:"
        yield _fenced(str(message.content))
        return
    content = message.content
    parts: list[dict[str, Any]] = [{"text": content}] if isinstance(content, str) else content
    for part in parts:
        file = part.get("file")
        block = _shown(file) if isinstance(file, File) else _closed(str(part.get("text", "")))
        if block:
            yield block
    for call in message.calls if isinstance(message, ToolCallsMessage) else ():
        yield f"Calls `{call.name}`:"
        yield _fenced(json.dumps(call.arguments, ensure_ascii=False, indent=2), "json")


def _shown(file: File) -> str:
    """Show a file by its address, else tell what it was; its bytes would be unreadable here."""
    name = re.sub(r"[\[\]\n]", " ", file.name) or f"{file.kind} file"
    if file.url:
        address = re.sub(r"[<>\s]", lambda found: quote(found[0]), file.url)
        return f"{'!' if file.kind == 'image' else ''}[{name}](<{address}>)"
    return f"*Attached: {name} ({file.media_type}, {len(file.data):,} bytes)*"


def _fenced(text: str, kind: str = "") -> str:
    """Put text into a fence that is longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{fence}{kind}\n{text}\n{fence}"


def _closed(text: str) -> str:
    """Close a fence that the text leaves open, as one that was cut does: the rest would be taken for code."""
    text, fence = text.strip("\n"), ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if found is None:
            continue
        mark, rest = found.groups()
        if not fence:
            # What is closed on the same line is code between words.
            fence = "" if mark[0] == "`" and "`" in rest else mark
        elif mark.startswith(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text


def _words(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    file = part.get("file")
    return str(part.get("text") or (file.get("filename", "") if isinstance(file, dict) else ""))
