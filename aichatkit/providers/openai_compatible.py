"""OpenAI's chat completions protocol, which most services speak.

A service is a subclass, or a row of `services`, that sets name and URL; its differences are class attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import requests

from aichatkit._lazy import lazy_module
from aichatkit.chunks import Answered, Finish, ToolCall
from aichatkit.classification import classify
from aichatkit.events import Event, sniffing
from aichatkit.messages import Content, File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import NO_OPTIONS, Options, Provider
from aichatkit.providers.openai_records import find_tier, find_usage, parse_citations, parse_message
from aichatkit.providers.openai_usage import parse_usage
from aichatkit.providers.request_bodies import (
    add_options,
    audio_format,
    build_tool,
    call_id,
    encode_base64,
    file_uri,
    is_strict,
    stream_headers,
    text_of_file,
    unsupported_file_error,
)

if TYPE_CHECKING:
    from aichatkit.providers import openai_images
else:
    # Few models generate images.
    openai_images = lazy_module("aichatkit.providers.openai_images")

__all__ = ["OpenAICompatible"]

_PARAMS = """
    frequency_penalty logit_bias logprobs max_tokens parallel_tool_calls presence_penalty reasoning_effort
    response_format seed stop temperature top_logprobs top_p user verbosity
"""

#: Finish reasons of the services -> one vocabulary; any other reason is passed on unchanged.
_FINISH_REASONS = {
    "function_call": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "eos": "stop",
    "sensitive": "content_filter",
    "network_error": "error",
}


class OpenAICompatible(Provider):
    """Chat with any service that speaks OpenAI's chat completions protocol."""

    path = "/chat/completions"
    models_path = "/models"
    requires_end = True
    takes_files = frozenset({"image", "text"})
    takes_tools = True
    takes_schema = True
    iter_events = staticmethod(sniffing.iter_sse_or_json)
    params: ClassVar[Mapping[str, str]] = {name: name for name in _PARAMS.split()}
    #: Parameter names that differ, used only at the service's own URL: servers at other URLs may not know them.
    own_params: ClassVar[Mapping[str, str]] = {}
    #: Roles that have another name at the service.
    roles: ClassVar[Mapping[str, str]] = {"developer": "system"}
    #: Whether the service supports `stream_options`, which requests usage at the end of a stream.
    stream_usage: ClassVar[bool] = True
    #: Whether structured output can be streamed.
    streams_schema: ClassVar[bool] = True
    #: Whether a stream ends with a repetition of the complete message.
    repeats_message: ClassVar[bool] = False
    #: Whether the model's reasoning must be sent back with tool results.
    wants_reasoning: ClassVar[bool] = False

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        if self.draws(model):
            payload = openai_images.build_payload(messages, model, options, provider=self.name)
            headers = stream_headers(self, options)
            return requests.Request("POST", self.url + openai_images.PATH, json=payload, headers=headers)
        payload = {"model": model, "messages": [self._build_message(message) for message in messages], "stream": True}
        if options.tools:
            payload["tools"] = [build_tool(tool) for tool in options.tools]
        if options.schema is not None:
            payload["response_format"] = self._response_format(options.schema)
            payload["stream"] = self.streams_schema
        if self.stream_usage and payload["stream"]:
            payload["stream_options"] = {"include_usage": True}
        names = {**self.params, **self.own_params} if self.url == type(self).url else self.params
        body = add_options(payload, names, options, provider=self, model=model)
        headers = stream_headers(self, options)
        return requests.Request("POST", self.api_endpoint, json=body, headers=headers)

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
        # Fast path: text and nothing else, the bulk of every stream.
        try:
            choice = record["choices"][0]
            delta = choice["delta"]
            text = delta["content"]
            if (
                text.__class__ is str
                and (len(delta) == 1 or (len(delta) == 2 and "role" in delta))
                and not choice.get("finish_reason")
                and not choice.get("index")
                and not record.get("usage")
                and "error" not in record
            ):
                return text
        except (LookupError, TypeError):
            pass
        return self._parse_record(record, event.type)

    def _parse_record(self, record: Any, event_type: str) -> list[Any]:
        error_code = (record.get("base_resp") or {}).get("status_code") if isinstance(record, dict) else None
        if error_code:
            raise classify.event_error(
                {"error": {"code": error_code, "message": record["base_resp"].get("status_msg")}},
                provider=self.name,
                rules=self.rules,
            )
        if event_type == "error" or classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        if event_type == "json" and "data" in record and "choices" not in record:
            return openai_images.parse_pictures(record)
        # More than one choice is sent only if `extra` requests it; the first is the answer.
        choices = [choice for choice in record.get("choices") or () if not choice.get("index")][:1]
        return [
            *([Answered(record["model"], record.get("id") or "")] if record.get("model") else ()),
            *(chunk for choice in choices for chunk in self._parse_choice(choice, event_type)),
            *parse_citations(record),
            *parse_usage(find_usage(record, choices), tier=find_tier(record)),
            # A JSON document that parses is complete; some bridges send it without a finish reason.
            *([Finish()] if event_type == "json" else ()),
        ]

    def _parse_choice(self, choice: Mapping[str, Any], event_type: str) -> Iterator[Any]:
        message = choice.get("delta") or {}
        # A service that does not stream, or not this time, sends the complete message.
        if not message and (event_type == "json" or not self.repeats_message):
            message = choice.get("message") or {}
        yield from parse_message(message)
        reason = choice.get("finish_reason")
        if reason:
            yield Finish(_FINISH_REASONS.get(reason, reason))

    def _build_message(self, message: Message) -> dict[str, Any]:
        if isinstance(message, ToolResultMessage):
            return {"role": "tool", "tool_call_id": call_id(message.call), "content": message.text}
        role = self.roles.get(message.role, message.role)
        payload = {"role": role, "content": self._build_content(message.content)}
        if isinstance(message, ToolCallsMessage):
            payload["content"] = payload["content"] or None
            payload["tool_calls"] = [_build_call(call) for call in message.calls]
            if self.wants_reasoning and message.reasoning:
                payload["reasoning_content"] = message.reasoning
        return payload

    def _build_content(self, content: Content) -> Any:
        if isinstance(content, str):
            return content
        # Any other part was passed by the user in the protocol's format.
        return [
            self._build_file(part["file"]) if isinstance(part.get("file"), File) else dict(part) for part in content
        ]

    def _build_file(self, file: File) -> dict[str, Any]:
        if file.kind == "text" and file.data:
            return {"type": "text", "text": text_of_file(file)}
        if file.kind not in self.takes_files:
            raise unsupported_file_error(file, provider=self.name)
        if file.kind == "image":
            image = {"url": file_uri(file, provider=self.name), **({"detail": file.detail} if file.detail else {})}
            return {"type": "image_url", "image_url": image}
        if file.kind == "audio":
            audio = {"data": encode_base64(file, provider=self.name), "format": audio_format(file)}
            return {"type": "input_audio", "input_audio": audio}
        uri = file_uri(file, provider=self.name, allow_url=False)
        return {"type": "file", "file": {"filename": file.name or "file", "file_data": uri}}

    def _response_format(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": is_strict(schema)},
        }


def _build_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call_id(call), "type": "function", "function": function}
