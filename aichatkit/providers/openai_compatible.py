"""The protocol of OpenAI's chat completions, which most services speak.

A service is a subclass that sets names and addresses; what it does differently is data on the class.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import requests

from aichatkit import classify, sniffing
from aichatkit.chunks import Answered, Citation, Finish, Reasoning, ToolCallPart, Usage
from aichatkit.events import Event
from aichatkit.messages import Message
from aichatkit.providers.base import Options, Provider

__all__ = ["OpenAICompatible"]

_NO_OPTIONS = Options()
_PARAMS = """
    frequency_penalty logit_bias logprobs max_tokens parallel_tool_calls presence_penalty reasoning_effort
    response_format seed stop temperature top_logprobs top_p user verbosity
"""

#: Words of the services for why an answer ended -> one vocabulary; a word that is not here stays as it is.
_REASONS = {
    "function_call": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "eos": "stop",
    "sensitive": "content_filter",
    "network_error": "error",
}


class OpenAICompatible(Provider):
    """Chat with any service that speaks OpenAI's chat completions."""

    path = "/chat/completions"
    models_path = "/models"
    requires_end = True
    iter_events = staticmethod(sniffing.iter_sse_or_json)
    params: ClassVar[Mapping[str, str]] = {name: name for name in _PARAMS.split()}
    #: Whether the service takes `stream_options`, which asks for usage at the end of a stream.
    stream_usage: ClassVar[bool] = True

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = _NO_OPTIONS
    ) -> requests.Request:
        payload: dict[str, Any] = {
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "stream": True,
        }
        if self.stream_usage:
            payload["stream_options"] = {"include_usage": True}
        payload.update({self.params[name]: value for name, value in options.params.items()})
        return requests.Request("POST", self.api_endpoint, json=payload, headers={"Accept": "text/event-stream"})

    def parse_event(self, event: Event) -> Any:
        try:
            record = event.json()
        except ValueError:
            if event.data.startswith("[DONE]"):
                return Finish(last=True)
            if not event.data.strip():
                return None
            if event.type == "error":
                raise classify.event_error({"error": event.data}, provider=self.name, rules=self.rules) from None
            raise
        # The usual piece, one text and nothing else, must cost next to nothing.
        try:
            choice = record["choices"][0]
            delta = choice["delta"]
            text = delta["content"]
            if (
                text.__class__ is str
                and len(delta) == 1
                and not choice.get("finish_reason")
                and not record.get("usage")
                and "error" not in record
            ):
                return text
        except (LookupError, TypeError):
            pass
        return self._parse_record(record, event.type)

    def _parse_record(self, record: Any, kind: str) -> list[Any]:
        if kind == "error" or classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        return [
            *([Answered(record["model"])] if record.get("model") else ()),
            *(chunk for choice in (record.get("choices") or ())[:1] for chunk in _parse_choice(choice)),
            *_parse_citations(record),
            *_parse_usage(record.get("usage") or (record.get("x_groq") or {}).get("usage")),
            # A whole document has shown its end by being readable; some bridges send it without a reason.
            *([Finish()] if kind == "json" else ()),
        ]


def _parse_choice(choice: Mapping[str, Any]) -> Iterator[Any]:
    # A service that does not stream, or does not stream this time, sends the whole message.
    message = choice.get("delta") or choice.get("message") or {}
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str):
        yield Reasoning(reasoning)
    yield from _parse_content(message.get("content"))
    if message.get("refusal"):
        yield str(message["refusal"])
    for call in message.get("tool_calls") or ():
        yield _parse_call(call)
    reason = choice.get("finish_reason")
    if reason:
        yield Finish(_REASONS.get(reason, reason))


def _parse_content(content: Any) -> Iterator[Any]:
    if isinstance(content, str):
        yield content
        return
    for part in content or ():
        if part.get("type") == "thinking":
            yield Reasoning("".join(piece.get("text", "") for piece in part.get("thinking") or ()))
        else:
            yield str(part.get("text") or "")


def _parse_call(call: Mapping[str, Any]) -> ToolCallPart:
    function = call.get("function") or {}
    arguments = function.get("arguments") or ""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return ToolCallPart(call.get("index"), call.get("id") or "", function.get("name") or "", arguments)


def _parse_citations(record: Mapping[str, Any]) -> Iterator[Citation]:
    for source in record.get("citations") or ():
        yield Citation(source) if isinstance(source, str) else Citation(source["url"], source.get("title") or "")


def _parse_usage(usage: Mapping[str, Any] | None) -> Iterator[Usage]:
    if usage:
        yield Usage(
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
            total_tokens=usage.get("total_tokens"),
            cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
            reasoning_tokens=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
        )
