"""OpenAI Chat Completions, the protocol of most services."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from aichatkit.sandbox.exchange import APIError, Piece, Response, json_response, stream_response
from aichatkit.sandbox.pictures import png
from aichatkit.sandbox.prompt_caches import CacheUse
from aichatkit.sandbox.wires.base import Call, Route, parse_json, require_fields, sse_event
from aichatkit.sandbox.wires.cached_prompts import chat_prompt
from aichatkit.sandbox.wires.fields import check_fields, check_required, parse_fields, parse_required
from aichatkit.sandbox.wires.image_rules import data_uri, ratio_pixels, wants_images
from aichatkit.sandbox.wires.logprobs import Token, openai_entries, tokens_of
from aichatkit.sandbox.wires.model_rules import find_record
from aichatkit.sandbox.wires.openai import (
    ANY_BASE,
    OpenAIWire,
    check_model,
    content_text,
    has_files,
    refuse_field,
    refuse_missing,
    trailing_tool_results,
)
from aichatkit.sandbox.wires.outputs import ChatRequest, Output, ToolCall, build_output
from aichatkit.sandbox.wires.searches import link_annotations, refuse_combination

#: Also of compatible services.
_FIELDS = parse_fields(
    """
    number temperature:0..2 top_p:0..1 presence_penalty:-2..2 frequency_penalty:-2..2 min_p:0..1 repetition_penalty
    integer max_tokens:1.. max_completion_tokens:1.. seed n:1..128 top_logprobs:0..20 top_k random_seed
    boolean stream parallel_tool_calls store stream_options.include_usage
    flag logprobs
    stops stop
    string user prompt_cache_key response_format.json_schema.name tools.[].type tools.[].function.name
    string tools.[].function.description
    string tool_choice.type tool_choice.function.name messages.[].name messages.[].tool_call_id
    string messages.[].content.[].type messages.[].content.[].text messages.[].content.[].image_url.url
    string messages.[].tool_calls.[].type messages.[].tool_calls.[].id messages.[].tool_calls.[].function.name
    string messages.[].tool_calls.[].function.arguments
    object logit_bias stream_options response_format metadata prompt_cache_options
    enum prompt_cache_options.mode:implicit|explicit prompt_cache_options.ttl:30m|12h
    object response_format.json_schema response_format.json_schema.schema
    objects tools messages.[].tool_calls
    object messages.[].tool_calls.[].function
    object tools.[].function tools.[].function.parameters tool_choice.function
    choice tool_choice
    object web_search_options
    enum response_format.type:text|json_object|json_schema verbosity:low|medium|high
    enum reasoning_effort:none|minimal|low|medium|high|xhigh|max|default
    """
)
_REQUIRED = parse_required(
    """
    messages.[]{role=tool}: tool_call_id
    messages.[].content.[]: type
    messages.[].content.[]{type=text}: text
    messages.[].content.[].image_url: url
    messages.[].tool_calls.[]: id type
    messages.[].tool_calls.[]{type=function}: function
    messages.[].tool_calls.[].function: name arguments
    tools.[]: type
    tools.[]{type=function}: function
    tools.[].function: name
    tool_choice: type
    tool_choice{type=function}: function
    tool_choice.function: name
    response_format: type
    response_format{type=json_schema}: json_schema
    response_format.json_schema: name
    """
)
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class OpenAIChat(OpenAIWire):
    """Chat completions, streamed or not."""

    name = "openai"
    routes = (Route("POST", f"{ANY_BASE}/chat/completions", "chat"),)

    def chat(self, call: Call) -> Response:
        """Validate the request as the service does, then answer it."""
        self.check_address(call)
        self.check_key(call)
        record = parse_json(call.request)
        _validate(record)
        check_fields(record, _FIELDS, refuse_field)
        check_required(record, _REQUIRED, refuse_missing)
        effort = record.get("reasoning_effort")
        check_model(record, effort=effort, effort_path="reasoning_effort", endpoint="chat")
        _check_search(record)
        _check_logprobs(record)
        completion_id = "chatcmpl-" + self.digest(json.dumps(record))[:24]
        head = {"id": completion_id, "created": int(time.time()), "model": record["model"]}
        output = build_output(call, _chat_request(record))
        cached = call.use_cache(chat_prompt(record), output.prompt_tokens, output.output_tokens)
        completion = _Completion(head, output, cached, _tokens(record, output), _images(record))
        if not record.get("stream"):
            return completion.as_object()
        return completion.as_stream(with_usage=bool((record.get("stream_options") or {}).get("include_usage")))


class _Completion:
    """An answer, as a single object or as a stream."""

    def __init__(
        self,
        head: dict[str, Any],
        output: Output,
        cached: CacheUse,
        tokens: Sequence[Token] | None,
        images: list[dict[str, Any]],
    ) -> None:
        self.head = head
        self.output = output
        self.tokens = tokens
        self.images = images
        self.finish_reason = output.finish_reason("stop", "length", "tool_calls")
        self.annotations = [
            {"type": note.pop("type"), "url_citation": note} for note in link_annotations(output.search)
        ]
        self.usage: dict[str, Any] = {
            "prompt_tokens": cached.total,
            "completion_tokens": output.output_tokens,
            "total_tokens": cached.total + output.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": cached.read,
                "cache_write_tokens": cached.written,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {"reasoning_tokens": len(output.reasoning_parts), "audio_tokens": 0},
        }

    def as_object(self) -> Response:
        """Build the response as a single object."""
        message: dict[str, Any] = {"role": "assistant", "content": None if self.output.tool_calls else self.output.text}
        if self.output.reasoning_parts:
            message["reasoning_content"] = self.output.reasoning
        if self.images:
            message["images"] = self.images
        if self.annotations:
            message["annotations"] = self.annotations
        if self.output.tool_calls:
            message["tool_calls"] = [
                _tool_call(tool_call, json.dumps(tool_call.arguments)) for tool_call in self.output.tool_calls
            ]
        logprobs = None if self.tokens is None else _logprobs(self.tokens)
        choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": self.finish_reason}
        return json_response({**self.head, "object": "chat.completion", "choices": [choice], "usage": self.usage})

    def as_stream(self, *, with_usage: bool) -> Response:
        """Build the response as a stream of events."""
        pieces = [self._chunk({"role": "assistant", "content": ""}, phase="open")]
        pieces += [self._chunk({"reasoning_content": part}, phase="open") for part in self.output.reasoning_parts]
        for number, part in enumerate(self.output.text_parts):
            token = self.tokens[number : number + 1] if self.tokens is not None else None
            pieces.append(self._chunk({"content": part}, tokens=token))
        pieces += [self._chunk({"images": [image]}) for image in self.images]
        for index, tool_call in enumerate(self.output.tool_calls):
            pieces.append(self._chunk({"tool_calls": [{"index": index, **_tool_call(tool_call, "")}]}))
            deltas = [{"index": index, "function": {"arguments": part}} for part in tool_call.argument_parts]
            pieces += [self._chunk({"tool_calls": [entry]}) for entry in deltas]
        # Without any text, and late.
        pieces += [self._chunk({"annotations": self.annotations})] if self.annotations else []
        pieces.append(self._chunk({}, phase="finish", finish_reason=self.finish_reason))
        if with_usage:
            pieces.append(self._piece([], "finish", usage=self.usage))
        return stream_response("text/event-stream; charset=utf-8", [*pieces, Piece(b"data: [DONE]\n\n", "done")])

    def _chunk(
        self,
        delta: dict[str, Any],
        *,
        phase: str = "text",
        finish_reason: str | None = None,
        tokens: Sequence[Token] | None = None,
    ) -> Piece:
        logprobs = None if tokens is None else _logprobs(tokens)
        return self._piece([{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}], phase)

    def _piece(self, choices: list[dict[str, Any]], phase: str, **extra: Any) -> Piece:
        return Piece(sse_event({**self.head, "object": "chat.completion.chunk", "choices": choices, **extra}), phase)


def _validate(record: dict[str, Any]) -> None:
    if not isinstance(record.get("model"), str) or not record["model"]:
        raise APIError("bad-request", "you must provide a model parameter")
    require_fields(record, [("messages", list)])
    if not record["messages"]:
        raise APIError("bad-request", "[] is too short - 'messages'")
    for number, message in enumerate(record["messages"]):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise APIError("bad-request", f"Invalid value for 'role'. Supported values are: {', '.join(_ROLES)}.")
        if not isinstance(message.get("content"), (str, list, type(None))):
            raise APIError("bad-request", "Invalid type for 'content': expected a string or an array of objects.")
        if message.get("content") is None and message["role"] != "assistant":
            raise APIError("bad-request", "Invalid value for 'content': expected a string, got null.")
        _require_parts(f"messages[{number}].content", message.get("content"))
        if message["role"] == "tool" and has_files(message.get("content")):
            problem = f"Invalid 'messages[{number}]'. Image URLs are only allowed for messages with role 'user', "
            raise APIError("bad-request", f"{problem}but this message with role 'tool' contains an image URL.")


def _require_parts(path: str, content: Any) -> None:
    for number, part in enumerate(content if isinstance(content, list) else ()):
        where, value = f"{path}[{number}]", part
        if isinstance(part, dict) and part.get("type") == "image_url":
            where, value = f"{where}.image_url", part.get("image_url")
        if not isinstance(value, dict):
            got = json.dumps(value)[:60]
            message = f"Invalid type for '{where}': expected an object, but got {got} instead."
            raise APIError("bad-request", message, code="invalid_type")


def _chat_request(record: dict[str, Any]) -> ChatRequest:
    messages = record["messages"]
    functions = [tool.get("function", {}) for tool in record.get("tools") or () if "function" in tool]
    choice = record.get("tool_choice")
    named = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    tool_choice = named or {"required": "*"}.get(str(choice))
    response_format = record.get("response_format") or {}
    schemas = {"json_object": {}, "json_schema": response_format.get("json_schema", {}).get("schema", {})}
    return ChatRequest(
        turns=[content_text(message.get("content")) for message in messages if message["role"] == "user"],
        tools={str(function.get("name")): function.get("parameters", {}) for function in functions},
        tool_choice=tool_choice,
        tool_results=trailing_tool_results(messages),
        schema=schemas.get(response_format.get("type", "")),
        max_tokens=record.get("max_completion_tokens") or record.get("max_tokens"),
        searches=_searches(record),
        adds_links=True,
    )


def _searches(record: dict[str, Any]) -> bool:
    types = [tool.get("type") for tool in record.get("tools") or ()]
    return "web_search_options" in record or "openrouter:web_search" in types


def _check_search(record: dict[str, Any]) -> None:
    if "search_parameters" in record:
        raise APIError("not-found", "Live search is deprecated. Please switch to the Agent Tools API.", status=410)
    model = find_record("openai", record["model"])
    refuse_combination(
        "web_search_options" in record and model and "-search" not in record["model"],
        "Web search options not supported with this model.",
    )
    types = [str(tool.get("type", "function")) for tool in record.get("tools") or ()]
    unknown = [name for name in types if name.startswith("web_search")]
    refuse_combination(
        unknown, f"Invalid value: '{'; '.join(unknown)}'. Supported values are: 'function' and 'custom'."
    )


def _check_logprobs(record: dict[str, Any]) -> None:
    if record.get("top_logprobs") is not None and not record.get("logprobs"):
        message = "The 'logprobs' parameter must be set to true when 'top_logprobs' is set."
        raise APIError("bad-request", message, param="top_logprobs")


def _tokens(record: dict[str, Any], output: Output) -> list[Token] | None:
    """Return the tokens of the text with their alternatives, None if they are not asked for."""
    logprobs = record.get("logprobs")
    if not logprobs or output.tool_calls:
        return None
    # Compatible services take the number of alternatives here.
    count = record.get("top_logprobs") or (0 if logprobs is True else logprobs)
    return tokens_of(output.text_parts, count)


def _images(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the image that a gateway adds to the message of a model that generates images."""
    if not wants_images(record.get("modalities")):
        return []
    layout = record.get("image_config") or {}
    size = ratio_pixels(layout.get("aspect_ratio"), layout.get("image_size"))
    name = json.dumps(record["messages"], sort_keys=True)
    return [{"type": "image_url", "index": 0, "image_url": {"url": data_uri(png(name, size or 16))}}]


def _logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    return {"content": openai_entries(tokens), "refusal": None}


def _tool_call(tool_call: ToolCall, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{tool_call.id}",
        "type": "function",
        "function": {"name": tool_call.name, "arguments": arguments},
    }
