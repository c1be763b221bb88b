"""Cohere Chat, version 2: named events, each with a delta."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, json_response, stream_response
from aichatkit.sandbox.wires.base import Call, Route, parse_json, require_fields, sse_event
from aichatkit.sandbox.wires.fields import BadField, check_fields, check_required, parse_fields, parse_required
from aichatkit.sandbox.wires.logprobs import cohere_entry, tokens_of
from aichatkit.sandbox.wires.openai import OpenAIWire, content_text, trailing_tool_results
from aichatkit.sandbox.wires.outputs import ChatRequest, Output, build_output

_MESSAGES = {
    "unauthorized": "invalid api token",
    "quota": "You are using a Trial key, which is limited to 1000 API calls / month.",
    "context-too-long": "too many tokens: total number of tokens in the prompt cannot exceed 8192 - received 9000.",
}


_FIELDS = parse_fields(
    """
    number temperature:0..2 p:0..1 frequency_penalty:0..1 presence_penalty:0..1
    integer max_tokens:1.. k:0..500 seed:0..
    boolean stream logprobs strict_tools
    strings stop_sequences
    objects tools documents
    string model tool_choice tools.[].type tools.[].function.name messages.[].tool_call_id
    string tools.[].function.description messages.[].tool_calls.[].type
    string messages.[].content.[].type messages.[].content.[].text messages.[].tool_calls.[].id
    string messages.[].tool_calls.[].function.name messages.[].tool_calls.[].function.arguments
    text messages.[].content
    objects messages.[].tool_calls
    object messages.[].tool_calls.[].function
    enum messages.[].role:user|assistant|system|tool
    object response_format tools.[].function tools.[].function.parameters thinking
    object response_format.json_schema response_format.schema
    """
)


_REQUIRED = parse_required(
    """
    messages.[]: role
    messages.[]{role=user}: content
    messages.[]{role=system}: content
    messages.[]{role=tool}: content tool_call_id
    messages.[].content.[]: type
    messages.[].content.[]{type=text}: text
    messages.[].tool_calls.[]: id type function
    messages.[].tool_calls.[].function: name arguments
    tools.[]: type function
    tools.[].function: name parameters
    response_format: type
    """
)


class Cohere(OpenAIWire):
    """Chat with OpenAI-style keys; an error is just a message."""

    name = "cohere"
    routes = (Route("POST", "/v2/chat", "chat"),)

    def chat(self, call: Call) -> Response:
        """Validate the request, then answer it."""
        self.check_key(call)
        record = parse_json(call.request)
        if not record.get("model"):
            raise APIError("bad-request", "invalid request: model is required")
        require_fields(record, [("messages", list)])
        if not record["messages"] or not all(isinstance(message, dict) for message in record["messages"]):
            raise APIError("bad-request", "invalid request: messages must not be empty")
        check_fields(record, _FIELDS, _refuse_field)
        check_required(record, _REQUIRED, _refuse_missing)
        output = build_output(call, _chat_request(record))
        message_id = self.digest(json.dumps(record))[:32]
        entries = [cohere_entry(token) for token in tokens_of(output.text_parts)] if record.get("logprobs") else []
        if not record.get("stream"):
            logprobs = {"logprobs": entries} if entries else {}
            return json_response({"id": message_id, "message": _message(output), **logprobs, **_ending(output)})
        return stream_response("text/event-stream", _events(message_id, output, entries))

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build a message with an id."""
        record = {"id": self.digest(error.reason)[:32], "message": error.message_from(_MESSAGES)}
        return json_response(record, error.status, error.headers)

    def error_event(self, error: APIError) -> bytes:
        """Build an end event with the error."""
        delta = {"error": error.message_from(_MESSAGES), "finish_reason": "ERROR"}
        return sse_event({"type": "message-end", "delta": delta}, "message-end")


def _refuse_missing(place: str, name: str) -> APIError:
    return APIError("bad-request", f"invalid request: {place}.{name} is required")


def _refuse_field(bad: BadField) -> APIError:
    if bad.field.kind == "enum":
        return APIError(
            "bad-request", f"invalid type: parameter {bad.path} must be one of {', '.join(bad.field.values)}"
        )
    if not bad.is_out_of_bounds:
        return APIError("bad-request", f"invalid type: parameter {bad.path} must be {bad.expected}")
    low, high = ("unbounded" if bound is None else f"{bound:g}" for bound in (bad.field.low, bad.field.high))
    return APIError("bad-request", f"invalid request: {bad.path} must be between {low} and {high} inclusive")


def _chat_request(record: dict[str, Any]) -> ChatRequest:
    messages = record["messages"]
    functions = [tool.get("function", {}) for tool in record.get("tools") or ()]
    response_format = record.get("response_format") or {}
    wants_json = response_format.get("type") == "json_object"
    return ChatRequest(
        turns=[content_text(message.get("content")) for message in messages if message.get("role") == "user"],
        tools={str(function.get("name")): function.get("parameters", {}) for function in functions},
        tool_choice={"REQUIRED": "*"}.get(str(record.get("tool_choice"))),
        tool_results=trailing_tool_results(messages),
        schema=response_format.get("json_schema") or response_format.get("schema") or {} if wants_json else None,
        max_tokens=record.get("max_tokens"),
    )


def _ending(output: Output) -> dict[str, Any]:
    tokens = {"input_tokens": output.prompt_tokens, "output_tokens": output.output_tokens}
    reason = output.finish_reason("COMPLETE", "MAX_TOKENS", "TOOL_CALL")
    return {"finish_reason": reason, "usage": {"billed_units": tokens, "tokens": tokens}}


def _message(output: Output) -> dict[str, Any]:
    content: list[dict[str, str]] = []
    content += [{"type": "thinking", "thinking": output.reasoning}] if output.reasoning_parts else []
    content += [{"type": "text", "text": output.text}] if not output.tool_calls else []
    calls = [
        _tool_call(tool_call.id, tool_call.name, json.dumps(tool_call.arguments)) for tool_call in output.tool_calls
    ]
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def _tool_call(call_id: str, function: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": function, "arguments": arguments}}


def _events(message_id: str, output: Output, entries: list[dict[str, Any]]) -> Iterator[Piece]:
    yield _piece("message-start", id=message_id, delta={"message": {"role": "assistant", "content": []}})
    blocks = [("thinking", output.reasoning_parts, "open"), ("text", output.text_parts, "text")]
    for index, (block, parts, phase) in enumerate(entry for entry in blocks if entry[1]):
        yield _piece("content-start", index=index, delta=_content_delta({"type": block, block: ""}))
        for number, part in enumerate(parts):
            logprobs = {"logprobs": entries[number]} if entries and block == "text" else {}
            yield _piece("content-delta", phase, index=index, delta=_content_delta({block: part}), **logprobs)
        yield _piece("content-end", "finish", index=index)
    for index, tool_call in enumerate(output.tool_calls):
        delta = {"message": {"tool_calls": _tool_call(tool_call.id, tool_call.name, "")}}
        yield _piece("tool-call-start", "text", index=index, delta=delta)
        for part in tool_call.argument_parts:
            delta = {"message": {"tool_calls": {"function": {"arguments": part}}}}
            yield _piece("tool-call-delta", "text", index=index, delta=delta)
        yield _piece("tool-call-end", "finish", index=index)
    yield _piece("message-end", "finish", id=message_id, delta=_ending(output))
    yield Piece(b"data: [DONE]\n\n", "done")


def _content_delta(fields: dict[str, str]) -> dict[str, Any]:
    return {"message": {"content": fields}}


def _piece(event_type: str, phase: str = "open", **fields: Any) -> Piece:
    return Piece(sse_event({"type": event_type, **fields}, event_type), phase)
