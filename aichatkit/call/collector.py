"""Chunks -> the parts of a reply other than text: usage, tool calls, reasoning, citations, finish reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from aichatkit import _json, chunks
from aichatkit._dataclasses import replace
from aichatkit._surrogates import repair
from aichatkit.errors import BadResponseError

__all__ = ["ADDERS", "Collector"]


class Collector:
    """Collects the chunks of one answer that are not text.

    `parts` are the pieces of text received so far; `turn` makes the ids of tool calls unique within a conversation.
    """

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
        self._unsigned = ""
        self._thoughts: list[chunks.Thought] = []
        self._open_calls: dict[int | None, list[str]] = {}
        self.notice = ""

    def add(self, chunk: Any) -> None:
        """Add one chunk."""
        ADDERS[type(chunk)](self, chunk)

    def total_usage(self) -> chunks.Usage:
        """Return the usage, with the total computed if the service sent only its parts."""
        usage = self.usage
        if usage.total_tokens is not None or usage.input_tokens is None or usage.output_tokens is None:
            return usage
        return replace(usage, total_tokens=usage.input_tokens + usage.output_tokens)

    def tool_calls(self, provider: str) -> list[chunks.ToolCall]:
        """Return the assembled tool calls; raise BadResponseError if one was cut off by the length limit."""
        for number, parts in enumerate(self.calls):
            # Results refer to these ids, and the conversation may continue at a service that requires them.
            parts[0] = parts[0] or chunks.make_call_id(self._turn, number)
        calls = [_tool_call(parts, provider) for parts in self.calls]
        for call in calls:
            if call.broken and self.reason == "length":
                raise BadResponseError(
                    f"{provider}: the call of {call.name!r} was cut off by the length limit; raise max_tokens"
                )
        return calls

    def thoughts(self, provider: str) -> list[chunks.Thought]:
        """Return the signed pieces of reasoning, each with its position."""
        return [thought._replace(signature=f"{provider}:{thought.signature}") for thought in self._thoughts]

    def finish_reason(self) -> str | None:
        """Return why the answer ended."""
        # Some services end an answer with tool calls like any other.
        return "tool_calls" if self.calls and self.reason in (None, "stop") else self.reason

    def add_finish(self, finish: chunks.Finish) -> None:
        """Add an end marker."""
        self.ended = self.ended or finish.ends
        self.last = self.last or finish.last
        self.reason = repair(finish.reason) if finish.reason else self.reason

    def add_usage(self, usage: chunks.Usage) -> None:
        """Add token counts; services send them in pieces, and the last value counts."""
        counts = {name: value for name, value in vars(usage).items() if value is not None}
        self.usage = chunks.Usage(**{**vars(self.usage), **counts})

    def add_call(self, part: chunks.ToolCallPart) -> None:
        """Append a piece of a tool call to its call; some services do not number calls, or number each of them 0."""
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
        """Add a piece of the model's reasoning."""
        self.reasoning.append(piece.text)
        self._unsigned += piece.text
        if piece.signature:
            position = sum(map(len, self._parts)), len(self.calls)
            self._thoughts.append(chunks.Thought(repair(self._unsigned), piece.signature, piece.hidden, *position))
            self._unsigned = ""

    def add_citation(self, citation: chunks.Citation) -> None:
        """Add a source; some services repeat all of them with every chunk, and some send the title later."""
        citation = chunks.Citation(repair(citation.url), repair(citation.title))
        same = next((other for other in self.citations if other.url == citation.url), None)
        if same is None:
            self.citations.append(citation)
        elif citation.title and not same.title:
            self.citations[self.citations.index(same)] = citation

    def add_answered(self, chunk: chunks.Answered) -> None:
        """Add the id of the answer and the model that produces it."""
        self.model = repair(chunk.model)
        self.id = repair(chunk.id) or self.id

    def add_notice(self, chunk: chunks.Notice) -> None:
        """Add a message that the service sent instead of an answer."""
        self.notice = chunk.text or self.notice


ADDERS: dict[type, Callable[[Collector, Any], None]] = {
    chunks.Finish: Collector.add_finish,
    chunks.Usage: Collector.add_usage,
    chunks.ToolCallPart: Collector.add_call,
    chunks.Answered: Collector.add_answered,
    chunks.Notice: Collector.add_notice,
    chunks.Reasoning: Collector.add_reasoning,
    chunks.Citation: Collector.add_citation,
}


def _tool_call(parts: list[str], provider: str) -> chunks.ToolCall:
    call_id, name, text, signature = map(repair, parts)
    arguments = _json.loads_object(text)
    signature = f"{provider}:{signature}" if signature else ""
    if arguments is None:
        return chunks.ToolCall(call_id, name, {}, signature, text)
    return chunks.ToolCall(call_id, name, arguments, signature)
