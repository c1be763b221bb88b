"""OpenAI Responses: items in, typed events out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from aichatkit.sandbox.exchange import APIError, Piece, Response, json_response, stream_response
from aichatkit.sandbox.prompt_caches import CacheUse
from aichatkit.sandbox.wires.base import Call, Route, parse_json, sse_event
from aichatkit.sandbox.wires.cached_prompts import responses_prompt
from aichatkit.sandbox.wires.fields import check_fields, check_required, parse_fields, parse_required
from aichatkit.sandbox.wires.logprobs import openai_entries, tokens_of
from aichatkit.sandbox.wires.openai import (
    ANY_BASE,
    OpenAIWire,
    check_model,
    content_text,
    error_object,
    refuse_field,
    refuse_missing,
)
from aichatkit.sandbox.wires.outputs import ChatRequest, Output, build_output
from aichatkit.sandbox.wires.searches import WebSearch, link_annotations, refuse_combination

#: What a request includes to see all the pages found.
_SOURCES = "web_search_call.action.sources"
#: What a request includes for the log probabilities of the text.
_LOGPROBS = "message.output_text.logprobs"

_FIELDS = parse_fields(
    """
    number temperature:0..2 top_p:0..1
    integer max_output_tokens:1.. top_logprobs:0..20
    boolean stream parallel_tool_calls store
    string user prompt_cache_key instructions previous_response_id tools.[].type tools.[].name tools.[].description
    string tool_choice.type tool_choice.name text.format.type text.format.name
    string input.[].type input.[].role input.[].call_id input.[].name input.[].arguments
    string input.[].content.[].type input.[].content.[].text
    object input.[]
    text input.[].content input.[].output input
    object text text.format text.format.schema reasoning metadata tools.[].parameters prompt_cache_options
    enum prompt_cache_options.mode:implicit|explicit prompt_cache_options.ttl:30m|12h
    objects tools
    strings include
    choice tool_choice
    enum reasoning.effort:none|minimal|low|medium|high|xhigh|max|default text.verbosity:low|medium|high
    """
)
_REQUIRED = parse_required(
    """
    input.[].content.[]: type
    input.[].content.[]{type=input_text}: text
    input.[].content.[]{type=output_text}: text
    input.[]{type=message}: role content
    input.[]{type=function_call}: call_id name arguments
    input.[]{type=function_call_output}: call_id output
    tools.[]: type
    tools.[]{type=function}: name
    tool_choice: type
    tool_choice{type=function}: name
    text.format: type
    text.format{type=json_schema}: name schema
    """
)
#: What an item without a type is.
_MESSAGE = parse_required("input.[]: role content")


class OpenAIResponses(OpenAIWire):
    """The successor to Chat Completions; nothing is stored."""

    name = "openai-responses"
    routes = (Route("POST", f"{ANY_BASE}/responses", "chat"),)

    def chat(self, call: Call) -> Response:
        """Validate the request, then answer with items or events."""
        self.check_address(call)
        self.check_key(call)
        record = parse_json(call.request)
        if not isinstance(record.get("model"), str):
            raise APIError("bad-request", "Missing required parameter: 'model'.")
        if not isinstance(record.get("input"), (str, list)) or not record["input"]:
            raise APIError("bad-request", "Missing required parameter: 'input'.")
        check_fields(record, _FIELDS, refuse_field)
        check_required(record, _REQUIRED, refuse_missing)
        if isinstance(record["input"], list):
            untyped = [None if item.get("type") else item for item in record["input"]]
            check_required({"input": untyped}, _MESSAGE, refuse_missing)
        effort = (record.get("reasoning") or {}).get("effort")
        check_model(record, effort=effort, effort_path="reasoning.effort", endpoint="responses")
        _check_search(record)
        output = build_output(call, _chat_request(record))
        cached = call.use_cache(responses_prompt(record), output.prompt_tokens, output.output_tokens)
        response = _response("resp_" + self.digest(json.dumps(record))[:24], record, output, cached)
        if not record.get("stream"):
            return json_response(response)
        return stream_response("text/event-stream; charset=utf-8", _events(response, output))

    def error_event(self, error: APIError) -> bytes:
        """Build an error event, followed by the failed response."""
        record = error_object(error)
        failed = {"status": "failed", "error": {"code": record["code"] or record["type"], "message": error.message}}
        return sse_event(
            {"type": "error", "code": record["code"], "message": error.message, "param": None}, "error"
        ) + sse_event({"type": "response.failed", "response": failed}, "response.failed")


def _chat_request(record: dict[str, Any]) -> ChatRequest:
    items = [{"role": "user", "content": record["input"]}] if isinstance(record["input"], str) else record["input"]
    results = list(itertools.takewhile(lambda item: item.get("type") == "function_call_output", reversed(items)))
    choice = record.get("tool_choice")
    # Perplexity takes the schema where chat completions has it.
    text_format = (record.get("text") or {}).get("format") or record.get("response_format") or {}
    schema = text_format.get("schema") or (text_format.get("json_schema") or {}).get("schema", {})
    schemas = {"json_object": {}, "json_schema": schema}
    return ChatRequest(
        turns=[content_text(item.get("content")) for item in items if item.get("role") == "user"],
        tools={str(tool["name"]): tool.get("parameters", {}) for tool in record.get("tools") or () if "name" in tool},
        tool_choice=choice.get("name") if isinstance(choice, dict) else {"required": "*"}.get(str(choice)),
        tool_results=[_output_text(item.get("output")) for item in reversed(results)],
        schema=schemas.get(text_format.get("type", "")),
        max_tokens=record.get("max_output_tokens"),
        searches=_offers_search(record) and record.get("tool_choice") != "none",
        adds_links=True,
    )


def _output_text(output: Any) -> str:
    return content_text(output) if isinstance(output, (list, str)) else str(output)


def _offers_search(record: dict[str, Any]) -> bool:
    return any(str(tool.get("type")).startswith("web_search") for tool in record.get("tools") or ())


def _check_search(record: dict[str, Any]) -> None:
    effort = (record.get("reasoning") or {}).get("effort")
    refuse_combination(
        _offers_search(record) and effort == "minimal",
        "The following tools cannot be used with reasoning.effort 'minimal': web_search.",
    )


def _response(response_id: str, record: dict[str, Any], output: Output, cached: CacheUse) -> dict[str, Any]:
    usage = {
        "input_tokens": cached.total,
        "input_tokens_details": {
            "cached_tokens": cached.read,
            "cache_write_tokens": cached.written,
            "cache_write_tokens_details": {
                "ttl_30m_tokens": cached.written - cached.long_written,
                "ttl_12h_tokens": cached.long_written,
            },
        },
        "output_tokens": output.output_tokens,
        "output_tokens_details": {"reasoning_tokens": len(output.reasoning_parts)},
        "total_tokens": cached.total + output.output_tokens,
    }
    return {
        "id": response_id,
        "object": "response",
        "service_tier": "default",
        "created_at": 0,
        "status": "incomplete" if output.truncated else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if output.truncated else None,
        "model": record["model"],
        "output": _items(response_id, record, output),
        "parallel_tool_calls": record.get("parallel_tool_calls", True),
        "tool_choice": record.get("tool_choice", "auto"),
        "tools": record.get("tools") or [],
        "usage": usage,
    }


def _items(response_id: str, record: dict[str, Any], output: Output) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    included = record.get("include") or ()
    if output.search is not None:
        items.append(_search_item(output.search, shows_sources=_SOURCES in included))
    if output.reasoning_parts:
        summary = [{"type": "summary_text", "text": output.reasoning}]
        items.append({"id": f"rs_{response_id[5:]}", "type": "reasoning", "summary": summary})
    if not output.tool_calls:
        content = [{"type": "output_text", "text": output.text, "annotations": link_annotations(output.search)}]
        if _LOGPROBS in included:
            content[0]["logprobs"] = openai_entries(tokens_of(output.text_parts, record.get("top_logprobs") or 0))
        head = {"id": f"msg_{response_id[5:]}", "type": "message", "role": "assistant", "status": "completed"}
        items.append({**head, "content": content})
    for tool_call in output.tool_calls:
        arguments = json.dumps(tool_call.arguments)
        head = {
            "id": f"fc_{tool_call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{tool_call.id}",
        }
        items.append({**head, "name": tool_call.name, "arguments": arguments})
    return items


def _search_item(search: WebSearch, *, shows_sources: bool) -> dict[str, Any]:
    action: dict[str, Any] = {"type": "search", "query": search.query, "queries": [search.query]}
    if shows_sources:
        action["sources"] = [{"type": "url", "url": page.url} for page in search.pages]
    status = "failed" if search.error else "completed"
    return {"id": f"ws_{search.id}", "type": "web_search_call", "status": status, "action": action}


def _events(response: dict[str, Any], output: Output) -> Iterator[Piece]:
    sequence_numbers = itertools.count()

    def piece(name: str, phase: str = "open", **fields: Any) -> Piece:
        return Piece(sse_event({"type": name, "sequence_number": next(sequence_numbers), **fields}, name), phase)

    started = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield piece("response.created", response=started)
    yield piece("response.in_progress", response=started)
    for index, item in enumerate(response["output"]):
        position = {"item_id": item["id"], "output_index": index}
        yield piece("response.output_item.added", output_index=index, item=_without_content(item))
        for name, phase, fields in _item_events(item, output):
            yield piece(name, phase, **position, **fields)
        yield piece("response.output_item.done", "finish", output_index=index, item=item)
    name = "response.incomplete" if output.truncated else "response.completed"
    yield piece(name, "finish", response=response)


def _without_content(item: dict[str, Any]) -> dict[str, Any]:
    if item["type"] == "web_search_call":
        return {**item, "status": "in_progress", "action": {"type": "search"}}
    empty = {"content": [], "summary": [], "arguments": ""}
    return {**item, **{key: value for key, value in empty.items() if key in item}}


def _item_events(item: dict[str, Any], output: Output) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if item["type"] == "reasoning":
        for part in output.reasoning_parts:
            yield "response.reasoning_summary_text.delta", "open", {"summary_index": 0, "delta": part}
        yield "response.reasoning_summary_text.done", "open", {"summary_index": 0, "text": output.reasoning}
    elif item["type"] == "web_search_call":
        for state in ("in_progress", "searching", "completed"):
            yield f"response.web_search_call.{state}", "open", {}
    elif item["type"] == "message":
        content_position = {"content_index": 0}
        empty = {"type": "output_text", "text": "", "annotations": []}
        yield "response.content_part.added", "open", {**content_position, "part": empty}
        logprobs = item["content"][0].get("logprobs", [])
        for number, part in enumerate(output.text_parts):
            fields = {**content_position, "delta": part, "logprobs": logprobs[number : number + 1]}
            yield "response.output_text.delta", "text", fields
        for number, annotation in enumerate(item["content"][0]["annotations"]):
            fields = {**content_position, "annotation_index": number, "annotation": annotation}
            yield "response.output_text.annotation.added", "text", fields
        yield "response.output_text.done", "finish", {**content_position, "text": output.text, "logprobs": logprobs}
        yield "response.content_part.done", "finish", {**content_position, "part": item["content"][0]}
    else:
        tool_call = next(tool_call for tool_call in output.tool_calls if item["id"] == f"fc_{tool_call.id}")
        for part in tool_call.argument_parts:
            yield "response.function_call_arguments.delta", "text", {"delta": part}
        yield "response.function_call_arguments.done", "finish", {"arguments": item["arguments"]}
