"""Plausible but odd answers of each protocol: a field is missing, null, of another type, or a record is elsewhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from answer_doubles import FakeResponse, FakeTransport
from fault_wires import line, sse

from aichatkit.call.answer import Answer
from aichatkit.errors import ChatError
from aichatkit.registry import registry
from aichatkit.reply import Reply

#: The pieces of every answer here; no piece is part of another.
PIECES = ("Hello ", "wörld 🦊", ", {ok}.")
TEXT = "".join(PIECES)
ARGUMENTS = {"city": "Oslo", "days": 3}
ODD_VALUES = (None, True, False, 0, -1, 1.5, 10**30, "", "x", [], [None], ["x"], [[]], [{}], {}, {"x": None}, {"x": []})
#: What does not belong to the text, the calls of tools or the end: odd values there must not cost the answer.
SIDE_FIELDS = frozenset(
    {
        *("annotations", "citations", "created", "created_at", "eval_count", "id", "logprobs", "model", "object"),
        *("citationMetadata", "groundingMetadata", "modelVersion", "prompt_eval_count", "responseId", "safetyRatings"),
        *("search_results", "sequence_number", "service_tier", "stop_sequence", "system_fingerprint", "total_duration"),
        *("usage", "usageMetadata"),
    }
)


@dataclass(frozen=True)
class OddWire:
    """The records of a whole answer, or the text that stands for one, and how they are written."""

    provider: str
    records: Sequence[Any] = field(repr=False)
    encode: Callable[[Any], bytes] = field(default=sse, repr=False)
    content_type: str = "text/event-stream"
    #: Whether the answer is a call of a tool instead of text.
    calls: bool = False

    def __str__(self) -> str:
        return f"{self.provider}-{'call' if self.calls else 'text'}"

    def body(self, records: Sequence[Any]) -> bytes:
        """Return the records as the service sends them."""
        return b"".join(record if isinstance(record, bytes) else self.encode(record) for record in records)


@dataclass
class Outcome:
    """What came of an answer: its reply or its error, and the text that was handed out."""

    text: str
    reply: Reply | None = None
    error: ChatError | None = None

    def summary(self) -> tuple[Any, ...]:
        """Return what must not depend on how the answer was cut into pieces."""
        if self.reply is None:
            return self.text, type(self.error), self.error.partial if self.error else None
        reply = self.reply
        return (
            self.text,
            reply.text,
            reply.complete,
            reply.finish_reason,
            reply.tool_calls,
            reply.usage,
            reply.reasoning,
        )


def read(wire: OddWire, pieces: Sequence[bytes]) -> Outcome:
    """Read an answer as a call does."""
    response: Any = FakeResponse([piece for piece in pieces if piece], kind=wire.content_type)
    provider = registry[wire.provider]()
    http: Any = FakeTransport()
    answer = Answer(provider, provider.default_model, response, http=http, clock=lambda: 1.0)
    received = ""
    try:
        answer.start()
        for text in answer:
            received += text
    except ChatError as error:
        return Outcome(received, error=error)
    return Outcome(received, reply=answer.reply)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every field and element of a record."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from paths(inner, (*path, key))


def change(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a record with another value at a path; without the field if the value is `...`."""
    changed = target = copy.deepcopy(record)
    for step in path[:-1]:
        target = target[step]
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return changed


def places(records: Sequence[Any], *, side: bool = False) -> list[tuple[int, tuple[Any, ...]]]:
    """Return the number of a record and a path in it, for every field; only the side fields with `side`."""
    return [
        (number, path)
        for number, record in enumerate(records)
        if not isinstance(record, bytes)
        for path in paths(record)
        if not side or any(step in SIDE_FIELDS for step in path)
    ]


def _named(record: Any) -> bytes:
    event_type = record.get("type") if isinstance(record, dict) else None
    return sse(record, event_type if isinstance(event_type, str) else "")


def _openai(*deltas: Any, reason: str = "stop", **fields: Any) -> list[Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", **fields}
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
    records: list[Any] = [{**head, "choices": [choice]} for choice in choices]
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 2},
    }
    records.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return [*records, {**head, "choices": [], "usage": usage}, b"data: [DONE]\n\n"]


def _split(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


_JSON = json.dumps(ARGUMENTS)
_START, _REST = _split(_JSON)
_SOURCE = {"url": "https://example.org/a", "title": "A"}
_ANNOTATION = {"type": "url_citation", "start_index": 0, "end_index": 5, **_SOURCE}
_OPENAI_TEXT = _openai(
    {"role": "assistant", "content": ""},
    {"content": PIECES[0]},
    {"content": PIECES[1], "annotations": [{"type": "url_citation", "url_citation": _SOURCE}]},
    {"content": PIECES[2]},
    citations=["https://example.org/b"],
    search_results=[_SOURCE],
    service_tier="default",
)
_OPENAI_CALL = _openai(
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        ],
    },
    {"tool_calls": [{"index": 0, "function": {"arguments": _START}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": _REST}}]},
    reason="tool_calls",
)


def _responses(item: Any, *events: Any) -> list[Any]:
    response = {"id": "resp_1", "object": "response", "model": "m-1", "status": "in_progress", "output": []}
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12, "input_tokens_details": {"cached_tokens": 2}}
    done = {**response, "status": "completed", "output": [item], "usage": usage, "service_tier": "default"}
    records = [
        {"type": "response.created", "response": response},
        *events,
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    return [{**record, "sequence_number": number} for number, record in enumerate(records)]


_PART = {"type": "output_text", "text": TEXT, "annotations": [_ANNOTATION]}
_MESSAGE = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [_PART]}
_AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_RESPONSES_TEXT = _responses(
    _MESSAGE,
    {"type": "response.output_item.added", "output_index": 0, "item": {**_MESSAGE, "content": []}},
    {"type": "response.content_part.added", **_AT, "part": {**_PART, "text": "", "annotations": []}},
    *({"type": "response.output_text.delta", **_AT, "delta": piece} for piece in PIECES),
    {"type": "response.output_text.annotation.added", **_AT, "annotation": _ANNOTATION},
    {"type": "response.output_text.done", **_AT, "text": TEXT},
)
_CALL_ITEM = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": _JSON}
_RESPONSES_CALL = _responses(
    _CALL_ITEM,
    {"type": "response.output_item.added", "output_index": 0, "item": {**_CALL_ITEM, "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0, "delta": _START},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0, "delta": _REST},
    {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 0, "arguments": _JSON},
)
_PERPLEXITY = [
    _RESPONSES_TEXT[0],
    {"type": "response.reasoning.search_results", "results": [_SOURCE]},
    *_RESPONSES_TEXT[1:],
]


def _anthropic(block: Any, deltas: Sequence[Any], reason: str) -> list[Any]:
    usage = {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 0}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": [], "usage": usage}
    return [
        {"type": "message_start", "message": message},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]


_ANTHROPIC_TEXT = _anthropic(
    {"type": "text", "text": "", "citations": [_SOURCE]},
    [{"type": "text_delta", "text": piece} for piece in PIECES],
    "end_turn",
)
_ANTHROPIC_CALL = _anthropic(
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
    [{"type": "input_json_delta", "partial_json": part} for part in ("", _START, _REST)],
    "tool_use",
)


def _gemini(*parts: Any) -> list[Any]:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}
    head = {"usageMetadata": usage, "modelVersion": "m-1", "responseId": "r-1"}
    records = [
        {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0, "safetyRatings": []}], **head}
        for part in parts
    ]
    grounding = {
        "webSearchQueries": ["q"],
        "groundingChunks": [{"web": {"uri": "https://example.org/a", "title": "A"}}],
    }
    cited = {"citationSources": [{"uri": "https://example.org/b"}]}
    last = {"finishReason": "STOP", "index": 0, "groundingMetadata": grounding, "citationMetadata": cited}
    return [*records, {"candidates": [last], **head}]


def _cohere(*events: Any, reason: str) -> list[Any]:
    usage = {"billed_units": {"input_tokens": 5, "output_tokens": 7}, "tokens": {"input_tokens": 5, "output_tokens": 7}}
    return [
        {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant", "content": []}}},
        *events,
        {"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}},
    ]


_COHERE_SOURCE = {"type": "document", "id": "d-1", "document": _SOURCE}
_CITED = {"start": 0, "end": 5, "text": "Hello", "sources": [_COHERE_SOURCE]}
_COHERE_TEXT = _cohere(
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    *({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}} for piece in PIECES),
    {"type": "content-end", "index": 0},
    {"type": "citation-start", "index": 0, "delta": {"message": {"citations": _CITED}}},
    reason="COMPLETE",
)
_COHERE_FUNCTION = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
_COHERE_CALL = _cohere(
    {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": _COHERE_FUNCTION}}},
    *(
        {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": part}}}}}
        for part in (_START, _REST)
    ),
    {"type": "tool-call-end", "index": 0},
    reason="TOOL_CALL",
)


def _ollama(*messages: Any) -> list[Any]:
    head = {"model": "m-1", "created_at": "2026-01-01T00:00:00Z"}
    empty = {"role": "assistant", "content": ""}
    counts = {"total_duration": 1, "prompt_eval_count": 5, "eval_count": 7}
    records = [{**head, "message": {**empty, **message}, "done": False} for message in messages]
    return [*records, {**head, "message": empty, "done": True, "done_reason": "stop", **counts}]


_OLLAMA = {"encode": line, "content_type": "application/x-ndjson"}
_FUNCTION = {"name": "weather", "arguments": ARGUMENTS}
TEXT_WIRES = (
    OddWire("openai", _OPENAI_TEXT),
    OddWire("groq", _OPENAI_TEXT),
    OddWire("openai-responses", _RESPONSES_TEXT, _named),
    OddWire("perplexity", _PERPLEXITY, _named),
    OddWire("anthropic", _ANTHROPIC_TEXT, _named),
    OddWire("gemini", _gemini(*({"text": piece} for piece in PIECES))),
    OddWire("cohere", _COHERE_TEXT, _named),
    OddWire("ollama", _ollama(*({"content": piece} for piece in PIECES)), **_OLLAMA),
    OddWire("aichat", [{"response": True, "message": TEXT}], line, "application/json"),
    OddWire(
        "aichatonline",
        [{"code": 0, "msg": "success", "data": {"message": piece}} for piece in PIECES],
        line,
        "application/stream+json",
    ),
    OddWire(
        "aichatonline-classic",
        [*({"type": "live", "data": piece} for piece in PIECES), {"type": "end", "data": "{}"}],
    ),
    OddWire(
        "chatgptt",
        [
            *({"id": "c-1", "choices": [{"index": 0, "delta": {"content": piece}}]} for piece in PIECES),
            b"data: [DONE]\n\n",
        ],
    ),
    OddWire("aichats", [f"data: {piece}\n\n".encode() for piece in PIECES]),
    OddWire("aichatfree", [piece.encode() for piece in PIECES], content_type="text/plain"),
)
CALL_WIRES = (
    OddWire("openai", _OPENAI_CALL, calls=True),
    OddWire("groq", _OPENAI_CALL, calls=True),
    OddWire("openai-responses", _RESPONSES_CALL, _named, calls=True),
    OddWire("perplexity", _RESPONSES_CALL, _named, calls=True),
    OddWire("anthropic", _ANTHROPIC_CALL, _named, calls=True),
    OddWire("gemini", _gemini({"functionCall": {"name": "weather", "args": ARGUMENTS, "id": "call_1"}}), calls=True),
    OddWire("cohere", _COHERE_CALL, _named, calls=True),
    OddWire("ollama", _ollama({"tool_calls": [{"function": _FUNCTION}]}), calls=True, **_OLLAMA),
)
#: Wires with records, which can have odd fields.
RECORD_WIRES = tuple(wire for wire in TEXT_WIRES if wire.provider not in ("aichats", "aichatfree"))
