"""Anthropic's Messages API: content blocks in, named events out.

The system prompt is a separate field, `max_tokens` is required, and only `message_stop` marks a complete answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import requests

from aichatkit._lazy import lazy_module
from aichatkit.chunks import Answered, Block, Cited, Finish, Reasoning, ToolCall, ToolCallPart, dicts_in
from aichatkit.events import Event, sniffing
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.anthropic_usage import parse_usage
from aichatkit.providers.base import NO_OPTIONS, WEB_IMAGES, Options, Provider
from aichatkit.providers.odd_events import check_error, parse_unreadable
from aichatkit.providers.request_bodies import (
    DEFAULT_MAX_TOKENS,
    add_options,
    call_id,
    encode_base64,
    exact_record,
    find_signature,
    iter_parts,
    merge_turns,
    parse_arguments,
    set_path,
    split_system,
    unsupported_file_error,
)
from aichatkit.structured import dialects

if TYPE_CHECKING:
    from aichatkit.providers import cache_marks, search_results
else:
    # Short prompts are not cached, and few calls search.
    cache_marks = lazy_module("aichatkit.providers.cache_marks")
    search_results = lazy_module("aichatkit.providers.search_results")

_TOKEN_ENV = "ANTHROPIC_AUTH_TOKEN"
#: The ids of tool calls that the service takes.
_CALL_IDS = "[a-zA-Z0-9_-]+"
_BLOCKS = {"image": "image", "pdf": "document"}
_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Anthropic(Provider):
    """Chat with Anthropic's models; ANTHROPIC_AUTH_TOKEN is sent as a Bearer token instead of an API key."""

    name = "anthropic"
    url = "https://api.anthropic.com"
    version = "/v1"
    path = "/v1/messages"
    models_path = "/v1/models?limit=1000"
    default_model = "claude-sonnet-5-5"
    models = ("claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5-5", "claude-opus-5", "claude-fable-5-1")
    api_key_env = ("ANTHROPIC_API_KEY", _TOKEN_ENV)
    base_url_env = "ANTHROPIC_BASE_URL"
    key_header = "x-api-key"
    key_prefix = ""
    headers: ClassVar[Mapping[str, str]] = {"anthropic-version": "2023-06-01"}
    rank = 2
    requires_end = True
    takes_files = frozenset({"image", "pdf", "text"})
    takes_result_files = frozenset({"image", "pdf"})
    takes_images = WEB_IMAGES
    takes_tools = True
    takes_schema = True
    tool_choice_style = "anthropic"
    takes_service_tools = True
    search_style = "anthropic"
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
    effort_style = "anthropic"
    cache_style = "claude"

    def sign(self, key: str) -> tuple[str, str]:
        if key == os.environ.get(_TOKEN_ENV):
            return "Authorization", f"Bearer {key}"
        return super().sign(key)

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        system, others = split_system(messages)
        built = [(_role(message), self._build_blocks(message)) for message in others]
        cache = options.cache
        if cache is not None:
            built = cache_marks.mark_turns(built, messages, cache)
        turns = _without_last_blanks(merge_turns(built))
        payload: dict[str, Any] = {
            "model": model,
            "max_tokens": options.record.get("max_out", DEFAULT_MAX_TOKENS),
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
        if cache is not None:
            cache_marks.mark_head(payload, cache)
        if options.schema is not None:
            schema = dialects.for_anthropic(options.schema)
            set_path(payload, "output_config.format", {"type": "json_schema", "schema": schema})
        payload = add_options(payload, self.params, options, provider=self, model=model)
        return requests.Request("POST", self.api_endpoint, json=payload, headers=dict(self.headers))

    def parse_event(self, event: Event) -> Any:
        try:
            record = event.json()
        except ValueError:
            return parse_unreadable(self, event)
        event_type = record.get("type") if isinstance(record, dict) else None
        if event_type == "content_block_delta":
            return _parse_delta(record)
        if event_type == "message":
            return list(_parse_message(exact_record(event)))
        check_error(self, event, record)
        parse = _PARSERS.get(event_type or "")
        return list(parse(exact_record(event))) if parse else None

    def takes_schema_for(self, model: str, options: Options) -> bool:
        # Citations, which a search always has, cannot be combined with JSON answers.
        return options.search is None

    def _build_blocks(self, message: Message) -> list[dict[str, Any]]:
        if isinstance(message, ToolResultMessage):
            content: Any = message.content
            if not isinstance(content, str):
                content = self._build_parts(message)
            return [{"type": "tool_result", "tool_use_id": call_id(message.call, _CALL_IDS), "content": content}]
        if isinstance(message, ToolCallsMessage) and message.blocks_for(self.name):
            return [dict(block) for block in message.blocks_for(self.name)]
        if isinstance(message, ToolCallsMessage) and isinstance(message.content, str):
            return list(self._interleave(message, message.content))
        blocks = self._build_parts(message)
        return [*blocks, *_build_calls(message.calls)] if isinstance(message, ToolCallsMessage) else blocks

    def _build_parts(self, message: Message) -> list[dict[str, Any]]:
        parts = iter_parts(message.content, provider=self.name)
        return [
            block
            for part in parts
            for block in (_build_text(part) if isinstance(part, str) else [self._build_file(part)])
        ]

    def _interleave(self, message: ToolCallsMessage, text: str) -> Iterator[dict[str, Any]]:
        """Yield the blocks in their original order: tool results are rejected if a thought is missing or moved."""
        text_sent, calls_sent = 0, 0
        for thought in message.thoughts:
            signature = find_signature(thought, provider=self.name)
            if signature:
                yield from _build_text(text[text_sent : thought.after_text])
                yield from _build_calls(message.calls[calls_sent : thought.after_calls])
                text_sent, calls_sent = thought.after_text, thought.after_calls
                redacted = {"type": "redacted_thinking", "data": signature}
                shown = {"type": "thinking", "thinking": thought.text, "signature": signature}
                yield redacted if thought.hidden else shown
        yield from _build_text(text[text_sent:])
        yield from _build_calls(message.calls[calls_sent:])

    def _build_file(self, file: File) -> dict[str, Any]:
        if file.kind not in _BLOCKS:
            raise unsupported_file_error(file, provider=self.name)
        if file.url and not file.data:
            return {"type": _BLOCKS[file.kind], "source": {"type": "url", "url": file.url}}
        data = encode_base64(file, provider=self.name)
        return {
            "type": _BLOCKS[file.kind],
            "source": {"type": "base64", "media_type": file.media_type, "data": data},
        }


def _role(message: Message) -> str:
    return "assistant" if message.role == "assistant" else "user"


def _without_last_blanks(turns: list[tuple[str, list[dict[str, Any]]]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the turns; an answer that the model is to go on with must not end in white space."""
    if turns and turns[-1][0] == "assistant" and turns[-1][1][-1]["type"] == "text":
        (*blocks, last) = turns[-1][1]
        return [*turns[:-1], ("assistant", [*blocks, {**last, "text": last["text"].rstrip()}])]
    return turns


def _build_text(text: str) -> Iterator[dict[str, Any]]:
    # A blank block is rejected.
    if text.strip():
        yield {"type": "text", "text": text}


def _build_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [
        {"type": "tool_use", "id": call_id(call, _CALL_IDS), "name": call.name, "input": call.arguments}
        for call in calls
    ]


def _parse_delta(record: Mapping[str, Any]) -> Any:
    delta = record["delta"]
    delta_type = delta["type"]
    if delta_type == "text_delta":
        return delta["text"]
    if delta_type == "thinking_delta":
        return Reasoning(delta["thinking"])
    if delta_type == "signature_delta":
        return Reasoning("", delta["signature"])
    if delta_type == "input_json_delta":
        return ToolCallPart(record["index"], arguments=delta["partial_json"])
    if delta_type == "citations_delta":
        return list(_parse_citations(record["index"], [delta.get("citation")]))
    return None


def _parse_message(message: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_head(message)
    for index, block in enumerate(message["content"]):
        yield from _parse_block(index, block)
    yield Finish(_finish_reason(message), last=True)


def _parse_start(record: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_head(record["message"])


def _parse_head(message: Mapping[str, Any]) -> Iterator[Any]:
    model, id = message.get("model"), message.get("id")
    if model and isinstance(model, str):
        yield Answered(model, id if isinstance(id, str) else "")
    yield from parse_usage(message.get("usage"))


def _parse_block_start(record: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_block(record["index"], record["content_block"])


def _parse_block(index: int, block: Mapping[str, Any]) -> Iterator[Any]:
    block_type = block["type"]
    yield Block(index, block)
    if block_type == "text":
        yield block["text"]
        yield from _parse_citations(index, block.get("citations"))
    elif block_type == "thinking":
        yield Reasoning(block["thinking"], block.get("signature") or "")
    elif block_type == "redacted_thinking":
        yield Reasoning("", block["data"], hidden=True)
    elif block_type == "tool_use":
        arguments = parse_arguments(block["input"]) if block.get("input") else ""
        yield ToolCallPart(index, block.get("id") or "", block["name"], arguments)
    else:
        # The service runs its own tools itself, and sends their arguments in the same way.
        yield ToolCallPart(index, foreign=True)
        yield from search_results.parse_block(block)


def _parse_ending(record: Mapping[str, Any]) -> Iterator[Any]:
    yield Finish(_finish_reason(record["delta"]), ends=False)
    yield from parse_usage(record.get("usage"))


def _parse_stop(record: Mapping[str, Any]) -> Iterator[Any]:
    yield Finish(last=True)


_PARSERS = {
    "message_start": _parse_start,
    "content_block_start": _parse_block_start,
    "message_delta": _parse_ending,
    "message_stop": _parse_stop,
}


def _finish_reason(record: Mapping[str, Any]) -> str | None:
    reason = record.get("stop_reason")
    return _FINISH_REASONS.get(reason, reason) if reason else None


def _parse_citations(index: int, citations: Any) -> Iterator[Block | Cited]:
    for citation in dicts_in(citations):
        yield Block(index, citation=citation)
        document: Any = citation.get("document_index")
        if citation.get("url") or document.__class__ is int:
            yield Cited(
                citation.get("url") or "",
                citation.get("title") or citation.get("document_title") or "",
                "block",
                quote=citation.get("cited_text") or "",
                part=(index,),
                number=0 if citation.get("url") else document + 1,
            )
