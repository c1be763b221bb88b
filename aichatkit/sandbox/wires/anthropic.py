"""Anthropic Messages: named events, and content blocks of text, thinking and tool use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, fragments, json_response, stream_response
from aichatkit.sandbox.prompt_caches import CacheUse
from aichatkit.sandbox.wires.anthropic_search import (
    check_search,
    count_searches,
    is_search,
    paused_search,
    search_blocks,
)
from aichatkit.sandbox.wires.base import Call, Route, Wire, parse_json, sse_event
from aichatkit.sandbox.wires.cached_prompts import anthropic_prompt
from aichatkit.sandbox.wires.fields import BadField, check_fields, check_required, parse_fields, parse_required
from aichatkit.sandbox.wires.model_rules import check_retired, find_record, sampling_of
from aichatkit.sandbox.wires.openai import MODELS, content_text
from aichatkit.sandbox.wires.outputs import ChatRequest, Output, build_output

_TYPES = {
    "unauthorized": (401, "authentication_error"),
    "forbidden": (403, "permission_error"),
    "not-found": (404, "not_found_error"),
    "model-not-found": (404, "not_found_error"),
    "too-large": (413, "request_too_large"),
    "rate-limit": (429, "rate_limit_error"),
    "quota": (400, "invalid_request_error"),
    "server-error": (500, "api_error"),
    "overloaded": (529, "overloaded_error"),
}
_MESSAGES = {
    "quota": "Your credit balance is too low to access the API. Please go to Plans & Billing.",
    "context-too-long": "prompt is too long: 9000 tokens > 8192 maximum",
    "content-filter": "Output blocked by content filtering policy",
    "overloaded": "Overloaded",
}


_FIELDS = parse_fields(
    """
    number temperature:0..1 top_p:0..1
    integer max_tokens:1.. top_k:0..
    boolean stream
    strings stop_sequences
    text system
    objects tools
    string model tools.[].name tools.[].description tool_choice.name tool_choice.type messages.[].role
    string messages.[].content.[].type messages.[].content.[].text messages.[].content.[].tool_use_id
    string messages.[].content.[].id messages.[].content.[].name system.[].type system.[].text
    object tools.[].input_schema tool_choice metadata thinking output_config output_format
    object output_config.format output_config.format.schema output_format.schema
    text messages.[].content messages.[].content.[].content
    object messages.[].content.[].source messages.[].content.[].input
    """
)
#: A tool without a type is one of the caller's.
_REQUIRED = parse_required(
    """
    messages.[].content.[]{type=text}: text
    messages.[].content.[]{type=image}: source
    messages.[].content.[]{type=document}: source
    messages.[].content.[]{type=tool_use}: id name input
    messages.[].content.[]{type=tool_result}: tool_use_id
    messages.[].content.[]{type=thinking}: thinking signature
    system.[]{type=text}: text
    tool_choice{type=tool}: name
    thinking{type=enabled}: budget_tokens
    """
)
_REQUIRED_OF_TOOL = parse_required("tools.[]: name input_schema")
#: Objects whose type decides which fields they have.
_TAGGED = parse_required(
    """
    messages.[].content.[]: type
    system.[]: type
    tool_choice: type
    thinking: type
    output_config.format: type
    output_format: type
    """
)
_EXPECTED = {
    "number": "a valid number",
    "integer": "a valid integer",
    "boolean": "a valid boolean",
    "string": "a valid string",
    "object": "a valid dictionary",
    "objects": "a valid list of dictionaries",
    "strings": "a valid list of strings",
    "text": "a valid string or list of dictionaries",
}


_TYPE_NAMES: dict[type, str] = {str: "string", int: "integer", list: "list"}


class Anthropic(Wire):
    """Messages and the model list, distinguished from OpenAI's by the version header."""

    name = "anthropic"
    routes: ClassVar[Sequence[Route]] = (
        Route("POST", "/v1/messages", "chat"),
        Route("GET", "/v1/models", "models", "models"),
    )

    def match(self, request: Request) -> tuple[Route | None, list[str]]:
        """Leave model list requests without the version header to OpenAI."""
        if request.path == "/v1/models" and "anthropic-version" not in request.headers:
            return None, []
        return super().match(request)

    def models(self, call: Call) -> Response:
        """List some models."""
        self.check_key(call)
        common = {"type": "model", "created_at": "2000-01-01T00:00:00Z", "lifecycle": "active"}
        entries = [{**common, "id": name, "display_name": name.title()} for name in MODELS]
        return json_response({"data": entries, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})

    def chat(self, call: Call) -> Response:
        """Validate the request as the service does, then answer with content blocks."""
        self.check_key(call)
        record = self.parse_record(call)
        _validate(record)
        check_fields(record, _FIELDS, _refuse_field)
        check_required(record, _TAGGED, _refuse_untagged)
        check_required(record, _REQUIRED, _refuse_missing)
        own = [None if tool.get("type", "custom") != "custom" else tool for tool in record.get("tools") or ()]
        check_required({"tools": own}, _REQUIRED_OF_TOOL, _refuse_missing)
        _check_model(record)
        check_search(record, self.digest)
        output = build_output(call, _chat_request(record))
        cached = call.use_cache(anthropic_prompt(record), output.prompt_tokens, output.output_tokens)
        message_id = "msg_" + self.digest(json.dumps(record))[:24]
        message = _message(message_id, record["model"], output, cached, resumes=paused_search(record))
        if not record.get("stream"):
            return json_response(message)
        return stream_response("text/event-stream; charset=utf-8", _events(message, output))

    def parse_record(self, call: Call) -> dict[str, Any]:
        """Return the body; the version of the API must be in the headers."""
        if "anthropic-version" not in call.request.headers:
            raise APIError("bad-request", "anthropic-version: header is required")
        return parse_json(call.request)

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build an error object with its type and the request id."""
        status, _ = _TYPES.get(error.reason, (error.status, ""))
        request_id = "req_" + self.digest(error.reason)[:20]
        record = {**_error_object(error), "request_id": request_id}
        return json_response(record, error.explicit_status or status, [("request-id", request_id), *error.headers])

    def error_event(self, error: APIError) -> bytes:
        """Build an error event."""
        return sse_event(_error_object(error), "error")

    def keep_alive(self) -> bytes:
        """Build a ping event."""
        return sse_event({"type": "ping"}, "ping")

    def check_key(self, call: Call) -> None:
        """Reject a call without a valid API key."""
        headers = call.request.headers
        key = headers.get("x-api-key") or headers.get("authorization", "").partition(" ")[2]
        if self.settings.api_keys is not None and key not in self.settings.api_keys:
            raise APIError("unauthorized", "invalid x-api-key")


def _error_object(error: APIError) -> dict[str, Any]:
    _, error_type = _TYPES.get(error.reason, (0, "invalid_request_error"))
    return {"type": "error", "error": {"type": error_type, "message": error.message_from(_MESSAGES)}}


def _refuse_field(bad: BadField) -> APIError:
    place = bad.path.replace("[", ".").replace("]", "")
    problem = f"Input should be {_EXPECTED[bad.field.kind]}"
    if bad.is_out_of_bounds:
        is_below = bad.field.low is not None and bad.value < bad.field.low
        side, bound = ("greater", bad.field.low) if is_below else ("less", bad.field.high)
        problem = f"Input should be {side} than or equal to {bound:g}"
    return APIError("bad-request", f"{place}: {problem}")


def _refuse_missing(place: str, name: str) -> APIError:
    path = place.replace("[", ".").replace("]", "")
    tag = ".custom" if path.startswith("tools.") else ""
    return APIError("bad-request", f"{path}{tag}.{name}: Field required")


def _refuse_untagged(place: str, name: str) -> APIError:
    path = place.replace("[", ".").replace("]", "")
    return APIError("bad-request", f"{path}: Unable to extract tag using discriminator '{name}'")


def _validate(record: dict[str, Any]) -> None:
    for name, type_ in (("model", str), ("max_tokens", int), ("messages", list)):
        if record.get(name) is None:
            raise APIError("bad-request", f"{name}: Field required")
        if not isinstance(record[name], type_):
            raise APIError("bad-request", f"{name}: Input should be a valid {_TYPE_NAMES[type_]}")
    if not record["messages"]:
        raise APIError("bad-request", "messages: at least one message is required")
    for index, message in enumerate(record["messages"]):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise APIError("bad-request", f"messages.{index}.role: Input should be 'user' or 'assistant'")
        if not message.get("content"):
            raise APIError("bad-request", f"messages.{index}: all messages must have non-empty content")


def _check_model(record: dict[str, Any]) -> None:
    known = find_record("anthropic", record["model"])
    check_retired(known, "model: {model}")
    name = sampling_of(known, record, defaults=(1,))
    if name is not None:
        raise APIError("bad-request", f"`{name}` is not supported by this model.")
    limit = known.get("max_out")
    if limit is not None and record["max_tokens"] > limit:
        raise APIError(
            "bad-request",
            f"max_tokens: {record['max_tokens']} > {limit}, which is the maximum allowed number of output tokens for "
            f"{record['model']}",
        )


def _chat_request(record: dict[str, Any]) -> ChatRequest:
    contents = [message["content"] for message in record["messages"] if message["role"] == "user"]
    results = [block for block in _blocks(record["messages"][-1]["content"]) if block.get("type") == "tool_result"]
    choice = record.get("tool_choice") or {}
    output_format = record.get("output_format") or (record.get("output_config") or {}).get("format") or {}
    return ChatRequest(
        turns=[text for text in map(content_text, contents) if text],
        tools={
            str(tool.get("name")): tool.get("input_schema", {})
            for tool in record.get("tools") or ()
            if not is_search(tool)
        },
        tool_choice={"tool": choice.get("name"), "any": "*"}.get(choice.get("type", "")),
        tool_results=[content_text(block.get("content")) for block in results],
        schema=output_format.get("schema"),
        max_tokens=record["max_tokens"],
        searches=any(map(is_search, record.get("tools") or ())),
    )


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _message(message_id: str, model: str, output: Output, cached: CacheUse, *, resumes: str = "") -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if output.reasoning_parts:
        content.append({"type": "thinking", "thinking": output.reasoning, "signature": "c2lnbmVk"})
    search = output.search
    if search is not None:
        content += search_blocks(search, resumes=resumes)
    elif output.text_parts:
        content.append({"type": "text", "text": output.text})
    content += [
        {"type": "tool_use", "id": f"toolu_{tool_call.id}", "name": tool_call.name, "input": tool_call.arguments}
        for tool_call in output.tool_calls
    ]
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "pause_turn"
        if search is not None and search.pauses
        else output.finish_reason("end_turn", "max_tokens", "tool_use"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": cached.total - cached.read - cached.written,
            "cache_creation_input_tokens": cached.written,
            "cache_read_input_tokens": cached.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": cached.written - cached.long_written,
                "ephemeral_1h_input_tokens": cached.long_written,
            },
            "output_tokens": output.output_tokens,
            "output_tokens_details": {"thinking_tokens": len(output.reasoning_parts)},
            "service_tier": "standard",
            **({"server_tool_use": count_searches(search)} if search is not None else {}),
        },
    }


def _events(message: dict[str, Any], output: Output) -> Iterator[Piece]:
    initial_usage = {**message["usage"], "output_tokens": 1}
    yield _piece("message_start", message={**message, "content": [], "stop_reason": None, "usage": initial_usage})
    yield _piece("ping")
    for index, block in enumerate(message["content"]):
        yield _piece("content_block_start", index=index, content_block=_without_content(block))
        for delta in _deltas(block, output):
            phase = "open" if block["type"] == "thinking" else "text"
            yield _piece("content_block_delta", phase, index=index, delta=delta)
        yield _piece("content_block_stop", "finish", index=index)
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    counts = {name: message["usage"][name] for name in ("server_tool_use",) if name in message["usage"]}
    usage = {"output_tokens": output.output_tokens, **counts}
    yield _piece("message_delta", "finish", delta=ending, usage=usage)
    yield _piece("message_stop", "done")


def _piece(name: str, phase: str = "open", **fields: Any) -> Piece:
    return Piece(sse_event({"type": name, **fields}, name), phase)


def _without_content(block: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"thinking": "", "signature": "", "text": "", "input": {}}
    if "citations" in block:
        empty["citations"] = []
    return {**block, **{key: value for key, value in empty.items() if key in block}}


def _deltas(block: dict[str, Any], output: Output) -> Iterator[dict[str, Any]]:
    if block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": part} for part in output.reasoning_parts)
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "server_tool_use":
        text = json.dumps(block["input"])
        yield from ({"type": "input_json_delta", "partial_json": text[i : i + 6]} for i in range(0, len(text), 6))
    elif block["type"] == "web_search_tool_result":
        return
    elif "citations" in block:
        yield from ({"type": "citations_delta", "citation": citation} for citation in block["citations"])
        yield from ({"type": "text_delta", "text": part} for part in fragments(block["text"]))
    elif block["type"] == "text" and output.search is not None:
        yield from ({"type": "text_delta", "text": part} for part in fragments(block["text"]))
    elif block["type"] == "text":
        yield from ({"type": "text_delta", "text": part} for part in output.text_parts)
    else:
        tool_call = next(tool_call for tool_call in output.tool_calls if block["id"] == f"toolu_{tool_call.id}")
        yield from ({"type": "input_json_delta", "partial_json": part} for part in tool_call.argument_parts)
