"""Chunks -> the parts of a reply other than text: usage, tool calls, reasoning, citations, finish reason."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from aichatkit import chunks
from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit._surrogates import repair
from aichatkit.call.tool_calls import CallAssembler
from aichatkit.errors import BadResponseError, ChatError
from aichatkit.reply import PAUSED

if TYPE_CHECKING:
    from aichatkit import _json
    from aichatkit.call import blocks, citations, closings
else:
    # Most answers call no tools, and few services send anything twice.
    _json = lazy_module("aichatkit._json")
    blocks = lazy_module("aichatkit.call.blocks")
    citations = lazy_module("aichatkit.call.citations")
    closings = lazy_module("aichatkit.call.closings")

__all__ = ["ADDERS", "Collector"]

#: Finish reasons that mean the answer was given up, whatever the protocol.
_FAILURES = frozenset(
    {
        *("abort", "aborted", "cancel", "canceled", "cancelled", "user_cancel", "interrupted", "timed_out", "timeout"),
        *("error", "failed", "failure", "engine_error", "internal_error", "internal_server_error", "network_error"),
        *("server_error", "system_error", "upstream_error", "engine_overloaded", "overloaded", "service_unavailable"),
        "insufficient_system_resource",
    }
)

_NO_USAGE = chunks.Usage()


class Collector:
    """Collects the chunks of one answer that are not text.

    `parts` are the pieces of text received so far; `turn` makes the ids of tool calls unique within a conversation.
    """

    def __init__(self, model: str, parts: Sequence[str] = (), *, turn: int = 0, limit: float = math.inf) -> None:
        self.model = model
        self.id = ""
        self.ended = False
        self.last = False
        self.reason: str | None = None
        self.usage = chunks.Usage()
        self.bill = chunks.Bill()
        self.reasoning: list[str] = []
        #: The citations and searches as reported, and where the named parts of the text start.
        self.cited: list[chunks.Cited | chunks.Citation] = []
        self.search_parts: list[chunks.SearchPart] = []
        self.starts: list[tuple[Any, int]] = []
        self.images: list[str] = []
        self.logprobs: list[chunks.TokenLogprob] = []
        self.calls = CallAssembler()
        self.refused = False
        #: The finish reason that says the service gave the answer up.
        self.failed = ""
        self.unread: ChatError | None = None
        #: The length of the reasoning, and the most that it and the arguments of calls may have.
        self.size = 0
        self.limit = limit
        self._parts = parts
        self._turn = turn
        self._unsigned: list[str] = []
        self._thoughts: list[chunks.Thought] = []
        self._closings: closings.Closings | None = None
        self._blocks: blocks.Blocks | None = None
        self.notice = ""

    def add(self, chunk: Any) -> None:
        """Add one chunk."""
        ADDERS[type(chunk)](self, chunk)

    def total_usage(self) -> chunks.Usage:
        """Return the usage, with the totals of services that send only their parts."""
        usage, bill = self.usage, self.bill
        if usage == _NO_USAGE and bill.uncached is bill.prompt is bill.visible is None and not self.search_parts:
            return usage
        input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        if bill.uncached is not None:
            input_tokens = bill.uncached + (usage.cached_tokens or 0) + (usage.cache_write_tokens or 0)
        if bill.prompt is not None:
            input_tokens = bill.prompt + (bill.tool_prompt or 0)
        if bill.visible is not None:
            output_tokens = bill.visible + (usage.reasoning_tokens or 0)
        # Some services report more cached tokens than input tokens.
        cached = usage.cached_tokens
        if cached is not None and input_tokens is not None:
            cached = min(cached, input_tokens)
        total = usage.total_tokens
        if input_tokens is not None and output_tokens is not None:
            # A total without all parts is smaller.
            total = max(input_tokens + output_tokens, total or 0)
        searches = usage.searches
        if searches is None and self.search_parts:
            # Few services count them.
            searches = sum(not search.error for search in self.searches())
        return replace(
            usage,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            total_tokens=total,
            cached_tokens=cached,
            searches=searches,
        )

    def total_bill(self) -> chunks.Bill:
        """Return what determines the price of the answer in addition to its usage."""
        return self.bill._replace(reasoned=True) if any(self.reasoning) else self.bill

    def tool_calls(self, provider: str) -> list[chunks.ToolCall]:
        """Return the assembled tool calls; raise BadResponseError if one was cut off by the length limit."""
        opened = self.calls.calls
        if not opened:
            return []
        # Results refer to these ids, and the conversation may continue at a service that requires them.
        ids = [call.id or chunks.make_call_id(self._turn, number) for number, call in enumerate(opened)]
        parts = [[id, call.name, call.arguments, call.signature] for id, call in zip(ids, opened)]
        calls = [_tool_call(part, provider) for part in parts]
        if lost := self.calls.lost:
            # A tool must not run without arguments that arrived under an index that no call has.
            calls = [
                replace(call, arguments={}, broken=lost) if part.may_lack_arguments else call
                for call, part in zip(calls, opened)
            ]
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
        if self.refused and self.reason in (None, "stop"):
            return "content_filter"
        # Some services end an answer with tool calls like any other.
        return "tool_calls" if self.calls and self.reason in (None, "stop") else self.reason

    def length_problem(self) -> str:
        """Return why an answer that reached the length limit has no text."""
        thoughts = self.usage.reasoning_tokens
        if not thoughts and not self.reasoning:
            return "the length limit was reached before any text; raise max_tokens"
        used = f" ({thoughts:,} tokens)" if thoughts else ""
        return f"reasoning used up the length limit{used} before any text; raise max_tokens or lower reasoning_effort"

    def add_finish(self, finish: chunks.Finish) -> None:
        """Add an end marker."""
        self.ended = self.ended or finish.ends
        self.last = self.last or finish.last
        self.reason = repair(finish.reason) if finish.reason else self.reason
        if str(finish.reason).lower() in _FAILURES:
            self.failed = str(finish.reason)

    def add_usage(self, usage: chunks.Usage) -> None:
        """Add token counts; services send them in pieces, and a piece never replaces a larger count."""
        self.usage = chunks.Usage(*map(_larger_count, vars(self.usage).values(), vars(usage).values()))

    def add_bill(self, bill: chunks.Bill) -> None:
        """Add what the service reports for the bill."""
        self.bill = chunks.Bill(*map(_later, self.bill, bill))

    def add_call(self, part: chunks.ToolCallPart) -> None:
        """Append a piece of a tool call to its call."""
        self.ended = self.last
        self.calls.add(part)
        if self._blocks is not None:
            self._blocks.add_input(part)
        self._check_size()

    def add_fields(self, part: chunks.ArgumentFields) -> None:
        """Add arguments of a tool call that arrive field by field."""
        self.ended = self.last
        self.calls.add_fields(part)
        self._check_size()

    def add_reasoning(self, piece: chunks.Reasoning) -> None:
        """Add a piece of the model's reasoning."""
        if not isinstance(piece.text, str):
            raise TypeError("a piece of the reasoning is not text")
        # What follows an end marker shows that it came too early.
        self.ended = self.last or (self.ended and not piece.text)
        self.reasoning.append(piece.text)
        self._unsigned.append(piece.text)
        self.size += len(piece.text)
        self._check_size()
        if piece.signature:
            position = self._length(), len(self.calls)
            self._thoughts.append(
                chunks.Thought(repair("".join(self._unsigned)), piece.signature, piece.hidden, *position)
            )
            self._unsigned.clear()

    def add_text(self) -> None:
        """Note that text followed an end marker, so it was not the end."""
        self.ended = self.last

    def add_part(self, part: chunks.Part) -> None:
        """Note where a part of the answer begins."""
        self.note_start(*part.keys)
        self._get_closings().begin(part)

    def iter_new(self, whole: chunks.Whole) -> Iterator[Any]:
        """Yield what a repetition adds to the chunks before it."""
        return self._get_closings().iter_new(whole)

    def _get_closings(self) -> closings.Closings:
        self._closings = self._closings or closings.Closings(self, self._parts)
        return self._closings

    def add_citation(self, citation: chunks.Citation | chunks.Cited) -> None:
        """Add a source; its place in the text is found at the end."""
        is_of_document = isinstance(citation, chunks.Cited) and citation.unit == "block" and citation.number > 0
        if (citation.url or is_of_document) and isinstance(citation.url, str):
            if isinstance(citation, chunks.Cited) and citation.unit == "here":
                citation = citation._replace(start=self._length())
            self.cited.append(citation)

    def add_search(self, part: chunks.SearchPart) -> None:
        """Add what is known about a search that the service runs."""
        self.search_parts.append(part)

    def add_logprobs(self, chunk: chunks.Logprobs) -> None:
        """Add the log probabilities of the next tokens."""
        self.logprobs += [
            chunks.TokenLogprob(repair(token), logprob, tuple((repair(other), value) for other, value in top))
            for token, logprob, top in chunk.tokens
        ]

    def add_block(self, block: chunks.Block) -> None:
        """Note where a block of the answer begins."""
        if block.citation is None and (block.content is None or block.content.get("type") == "text"):
            self.note_start(block.index)
        if self._blocks is None:
            self._blocks = blocks.Blocks()
        self._blocks.add(block, self._length(), len(self._thoughts), len(self.calls))

    def note_start(self, *keys: Any) -> None:
        """Note that the part of the text with these names begins here, or where `offset` says."""
        offset = self._length()
        self.starts += [(key, offset) for key in keys]

    def placed_citations(self, text: str) -> list[chunks.Citation]:
        """Return the citations with their places in the text."""
        if not self.cited:
            return []
        documents = [] if self._blocks is None else self._blocks.documents()
        return citations.place(citations.with_urls(self.cited, documents), text, self.starts)

    def searches(self) -> list[chunks.Search]:
        """Return the searches that the service ran."""
        parts = [*self.search_parts, *(() if self._blocks is None else self._blocks.searches())]
        return citations.merge_searches(parts) if parts else []

    def sent_blocks(self, text: str, calls: Sequence[chunks.ToolCall]) -> list[Mapping[str, Any]]:
        """Return all blocks of the answer, if the service ran tools for it or pauses; else an empty list."""
        return (
            []
            if self._blocks is None
            else self._blocks.build(text, self._thoughts, calls, is_paused=self.reason == PAUSED)
        )

    def _length(self) -> int:
        return sum(map(len, self._parts))

    def add_answered(self, chunk: chunks.Answered) -> None:
        """Add the id of the answer and the model that produces it."""
        # Some bridges send other types.
        self.model = repair(chunk.model) if chunk.model and isinstance(chunk.model, str) else self.model
        self.id = repair(chunk.id) if chunk.id and isinstance(chunk.id, str) else self.id

    def add_notice(self, chunk: chunks.Notice) -> None:
        """Add a message that the service sent instead of an answer."""
        self.notice = chunk.text or self.notice

    def add_unread(self, chunk: chunks.Unread) -> None:
        """Add the error of a part that cannot be read."""
        self.unread = self.unread or chunk.error

    def _check_size(self) -> None:
        if self.size + self.calls.size > self.limit:
            raise BadResponseError(f"the reasoning and tool calls are longer than {self.limit} characters")


ADDERS: dict[type, Callable[[Collector, Any], None]] = {
    chunks.Finish: Collector.add_finish,
    chunks.Usage: Collector.add_usage,
    chunks.Bill: Collector.add_bill,
    chunks.ToolCallPart: Collector.add_call,
    chunks.Answered: Collector.add_answered,
    chunks.Notice: Collector.add_notice,
    chunks.Reasoning: Collector.add_reasoning,
    chunks.Block: Collector.add_block,
    chunks.Citation: Collector.add_citation,
    chunks.Cited: Collector.add_citation,
    chunks.Logprobs: Collector.add_logprobs,
    chunks.SearchPart: Collector.add_search,
    chunks.ArgumentFields: Collector.add_fields,
    chunks.Part: Collector.add_part,
    chunks.Unread: Collector.add_unread,
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
    call_id, name, text, signature = map(repair, parts)
    arguments = _json.loads_object(text)
    signature = f"{provider}:{signature}" if signature else ""
    if arguments is None:
        return chunks.ToolCall(call_id, name, {}, signature, text)
    return chunks.ToolCall(call_id, name, arguments, signature)
