"""Chunks -> what a reply tells beside its text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Callable

from aichatkit import chunks
from aichatkit._dataclasses import replace
from aichatkit.errors import BadResponseError

__all__ = ["COLLECTED", "Collector"]


class Collector:
    """What came beside the text; `parts` are the pieces of the text so far, and `turn` names this one of many."""

    def __init__(self, model: str, parts: Sequence[str] = (), *, turn: int = 0) -> None:
        self.model = model
        self.id = ""
        self.ended = False
        self.last = False
        self.reason: str | None = None
        self.usage = chunks.Usage()
        self.reasoning: list[str] = []
        self.citations: list[chunks.Citation] = []
        self.images: list[str] = []
        self.calls: list[list[str]] = []
        self._parts = parts
        self._turn = turn
        self._thought = ""
        self._thoughts: list[chunks.Thought] = []
        self._open_calls: dict[int | None, list[str]] = {}
        self.notice = ""

    def add(self, chunk: Any) -> None:
        """Remember one chunk."""
        COLLECTED[type(chunk)](self, chunk)

    def total_usage(self) -> chunks.Usage:
        """Return the usage, with the total where only its parts were told."""
        usage = self.usage
        if usage.total_tokens is not None or usage.input_tokens is None or usage.output_tokens is None:
            return usage
        return replace(usage, total_tokens=usage.input_tokens + usage.output_tokens)

    def tool_calls(self, provider: str) -> list[chunks.ToolCall]:
        """Return the tool calls, put together; raise BadResponseError where arguments are not a JSON object."""
        for number, parts in enumerate(self.calls):
            # The results name the calls by these; a conversation may go on at a service that wants them.
            parts[0] = parts[0] or chunks.make_call_id(self._turn, number)
        calls = [_tool_call(parts, provider) for parts in self.calls]
        for call in calls:
            if call.broken and self.reason == "length":
                raise BadResponseError(
                    f"{provider}: the call of {call.name!r} was cut off by the length limit; raise max_tokens"
                )
        return calls

    def thoughts(self, provider: str) -> list[chunks.Thought]:
        """Return the signed stretches of thoughts, each with its place."""
        return [thought._replace(signature=f"{provider}:{thought.signature}") for thought in self._thoughts]

    def finish_reason(self) -> str | None:
        """Return why the answer ended."""
        # Some services end an answer that asks for tools as they end any other.
        return "tool_calls" if self.calls and self.reason in (None, "stop") else self.reason

    def add_finish(self, finish: chunks.Finish) -> None:
        """Note an end marker."""
        self.ended = self.ended or finish.ends
        self.last = self.last or finish.last
        self.reason = finish.reason or self.reason

    def add_usage(self, usage: chunks.Usage) -> None:
        """Take over what is told; services tell it in pieces, and the last word counts."""
        told = {name: value for name, value in vars(usage).items() if value is not None}
        self.usage = chunks.Usage(**{**vars(self.usage), **told})

    def add_call(self, part: chunks.ToolCallPart) -> None:
        """Put a piece of a tool call where it belongs; some services number no call, or each of them 0."""
        call = self._open_calls.get(part.position)
        if call is None and not part.id and not part.name:
            return
        if call is None or (part.position is None and part.name) or (part.id and call[0] not in ("", part.id)):
            call = self._open_calls[part.position] = ["", "", "", ""]
            self.calls.append(call)
        call[0] = call[0] or part.id
        call[1] = call[1] or part.name
        call[2] += part.arguments
        call[3] = call[3] or part.signature

    def add_reasoning(self, piece: chunks.Reasoning) -> None:
        """Note a piece of the model's thoughts."""
        self.reasoning.append(piece.text)
        self._thought += piece.text
        if piece.signature:
            place = sum(map(len, self._parts)), len(self.calls)
            self._thoughts.append(chunks.Thought(self._thought, piece.signature, piece.hidden, *place))
            self._thought = ""

    def add_citation(self, citation: chunks.Citation) -> None:
        """Note a source; some services repeat all of them with every chunk, and some tell the title later."""
        known = next((old for old in self.citations if old.url == citation.url), None)
        if known is None:
            self.citations.append(citation)
        elif citation.title and not known.title:
            self.citations[self.citations.index(known)] = citation

    def add_answered(self, chunk: chunks.Answered) -> None:
        """Note the model that answered."""
        self.model = chunk.model
        self.id = chunk.id or self.id

    def add_notice(self, chunk: chunks.Notice) -> None:
        """Note what the service said instead."""
        self.notice = chunk.text or self.notice


COLLECTED: dict[type, Callable[[Collector, Any], None]] = {
    chunks.Finish: Collector.add_finish,
    chunks.Usage: Collector.add_usage,
    chunks.ToolCallPart: Collector.add_call,
    chunks.Answered: Collector.add_answered,
    chunks.Notice: Collector.add_notice,
    chunks.Reasoning: Collector.add_reasoning,
    chunks.Citation: Collector.add_citation,
}


def _tool_call(parts: list[str], provider: str) -> chunks.ToolCall:
    try:
        # No arguments are an empty text to some services, and null to others.
        arguments = json.loads(parts[2].strip() or "null")
    except (ValueError, RecursionError):
        arguments = parts[2]
    signature = f"{provider}:{parts[3]}" if parts[3] else ""
    if arguments is not None and not isinstance(arguments, dict):
        return chunks.ToolCall(parts[0], parts[1], {}, signature, parts[2])
    return chunks.ToolCall(parts[0], parts[1], arguments or {}, signature)
