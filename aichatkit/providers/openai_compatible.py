"""OpenAI's chat completions protocol, which most services speak.

A service is a subclass, or a row of `services`, that sets name and URL; its differences are class attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import requests

from aichatkit._lazy import lazy_module
from aichatkit.chunks import Answered, Finish, ToolCall, Whole, dicts_in
from aichatkit.classification import classify
from aichatkit.events import Event, sniffing
from aichatkit.messages import Content, File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import NO_OPTIONS, Options, Provider
from aichatkit.providers.openai_records import (
    find_tier,
    find_usage,
    has_content,
    parse_citations,
    parse_message,
)
from aichatkit.providers.openai_usage import parse_usage
from aichatkit.providers.request_bodies import (
    add_options,
    audio_format,
    build_tool,
    call_id,
    encode_base64,
    exact_record,
    file_uri,
    set_path,
    stream_headers,
    text_of_file,
    unsupported_file_error,
)

if TYPE_CHECKING:
    from aichatkit import _json
    from aichatkit.prompt_caching.plan import CachePlan
    from aichatkit.providers import (
        cache_keys,
        cache_marks,
        image_fields,
        logprobs,
        odd_events,
        openai_images,
        openai_signatures,
        routes,
    )
    from aichatkit.structured import dialects
else:
    _json = lazy_module("aichatkit._json")
    dialects = lazy_module("aichatkit.structured.dialects")
    openai_signatures = lazy_module("aichatkit.providers.openai_signatures")
    cache_keys = lazy_module("aichatkit.providers.cache_keys")
    cache_marks = lazy_module("aichatkit.providers.cache_marks")
    # Few streams have odd events, and few models generate images.
    image_fields = lazy_module("aichatkit.providers.image_fields")
    odd_events = lazy_module("aichatkit.providers.odd_events")
    openai_images = lazy_module("aichatkit.providers.openai_images")
    routes = lazy_module("aichatkit.providers.routes")
    logprobs = lazy_module("aichatkit.providers.logprobs")

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
    tool_choice_style = "openai"
    takes_service_tools = True
    iter_events = staticmethod(sniffing.iter_sse_or_json)
    params: ClassVar[Mapping[str, str]] = {name: name for name in _PARAMS.split()}
    #: Parameter names that differ, used at the service's own URL and for its own reasoning models only.
    own_params: ClassVar[Mapping[str, str]] = {}
    #: Roles that have another name at the service.
    roles: ClassVar[Mapping[str, str]] = {"developer": "system"}
    #: Whether the service supports `stream_options`, which requests usage at the end of a stream.
    stream_usage: ClassVar[bool] = True
    #: Whether structured output can be streamed.
    streams_schema: ClassVar[bool] = True
    #: Regular expression for the ids of tool calls that the service takes.
    call_ids: ClassVar[str] = r"[\s\S]{1,40}"
    #: Whether the service caches prompts only if the request has a `prompt_cache_key`; sent to its own URL only.
    needs_cache_key: ClassVar[bool] = False
    #: The name of the class in `routes` for the endpoint that runs tools of the service, if it is not this one.
    service_tools_route: ClassVar[str] = ""
    #: Whether the model's reasoning must be sent back with tool results.
    wants_reasoning: ClassVar[bool] = False

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        if self.draws(model):
            return openai_images.build_request(self, messages, model, options)
        payload = {"model": model, "messages": [self._build_message(message) for message in messages], "stream": True}
        if options.tools:
            payload["tools"] = [build_tool(tool) for tool in options.tools]
        if options.schema is not None:
            payload["response_format"] = self._response_format(options.schema)
            payload["stream"] = self.streams_schema
        if self.stream_usage and payload["stream"]:
            payload["stream_options"] = {"include_usage": True}
        plan = options.cache
        if self.needs_cache_key and self.url == type(self).url and not (plan is not None and plan.is_off):
            payload["prompt_cache_key"] = cache_keys.cache_key(payload)
        if plan is not None:
            self._use_cache(payload, plan)
        if options.image is not None:
            for path, value in image_fields.image_fields(self, options.image).items():
                set_path(payload, path, value)
        # Behind another address, a model of the service's own still has the service's names.
        has_own_names = self.url == type(self).url or "effort" in options.record
        names = {**self.params, **self.own_params} if has_own_names else self.params
        body = add_options(payload, names, options, provider=self, model=model)
        headers = stream_headers(self, options)
        if plan is not None and plan.key and self.cache_style == "xai":
            headers["x-grok-conv-id"] = plan.key
        return requests.Request("POST", self.api_endpoint, json=body, headers=headers)

    @classmethod
    def for_service_tools(cls, model: str) -> type[Provider] | None:
        return routes.find_route(cls.service_tools_route) if cls.service_tools_route else None

    def _use_cache(self, payload: dict[str, Any], plan: CachePlan) -> None:
        """Add to a body what the plan for the prompt cache asks for."""
        if self.cache_style == "claude":
            cache_marks.mark_parts(payload["messages"], plan, control=True)
        elif self.cache_style == "openai":
            cache_marks.mark_openai(payload, payload["messages"], plan)

    def parse_event(self, event: Event) -> Any:
        try:
            record = event.json()
        except ValueError:
            if event.data.startswith("[DONE]"):
                return Finish(last=True)
            return odd_events.parse_unreadable(self, event)
        # Fast path: text and nothing else, the bulk of every stream.
        try:
            choice = record["choices"][0]
            delta = choice["delta"]
            text = delta["content"]
            if (
                text.__class__ is str
                and text
                and event.type != "json"
                and (len(delta) == 1 or (len(delta) == 2 and "role" in delta))
                and not choice.get("finish_reason")
                and not choice.get("index")
                and not choice.get("logprobs")
                and not record.get("usage")
                and "error" not in record
                and "error" not in choice
                and "citations" not in record
                and "search_results" not in record
            ):
                return text
        except (LookupError, TypeError):
            pass
        return self._parse_record(exact_record(event), event.type)

    def _parse_record(self, record: Any, event_type: str) -> list[Any]:
        status = record.get("base_resp") if isinstance(record, dict) else None
        error_code = status.get("status_code") if isinstance(status, dict) else None
        if isinstance(status, dict) and error_code:
            error = {"error": {"code": error_code, "message": status.get("status_msg")}}
            raise classify.event_error(error, provider=self.name, rules=self.rules)
        if event_type == "error" or classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        if event_type == "json" and isinstance(record.get("data"), list) and "choices" not in record:
            return openai_images.parse_pictures(record)
        # More than one choice is sent only if `extra` requests it; the first is the answer.
        choices = [choice for choice in dicts_in(record.get("choices")) if not choice.get("index")][:1]
        if choices and classify.find_error(choices[0]) is not None:
            raise classify.event_error(choices[0], provider=self.name, rules=self.rules)
        model, id = record.get("model"), record.get("id")
        return [
            *([Answered(model, id if isinstance(id, str) else "")] if model and isinstance(model, str) else ()),
            *(chunk for choice in choices for chunk in self._parse_choice(choice, event_type)),
            *parse_citations(record),
            *parse_usage(find_usage(record, choices), tier=find_tier(record)),
            # A JSON document that parses is complete; some bridges send it without a finish reason.
            *([Finish()] if event_type == "json" else ()),
        ]

    def _parse_choice(self, choice: Mapping[str, Any], event_type: str) -> Iterator[Any]:
        delta, message = (value if isinstance(value, dict) else {} for value in map(choice.get, ("delta", "message")))
        if event_type == "json":
            # A service that does not stream, or not this time, sends the complete message.
            yield from parse_message(message if has_content(message) else delta, is_whole=True)
        else:
            yield from parse_message(delta)
            if message and not has_content(delta):
                yield Whole(tuple(parse_message(message, is_whole=True, repeats=True)))
        if choice.get("logprobs"):
            yield from logprobs.parse_entries(logprobs.entries_of(choice["logprobs"]))
        reason = choice.get("finish_reason")
        if reason:
            yield Finish(_FINISH_REASONS.get(reason, reason))

    def _build_message(self, message: Message) -> dict[str, Any]:
        if isinstance(message, ToolResultMessage):
            call = call_id(message.call, self.call_ids)
            return {"role": "tool", "tool_call_id": call, "content": message.text}
        role = self.roles.get(message.role, message.role)
        payload = {"role": role, "content": self._build_content(message.content)}
        if isinstance(message, ToolCallsMessage):
            payload["content"] = payload["content"] or None
            payload["tool_calls"] = [self._build_call(call) for call in message.calls]
            payload.update(self._build_details(message))
            if self.wants_reasoning and message.reasoning:
                payload["reasoning_content"] = message.reasoning
        return payload

    def _build_call(self, call: ToolCall) -> dict[str, Any]:
        function = {"name": call.name, "arguments": _json.dumps(call.arguments)}
        built = {"id": call_id(call, self.call_ids), "type": "function", "function": function}
        return {**built, **openai_signatures.signed_fields(call, provider=self.name)}

    def _build_details(self, message: ToolCallsMessage) -> dict[str, Any]:
        """Return the fields with the signed reasoning of a turn, in the order in which it came."""
        fields: dict[str, Any] = {}
        for thought in message.thoughts:
            for name, value in openai_signatures.signed_fields(thought, provider=self.name).items():
                fields[name] = [*fields.get(name, ()), *value] if isinstance(value, list) else value
        merge = openai_signatures.merge_details
        return {name: merge(value) if isinstance(value, list) else value for name, value in fields.items()}

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
        strict = dialects.strict(schema)
        named = {"name": "answer", "schema": strict or schema, "strict": strict is not None}
        return {"type": "json_schema", "json_schema": named}
