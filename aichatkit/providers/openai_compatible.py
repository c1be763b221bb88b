"""The protocol of OpenAI's chat completions, which most services speak.

A service is a subclass, or a row of `services`, that sets names and addresses; what it does differently is data on
the class.
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
from aichatkit.providers.base import Options, Provider, Tool
from aichatkit.providers.openai_records import find_usage, parse_message, parse_sources, parse_usage
from aichatkit.providers.request_bodies import (
    add_options,
    audio_format,
    encoded,
    file_uri,
    is_strict,
    refused_file,
    text_of_file,
)

if TYPE_CHECKING:
    from aichatkit.providers import openai_images
else:
    # Few models draw.
    openai_images = lazy_module("aichatkit.providers.openai_images")

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
    takes_files = frozenset({"image", "text"})
    takes_tools = True
    takes_schema = True
    iter_events = staticmethod(sniffing.iter_sse_or_json)
    params: ClassVar[Mapping[str, str]] = {name: name for name in _PARAMS.split()}
    #: Names of parameters that differ at the service's own address; a server behind `base_url` may not know them.
    own_params: ClassVar[Mapping[str, str]] = {}
    #: Roles the service calls otherwise.
    roles: ClassVar[Mapping[str, str]] = {"developer": "system"}
    #: Whether the service takes `stream_options`, which asks for usage at the end of a stream.
    stream_usage: ClassVar[bool] = True
    #: Whether an answer that has to fit a schema can be streamed.
    streams_schema: ClassVar[bool] = True
    #: Whether a stream ends with the whole message once more.
    repeats_message: ClassVar[bool] = False
    #: Whether the model's thoughts have to come back with what its tools returned.
    wants_reasoning: ClassVar[bool] = False

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = _NO_OPTIONS
    ) -> requests.Request:
        told = {name: options.tokens[name] for name in self.settings_env if name in options.tokens}
        headers = {"Accept": "text/event-stream", **self.headers, **told}
        if self.draws(model):
            payload = openai_images.build_payload(messages, model, options, provider=self.name)
            return requests.Request("POST", self.url + openai_images.PATH, json=payload, headers=headers)
        payload = {"model": model, "messages": [self._turn(message) for message in messages], "stream": True}
        if options.tools:
            payload["tools"] = [_function(tool) for tool in options.tools]
        if options.schema is not None:
            payload["response_format"] = self._answer_format(options.schema)
            payload["stream"] = self.streams_schema
        if self.stream_usage and payload["stream"]:
            payload["stream_options"] = {"include_usage": True}
        names = {**self.params, **self.own_params} if self.url == type(self).url else self.params
        return requests.Request("POST", self.api_endpoint, json=add_options(payload, names, options), headers=headers)

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

    def _parse_record(self, record: Any, kind: str) -> list[Any]:
        failed = (record.get("base_resp") or {}).get("status_code") if isinstance(record, dict) else None
        if failed:
            raise classify.event_error(
                {"error": {"code": failed, "message": record["base_resp"].get("status_msg")}},
                provider=self.name,
                rules=self.rules,
            )
        if kind == "error" or classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        if kind == "json" and "data" in record and "choices" not in record:
            return openai_images.parse_pictures(record)
        # More than one choice comes only to who asks for it by hand; the first is the answer.
        choices = [choice for choice in record.get("choices") or () if not choice.get("index")][:1]
        return [
            *([Answered(record["model"], record.get("id") or "")] if record.get("model") else ()),
            *(chunk for choice in choices for chunk in self._parse_choice(choice, kind)),
            *parse_sources(record),
            *parse_usage(find_usage(record, choices)),
            # A whole document has shown its end by being readable; some bridges send it without a reason.
            *([Finish()] if kind == "json" else ()),
        ]

    def _parse_choice(self, choice: Mapping[str, Any], kind: str) -> Iterator[Any]:
        message = choice.get("delta") or {}
        # A service that does not stream, or does not stream this time, sends the whole message.
        if not message and (kind == "json" or not self.repeats_message):
            message = choice.get("message") or {}
        yield from parse_message(message)
        reason = choice.get("finish_reason")
        if reason:
            yield Finish(_REASONS.get(reason, reason))

    def _turn(self, message: Message) -> dict[str, Any]:
        if isinstance(message, ToolResultMessage):
            call = message.call
            return {"role": "tool", "tool_call_id": call.id or call.name, "content": message.text}
        turn = {"role": self.roles.get(message.role, message.role), "content": self._content(message.content)}
        if isinstance(message, ToolCallsMessage):
            turn["content"] = turn["content"] or None
            turn["tool_calls"] = [_call(call) for call in message.calls]
            if self.wants_reasoning and message.reasoning:
                turn["reasoning_content"] = message.reasoning
        return turn

    def _content(self, content: Content) -> Any:
        if isinstance(content, str):
            return content
        # A part that is not ours is the user's own, in the protocol's words.
        return [self._file_part(part["file"]) if isinstance(part.get("file"), File) else dict(part) for part in content]

    def _file_part(self, file: File) -> dict[str, Any]:
        if file.kind == "text" and file.data:
            return {"type": "text", "text": text_of_file(file)}
        if file.kind not in self.takes_files:
            raise refused_file(file, provider=self.name)
        if file.kind == "image":
            image = {"url": file_uri(file, provider=self.name), **({"detail": file.detail} if file.detail else {})}
            return {"type": "image_url", "image_url": image}
        if file.kind == "audio":
            sound = {"data": encoded(file, provider=self.name), "format": audio_format(file)}
            return {"type": "input_audio", "input_audio": sound}
        uri = file_uri(file, provider=self.name, by_address=False)
        return {"type": "file", "file": {"filename": file.name or "file", "file_data": uri}}

    def _answer_format(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": is_strict(schema)},
        }


def _function(tool: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call.id or call.name, "type": "function", "function": function}
