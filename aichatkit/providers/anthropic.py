"""Anthropic's messages: blocks of content, named events.

The system's words stand apart, `max_tokens` is mandatory, and only `message_stop` shows that an answer is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import requests

from aichatkit.chunks import Answered, Citation, Finish, Reasoning, ToolCall, ToolCallPart, Usage
from aichatkit.classification import classify
from aichatkit.events import Event, sniffing
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import Options, Provider
from aichatkit.providers.request_bodies import (
    add_options,
    encoded,
    iter_parts,
    joined_turns,
    own_signature,
    parse_arguments,
    put,
    refused_file,
    split_system,
)

_NO_OPTIONS = Options()
#: Sent where the caller gives none; what the current models can all write.
_MAX_TOKENS = 8192
_TOKEN_ENV = "ANTHROPIC_AUTH_TOKEN"
_BLOCKS = {"image": "image", "pdf": "document"}
_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Anthropic(Provider):
    """Chat with Anthropic's models; a token in ANTHROPIC_AUTH_TOKEN is sent as a Bearer token instead of a key."""

    name = "anthropic"
    url = "https://api.anthropic.com"
    version = "/v1"
    path = "/v1/messages"
    models_path = "/v1/models?limit=1000"
    default_model = "claude-sonnet-4-5"
    models = (
        "claude-sonnet-4-5",
        "claude-haiku-4-5",
        "claude-opus-4-5",
        "claude-opus-4-1",
        "claude-sonnet-4-0",
        "claude-3-7-sonnet-latest",
        "claude-3-5-haiku-latest",
    )
    api_key_env = ("ANTHROPIC_API_KEY", _TOKEN_ENV)
    base_url_env = "ANTHROPIC_BASE_URL"
    key_header = "x-api-key"
    key_prefix = ""
    headers: ClassVar[Mapping[str, str]] = {"anthropic-version": "2023-06-01"}
    rank = 2
    requires_end = True
    takes_files = frozenset({"image", "pdf", "text"})
    takes_tools = True
    takes_schema = True
    iter_events = staticmethod(sniffing.iter_sse_or_json)
    params: ClassVar[Mapping[str, str]] = {
        "max_tokens": "max_tokens",
        "reasoning_effort": "output_config.effort",
        "stop": "stop_sequences",
        "temperature": "temperature",
        "top_k": "top_k",
        "top_p": "top_p",
        "user": "metadata.user_id",
    }

    def sign(self, key: str) -> tuple[str, str]:
        if key == os.environ.get(_TOKEN_ENV):
            return "Authorization", f"Bearer {key}"
        return super().sign(key)

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = _NO_OPTIONS
    ) -> requests.Request:
        system, others = split_system(messages)
        turns = joined_turns((_role(message), self._blocks(message)) for message in others)
        payload: dict[str, Any] = {
            "model": model,
            "max_tokens": _MAX_TOKENS,
            "messages": [{"role": role, "content": blocks} for role, blocks in turns],
            "stream": True,
        }
        if system:
            payload["system"] = system
        if options.tools:
            payload["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in options.tools
            ]
        if options.schema is not None:
            put(payload, "output_config.format", {"type": "json_schema", "schema": options.schema})
        payload = add_options(payload, self.params, options)
        return requests.Request("POST", self.api_endpoint, json=payload, headers=dict(self.headers))

    def parse_event(self, event: Event) -> Any:
        record = event.json()
        kind = record.get("type")
        if kind == "content_block_delta":
            return _parse_delta(record)
        if kind == "message":
            return list(_parse_message(record))
        if classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        read = _PARSERS.get(kind)
        return list(read(record)) if read else None

    def _blocks(self, message: Message) -> list[dict[str, Any]]:
        if isinstance(message, ToolResultMessage):
            call = message.call
            return [{"type": "tool_result", "tool_use_id": call.id or call.name, "content": message.text}]
        if isinstance(message, ToolCallsMessage) and isinstance(message.content, str):
            return list(self._interleaved(message, message.content))
        parts = iter_parts(message.content, provider=self.name)
        blocks = [{"type": "text", "text": part} if isinstance(part, str) else self._file(part) for part in parts]
        return [*blocks, *_calls(message.calls)] if isinstance(message, ToolCallsMessage) else blocks

    def _interleaved(self, message: ToolCallsMessage, text: str) -> Iterator[dict[str, Any]]:
        """Yield the blocks as they came: the results of tools are refused where a thought is missing or moved."""
        at, calls = 0, 0
        for thought in message.thoughts:
            signed = own_signature(thought, provider=self.name)
            if signed:
                yield from _text(text[at : thought.after_text])
                yield from _calls(message.calls[calls : thought.after_calls])
                at, calls = thought.after_text, thought.after_calls
                hidden = {"type": "redacted_thinking", "data": signed}
                yield hidden if thought.hidden else {"type": "thinking", "thinking": thought.text, "signature": signed}
        yield from _text(text[at:])
        yield from _calls(message.calls[calls:])

    def _file(self, file: File) -> dict[str, Any]:
        if file.kind not in _BLOCKS:
            raise refused_file(file, provider=self.name)
        if file.url and not file.data:
            return {"type": _BLOCKS[file.kind], "source": {"type": "url", "url": file.url}}
        data = encoded(file, provider=self.name)
        return {
            "type": _BLOCKS[file.kind],
            "source": {"type": "base64", "media_type": file.media_type, "data": data},
        }


def _role(message: Message) -> str:
    return "assistant" if message.role == "assistant" else "user"


def _text(text: str) -> Iterator[dict[str, Any]]:
    # A block of nothing but blanks is refused.
    if text.strip():
        yield {"type": "text", "text": text}


def _calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    named = [(call.id or call.name, call) for call in calls]
    return [{"type": "tool_use", "id": key, "name": call.name, "input": call.arguments} for key, call in named]


def _parse_delta(record: Mapping[str, Any]) -> Any:
    delta = record["delta"]
    kind = delta["type"]
    if kind == "text_delta":
        return delta["text"]
    if kind == "thinking_delta":
        return Reasoning(delta["thinking"])
    if kind == "signature_delta":
        return Reasoning("", delta["signature"])
    if kind == "input_json_delta":
        # Tools that run at the service send these too; their calls never began, so the pieces are dropped.
        return ToolCallPart(record["index"], arguments=delta["partial_json"])
    return list(_parse_citations([delta["citation"]])) if kind == "citations_delta" else None


def _parse_message(message: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_head(message)
    for index, block in enumerate(message["content"]):
        yield from _parse_block(index, block)
    yield Finish(_reason(message), last=True)


def _parse_start(record: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_head(record["message"])


def _parse_head(message: Mapping[str, Any]) -> Iterator[Any]:
    yield Answered(message["model"], message.get("id") or "")
    yield from _parse_usage(message.get("usage"))


def _parse_block_start(record: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_block(record["index"], record["content_block"])


def _parse_block(index: int, block: Mapping[str, Any]) -> Iterator[Any]:
    kind = block["type"]
    if kind == "text":
        yield block["text"]
        yield from _parse_citations(block.get("citations") or ())
    elif kind == "thinking":
        yield Reasoning(block["thinking"], block.get("signature") or "")
    elif kind == "redacted_thinking":
        yield Reasoning("", block["data"], hidden=True)
    elif kind == "tool_use":
        arguments = parse_arguments(block["input"]) if block.get("input") else ""
        yield ToolCallPart(index, block["id"], block["name"], arguments)


def _parse_ending(record: Mapping[str, Any]) -> Iterator[Any]:
    yield Finish(_reason(record["delta"]), ends=False)
    yield from _parse_usage(record.get("usage"))


def _parse_stop(record: Mapping[str, Any]) -> Iterator[Any]:
    yield Finish(last=True)


_PARSERS = {
    "message_start": _parse_start,
    "content_block_start": _parse_block_start,
    "message_delta": _parse_ending,
    "message_stop": _parse_stop,
}


def _reason(record: Mapping[str, Any]) -> str | None:
    reason = record.get("stop_reason")
    return _REASONS.get(reason, reason) if reason else None


def _parse_citations(citations: Sequence[Mapping[str, Any]]) -> Iterator[Citation]:
    for citation in citations:
        if citation.get("url"):
            yield Citation(citation["url"], citation.get("title") or "")


def _parse_usage(usage: Mapping[str, Any] | None) -> Iterator[Usage]:
    if usage:
        # What came from the cache is not in the number of input tokens here, as it is everywhere else.
        names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        told = [usage[name] for name in names if usage.get(name) is not None]
        given = None if usage.get("input_tokens") is None else sum(told)
        yield Usage(given, usage.get("output_tokens"), cached_tokens=usage.get("cache_read_input_tokens"))
