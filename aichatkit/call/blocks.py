"""Blocks of an answer -> the same blocks to send back, if the service ran tools of its own between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aichatkit import chunks
from aichatkit._dataclasses import NamedTuple

__all__ = ["Blocks"]


class _Entry(NamedTuple):
    """A block, and how much text, how many thoughts and how many calls came before it."""

    content: Mapping[str, Any]
    text: int
    thoughts: int
    calls: int
    citations: list[Mapping[str, Any]]
    pieces: list[str]


class Blocks:
    """The blocks of one answer, in order; what is collected elsewhere is added at the end."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._by_index: dict[Any, _Entry] = {}
        self._has_foreign = False

    def add(self, block: chunks.Block, text: int, thoughts: int, calls: int) -> None:
        """Add the start of a block, or a citation to a block that has started."""
        if block.citation is not None:
            if block.index in self._by_index:
                self._by_index[block.index].citations.append(block.citation)
            return
        content = block.content or {"type": "text"}
        self._has_foreign = self._has_foreign or content.get("type") not in _COLLECTED
        entry = _Entry(content, text, thoughts, calls, [], [])
        self._entries.append(entry)
        self._by_index[block.index] = entry

    def add_input(self, part: chunks.ToolCallPart) -> None:
        """Add a piece of the arguments of a tool that the service runs."""
        entry = self._by_index.get(part.position)
        if entry is not None and part.arguments:
            entry.pieces.append(part.arguments)

    def searches(self) -> Iterator[chunks.SearchPart]:
        """Yield the searches whose queries arrived in pieces."""
        for entry in self._entries:
            query = _input(entry.pieces).get("input", {}).get("query")
            # A function of the user's may have the name as well.
            is_search = entry.content.get("type") == "server_tool_use" and entry.content.get("name") == "web_search"
            if is_search and isinstance(query, str):
                yield chunks.SearchPart(str(entry.content.get("id")), query)

    def documents(self) -> list[chunks.Source]:
        """Return the documents that the service fetched, in order."""
        found = [
            chunks.dict_or_empty(entry.content.get("content"))
            for entry in self._entries
            if entry.content.get("type") == "web_fetch_tool_result"
        ]
        return [
            chunks.Source(str(result["url"]), str(chunks.dict_or_empty(result.get("content")).get("title") or ""))
            for result in found
            if result.get("url")
        ]

    def build(
        self,
        text: str,
        thoughts: Sequence[chunks.Thought],
        calls: Sequence[chunks.ToolCall],
        *,
        is_paused: bool = False,
    ) -> list[Mapping[str, Any]]:
        """Return all blocks, or none if the service ran no tool and goes on with nothing."""
        if not (self._has_foreign or is_paused):
            return []
        before = text[: self._entries[0].text] if self._entries else ""
        return [
            *([{"type": "text", "text": before}] if before.strip() else ()),
            *(block for number in range(len(self._entries)) for block in self._build(number, text, thoughts, calls)),
        ]

    def _build(
        self, number: int, text: str, thoughts: Sequence[chunks.Thought], calls: Sequence[chunks.ToolCall]
    ) -> Iterator[Mapping[str, Any]]:
        entry, following = self._entries[number], self._entries[number + 1 :]
        block_type = entry.content.get("type")
        if block_type in ("thinking", "redacted_thinking"):
            end = following[0].thoughts if following else len(thoughts)
            for thought in thoughts[entry.thoughts : end]:
                shown = {"type": "thinking", "thinking": thought.text, "signature": thought.signature}
                yield {"type": "redacted_thinking", "data": thought.signature} if thought.hidden else shown
        elif block_type == "tool_use":
            for call in calls[entry.calls : entry.calls + 1]:
                yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        elif block_type == "text":
            shown_text = text[entry.text : following[0].text if following else len(text)]
            if shown_text.strip():
                cited = {"citations": list(entry.citations)} if entry.citations else {}
                yield {"type": "text", "text": shown_text, **cited}
        else:
            yield {**entry.content, **_input(entry.pieces)}


#: Blocks that are collected elsewhere.
_COLLECTED = ("text", "thinking", "redacted_thinking", "tool_use")


def _input(pieces: Sequence[str]) -> dict[str, Any]:
    """Return the input of a tool that arrived in pieces; one that broke off is left as it was announced."""
    try:
        fields = json.loads("".join(pieces)) if pieces else None
    except ValueError:
        return {}
    return {"input": fields} if isinstance(fields, dict) else {}
