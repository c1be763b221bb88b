"""Cohere's chat API, version 2: requests much like OpenAI's, answers as named events with a delta each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from aichatkit._lazy import lazy_module
from aichatkit.chunks import (
    Bill,
    Citation,
    Finish,
    Logprobs,
    Reasoning,
    ToolCallPart,
    Usage,
    dict_or_empty,
    dicts_in,
    parse_count,
)
from aichatkit.classification import classify
from aichatkit.events import Event
from aichatkit.providers.odd_events import check_error, parse_unreadable
from aichatkit.providers.openai_compatible import OpenAICompatible

if TYPE_CHECKING:
    from aichatkit.providers import logprobs
else:
    # Few answers have them.
    logprobs = lazy_module("aichatkit.providers.logprobs")

_FINISH_REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "ERROR_LIMIT": "error",
    "TIMEOUT": "error",
    "ERROR_TOXIC": "content_filter",
}
_DELTAS = frozenset(
    ("citation-start", "content-delta", "content-start", "tool-call-delta", "tool-call-start", "tool-plan-delta")
)


class Cohere(OpenAICompatible):
    """Chat with Cohere's models."""

    name = "cohere"
    url = "https://api.cohere.com"
    version = "/v2"
    path = "/v2/chat"
    models_path = "/v1/models?endpoint=chat&page_size=1000"
    default_model = "command-a-03-2025"
    models = (
        "command-a-03-2025",
        "command-a-plus-05-2026",
        "command-r7b-12-2024",
        "command-r-plus-08-2024",
        "command-r-08-2024",
    )
    api_key_env = ("CO_API_KEY", "COHERE_API_KEY")
    base_url_env = "CO_API_URL"
    rank = 15
    stream_usage = False
    params: ClassVar[Mapping[str, str]] = {
        "frequency_penalty": "frequency_penalty",
        "logprobs": "logprobs",
        "max_tokens": "max_tokens",
        "presence_penalty": "presence_penalty",
        "reasoning_effort": "thinking",
        "response_format": "response_format",
        "seed": "seed",
        "stop": "stop_sequences",
        "temperature": "temperature",
        "top_k": "k",
        "top_p": "p",
    }
    effort_style = "cohere"
    tool_choice_style = "cohere"
    takes_service_tools = False

    def parse_event(self, event: Event) -> Any:
        if event.data.startswith("[DONE]"):
            return Finish(last=True)
        try:
            record = event.json()
        except ValueError:
            return parse_unreadable(self, event)
        event_type = record.get("type") if isinstance(record, dict) else None
        if event_type in _DELTAS:
            entries = [record["logprobs"]] if record.get("logprobs") else []
            return [*_parse_message(record["delta"]["message"], record.get("index")), *_parse_logprobs(entries)]
        if event_type == "message-end":
            return list(self._parse_ending(record["delta"]))
        if event_type is None and "message" in record and "finish_reason" in record:
            tokens = _parse_logprobs(record.get("logprobs"))
            return [*_parse_message(record["message"], None), *tokens, *self._parse_ending(record)]
        check_error(self, event, record)
        if event_type is None and isinstance(record, dict) and isinstance(record.get("message"), str):
            # An error as the API sends it with other statuses; any other record without a type is a sign of life.
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        return None

    def _parse_ending(self, ending: Mapping[str, Any]) -> Iterator[Any]:
        if ending.get("error"):
            raise classify.event_error({"error": ending["error"]}, provider=self.name, rules=self.rules)
        yield from _parse_usage(ending.get("usage"))
        reason = ending.get("finish_reason") or "stop"
        yield Finish(_FINISH_REASONS.get(reason, reason))

    def _response_format(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "json_object", "json_schema": schema}


def _parse_logprobs(entries: Any) -> Iterable[Logprobs]:
    return logprobs.parse_texts(entries) if entries else ()


def _parse_message(message: Mapping[str, Any], index: int | None) -> Iterator[Any]:
    if message.get("tool_plan"):
        yield Reasoning(message["tool_plan"])
    for part in _as_list(message.get("content")):
        if part.get("thinking"):
            yield Reasoning(part["thinking"])
        yield part.get("text") or ""
    for call in _as_list(message.get("tool_calls")):
        function = call.get("function") or {}
        yield ToolCallPart(index, call.get("id") or "", function.get("name") or "", function.get("arguments") or "")
    for citation in dicts_in(_as_list(message.get("citations"))):
        for source in dicts_in(citation.get("sources")):
            document = dict_or_empty(source.get("document"))
            if document.get("url"):
                yield Citation(document["url"], document.get("title") or "")


def _as_list(value: Any) -> list[Any]:
    # A stream has one per event, a complete answer a list.
    return value if isinstance(value, list) else [value] if value else []


def _parse_usage(usage: Any) -> Iterator[Usage | Bill]:
    if not isinstance(usage, Mapping):
        return
    processed, billed = (
        {name: parse_count(counts.get(name)) for name in ("input_tokens", "output_tokens")}
        if (counts := usage.get(field)) and isinstance(counts, Mapping)
        else {}
        for field in ("tokens", "billed_units")
    )
    yield Usage(**(processed or billed), cached_tokens=parse_count(usage.get("cached_tokens")))
    # Fewer tokens may be billed than were processed.
    yield Bill(billed_input=billed.get("input_tokens"), billed_output=billed.get("output_tokens"))
