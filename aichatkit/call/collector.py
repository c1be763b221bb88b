"""Chunks -> the parts of a reply other than text: usage, tool calls, reasoning, citations, finish reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Callable

from aichatkit import chunks
from aichatkit._dataclasses import replace
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
        self.bill = chunks.Bill()
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
        """Return the usage, with the totals of services that send only their parts."""
        usage, bill = self.usage, self.bill
        input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        if bill.uncached is not None:
            input_tokens = bill.uncached + (usage.cached_tokens or 0) + (usage.cache_write_tokens or 0)
        if bill.prompt is not None:
            input_tokens = bill.prompt + (bill.tool_prompt or 0)
        if bill.visible is not None:
            output_tokens = bill.visible + (usage.reasoning_tokens or 0)
        total = usage.total_tokens
        if input_tokens is not None and output_tokens is not None:
            # A total without all parts is smaller.
            total = max(input_tokens + output_tokens, total or 0)
        return replace(usage, input_tokens=input_tokens, output_tokens=output_tokens, total_tokens=total)

    def total_bill(self) -> chunks.Bill:
        """Return what the answer is charged by in addition to its usage."""
        return self.bill._replace(reasoned=True) if any(self.reasoning) else self.bill

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

    def length_problem(self) -> str:
        """Return why an answer that reached the length limit has no text."""
        thoughts = self.usage.reasoning_tokens
        if not thoughts and not self.reasoning:
            return "no text came before the length limit; raise max_tokens"
        used = f" ({thoughts:,} tokens)" if thoughts else ""
        return (
            f"the thoughts used up the length limit{used} before any text; raise max_tokens or lower reasoning_effort"
        )

    def add_finish(self, finish: chunks.Finish) -> None:
        """Add an end marker."""
        self.ended = self.ended or finish.ends
        self.last = self.last or finish.last
        self.reason = finish.reason or self.reason

    def add_usage(self, usage: chunks.Usage) -> None:
        """Add token counts; services send them in pieces, and a piece never replaces a larger count."""
        self.usage = chunks.Usage(*map(_larger_count, vars(self.usage).values(), vars(usage).values()))

    def add_bill(self, bill: chunks.Bill) -> None:
        """Add what the service reports for the bill."""
        self.bill = chunks.Bill(*map(_later, self.bill, bill))

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
            self._thoughts.append(chunks.Thought(self._unsigned, piece.signature, piece.hidden, *position))
            self._unsigned = ""

    def add_citation(self, citation: chunks.Citation) -> None:
        """Add a source; some services repeat all of them with every chunk, and some send the title later."""
        same = next((other for other in self.citations if other.url == citation.url), None)
        if same is None:
            self.citations.append(citation)
        elif citation.title and not same.title:
            self.citations[self.citations.index(same)] = citation

    def add_answered(self, chunk: chunks.Answered) -> None:
        """Add the id of the answer and the model that produces it."""
        # Some bridges send other types.
        self.model = chunk.model if isinstance(chunk.model, str) else self.model
        self.id = chunk.id if chunk.id and isinstance(chunk.id, str) else self.id

    def add_notice(self, chunk: chunks.Notice) -> None:
        """Add a message that the service sent instead of an answer."""
        self.notice = chunk.text or self.notice


ADDERS: dict[type, Callable[[Collector, Any], None]] = {
    chunks.Finish: Collector.add_finish,
    chunks.Usage: Collector.add_usage,
    chunks.Bill: Collector.add_bill,
    chunks.ToolCallPart: Collector.add_call,
    chunks.Answered: Collector.add_answered,
    chunks.Notice: Collector.add_notice,
    chunks.Reasoning: Collector.add_reasoning,
    chunks.Citation: Collector.add_citation,
}


def _larger_count(old: int | None, new: Any) -> int | None:
    count = chunks.parse_count(new)
    return old if count is None or (old is not None and old > count) else count


def _later(old: Any, new: Any) -> Any:
    """Return the later of two words, the larger of two numbers."""
    if new is None or new == "" or (old.__class__ is not str and old is not None and old > new):
        return old
    return new


def _tool_call(parts: list[str], provider: str) -> chunks.ToolCall:
    try:
        # Calls without arguments have an empty text on some services, and null on others.
        arguments = json.loads(parts[2].strip() or "null")
    except (ValueError, RecursionError):
        arguments = parts[2]
    signature = f"{provider}:{parts[3]}" if parts[3] else ""
    if arguments is not None and not isinstance(arguments, dict):
        return chunks.ToolCall(parts[0], parts[1], {}, signature, parts[2])
    return chunks.ToolCall(parts[0], parts[1], arguments or {}, signature)
