"""Mistral's Conversations API: entries in, named events out; sources stand between the pieces of the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from aichatkit.sandbox.exchange import APIError, Piece, Response, fragments, json_response, stream_response
from aichatkit.sandbox.wires.base import Call, Route, parse_json, sse_event
from aichatkit.sandbox.wires.fields import check_fields, check_required, parse_fields, parse_required
from aichatkit.sandbox.wires.openai import ANY_BASE, OpenAIWire, content_text, refuse_field, refuse_missing
from aichatkit.sandbox.wires.outputs import ChatRequest, Output, build_output
from aichatkit.sandbox.wires.searches import Page, WebSearch

__all__ = ["MistralConversations"]

_FIELDS = parse_fields(
    """
    number completion_args.temperature:0..1.5 completion_args.top_p:0..1
    number completion_args.presence_penalty:-2..2 completion_args.frequency_penalty:-2..2
    integer completion_args.max_tokens:0.. completion_args.random_seed:0..
    boolean stream store
    string model instructions
    string inputs.[].type inputs.[].role inputs.[].tool_call_id inputs.[].name inputs.[].arguments inputs.[].result
    string inputs.[].content.[].type inputs.[].content.[].text
    string tools.[].type tools.[].function.name tools.[].function.description
    text inputs.[].content inputs
    object inputs.[] completion_args completion_args.response_format tools.[].function tools.[].function.parameters
    objects tools
    stops completion_args.stop
    enum completion_args.tool_choice:auto|none|any|required
    """
)
_REQUIRED = parse_required(
    """
    inputs.[]{type=message.input}: role content
    inputs.[]{type=message.output}: role content
    inputs.[]{type=function.call}: tool_call_id name arguments
    inputs.[]{type=function.result}: tool_call_id result
    tools.[]: type
    tools.[]{type=function}: function
    tools.[].function: name
    inputs.[].content.[]: type
    inputs.[].content.[]{type=text}: text
    """
)
_CALL_ID = re.compile("[a-zA-Z0-9]{9}")
_SEARCHES = ("web_search", "web_search_premium")


class MistralConversations(OpenAIWire):
    """Answers with tools that the service runs; nothing is stored."""

    name = "mistral-conversations"
    routes = (Route("POST", f"{ANY_BASE}/conversations", "chat"),)

    def chat(self, call: Call) -> Response:
        """Validate the request, then answer with entries or events."""
        self.check_key(call)
        record = parse_json(call.request)
        if not isinstance(record.get("model"), str):
            raise APIError("bad-request", "Either model or agent_id must be set.")
        if not isinstance(record.get("inputs"), (str, list)) or not record["inputs"]:
            raise APIError("bad-request", "Field required: inputs.")
        check_fields(record, _FIELDS, refuse_field)
        check_required(record, _REQUIRED, refuse_missing)
        for entry in _entries(record):
            call_id = entry.get("tool_call_id")
            if call_id is not None and not _CALL_ID.fullmatch(call_id):
                raise APIError(
                    "bad-request", f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
                )
        output = build_output(call, _chat_request(record))
        conversation = "conv_" + self.digest(json.dumps(record))[:24]
        if not record.get("stream"):
            outputs = list(_outputs(record["model"], output))
            usage = _usage(output)
            return json_response(
                {
                    "object": "conversation.response",
                    "conversation_id": conversation,
                    "outputs": outputs,
                    "usage": usage,
                }
            )
        return stream_response("text/event-stream; charset=utf-8", _events(conversation, record["model"], output))

    def error_event(self, error: APIError) -> bytes:
        """Build the event that reports an error."""
        name = "conversation.response.error"
        return sse_event({"type": name, "message": error.message, "code": error.status}, name)


def _entries(record: dict[str, Any]) -> list[dict[str, Any]]:
    inputs = record["inputs"]
    return [{"type": "message.input", "role": "user", "content": inputs}] if isinstance(inputs, str) else inputs


def _chat_request(record: dict[str, Any]) -> ChatRequest:
    entries, options = _entries(record), record.get("completion_args") or {}
    functions = [tool["function"] for tool in record.get("tools") or () if tool["type"] == "function"]
    turns = [content_text(entry["content"]) for entry in entries if entry.get("role") == "user"]
    last = max((number for number, entry in enumerate(entries) if entry.get("role") == "user"), default=-1)
    forms = options.get("response_format") or {}
    schemas = {"json_object": {}, "json_schema": (forms.get("json_schema") or {}).get("schema", {})}
    return ChatRequest(
        turns=turns,
        tools={function["name"]: function.get("parameters", {}) for function in functions},
        tool_choice={"any": "*", "required": "*"}.get(options.get("tool_choice", "")),
        tool_results=[entry["result"] for entry in entries[last + 1 :] if entry.get("type") == "function.result"],
        schema=schemas.get(forms.get("type", "")),
        max_tokens=options.get("max_tokens"),
        searches=any(tool["type"] in _SEARCHES for tool in record.get("tools") or ()),
    )


def _usage(output: Output) -> dict[str, Any]:
    counts = {"prompt_tokens": output.prompt_tokens, "completion_tokens": output.output_tokens}
    usage: dict[str, Any] = {**counts, "total_tokens": sum(counts.values())}
    if output.search is not None and not output.search.error:
        usage.update(connector_tokens=0, connectors={"web_search": 1})
    return usage


def _execution(search: WebSearch) -> dict[str, Any]:
    return {"id": f"tool_exec_{search.id}", "name": "web_search", "arguments": json.dumps({"query": search.query})}


def _reference(page: Page) -> dict[str, Any]:
    return {"type": "tool_reference", "tool": "web_search", "title": page.title, "url": page.url}


def _contents(output: Output) -> Iterator[Any]:
    """Yield the answer as it is streamed: texts, and behind those that cite a page its reference."""
    if output.search is None:
        yield from output.text_parts
        return
    for segment in output.search.segments:
        yield from fragments(segment.text)
        if segment.page is not None:
            yield _reference(segment.page)


def _outputs(model: str, output: Output) -> Iterator[dict[str, Any]]:
    """Yield the entries of an answer that is not streamed."""
    if output.search is not None:
        yield {"type": "tool.execution", **_execution(output.search)}
    for tool_call in output.tool_calls:
        arguments = json.dumps(tool_call.arguments)
        yield {
            "type": "function.call",
            "tool_call_id": tool_call.id[:9],
            "name": tool_call.name,
            "arguments": arguments,
        }
    if not output.tool_calls:
        chunks = [{"type": "text", "text": part} if isinstance(part, str) else part for part in _contents(output)]
        content = output.text if output.search is None else chunks
        yield {"type": "message.output", "role": "assistant", "model": model, "content": content}


def _events(conversation: str, model: str, output: Output) -> Iterator[Piece]:
    yield _piece("conversation.response.started", conversation_id=conversation)
    index = 0
    if output.search is not None:
        execution = _execution(output.search)
        yield _piece("tool.execution.started", output_index=index, **execution)
        yield _piece("tool.execution.done", output_index=index, **execution)
        index += 1
    for tool_call in output.tool_calls:
        call = {"output_index": index, "tool_call_id": tool_call.id[:9], "name": tool_call.name, "model": model}
        for part in tool_call.argument_parts:
            yield _piece("function.call.delta", "text", arguments=part, **call)
        index += 1
    if not output.tool_calls:
        message = {"output_index": index, "role": "assistant", "model": model}
        for part in _contents(output):
            yield _piece("message.output.delta", "text", content=part, **message)
    yield _piece("conversation.response.done", "finish", usage=_usage(output))


def _piece(event: str, phase: str = "open", **fields: Any) -> Piece:
    return Piece(sse_event({"type": event, **fields}, event), phase)
