"""Ollama: JSON lines, the last one marked as done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, json_response, stream_response
from aichatkit.sandbox.wires.base import Call, Route, Wire, parse_json
from aichatkit.sandbox.wires.fields import (
    BadField,
    check_fields,
    check_required,
    json_type,
    parse_fields,
    parse_required,
)
from aichatkit.sandbox.wires.logprobs import openai_entries, tokens_of
from aichatkit.sandbox.wires.openai import MODELS, trailing_tool_results
from aichatkit.sandbox.wires.outputs import ChatRequest, Output, build_output
from aichatkit.sandbox.wires.searches import play_search

_CREATED = "2000-01-01T00:00:00Z"
_MAX_TOP_LOGPROBS = 20
_MAX_RESULTS = 10


#: It takes numbers out of bounds.
_FIELDS = parse_fields(
    """
    string model tools.[].type tools.[].function.name tools.[].function.description
    string messages.[].role messages.[].content messages.[].thinking messages.[].tool_name
    strings messages.[].images
    objects messages.[].tool_calls
    object messages.[].tool_calls.[].function messages.[].tool_calls.[].function.arguments
    string messages.[].tool_calls.[].function.name
    object options
    number options.temperature options.top_p options.min_p options.repeat_penalty
    number options.presence_penalty options.frequency_penalty
    integer options.top_k options.num_predict options.seed options.num_ctx
    strings options.stop
    boolean stream logprobs
    integer top_logprobs
    choice format
    objects tools
    object tools.[].function tools.[].function.parameters
    """
)
_REQUIRED = parse_required("tools.[]: function\ntools.[].function: name")
#: Kind of a field -> its type in Go.
_TYPES = {
    "string": "string",
    "strings": "[]string",
    "boolean": "bool",
    "number": "float64",
    "integer": "int",
    "object": "map[string]interface {}",
    "objects": "[]api.Message",
    "choice": "json.RawMessage",
}


class Ollama(Wire):
    """Chat and the list of local models, where API keys and content types are ignored; and the search of ollama.com."""

    name = "ollama"
    routes: ClassVar[Sequence[Route]] = (
        Route("POST", "/api/chat", "chat"),
        Route("GET", "/api/tags", "models", "models"),
        Route("POST", "/api/web_search", "search", "search"),
        Route("POST", "/api/web_fetch", "fetch", "search"),
    )

    def models(self, call: Call) -> Response:
        """List some models."""
        entries = [{"name": f"{name}:latest", "model": f"{name}:latest", "modified_at": _CREATED} for name in MODELS]
        return json_response({"models": entries})

    def chat(self, call: Call) -> Response:
        """Answer with JSON lines, or with one object if not streaming."""
        record = parse_json(call.request, any_content_type=True)
        if not record.get("model"):
            raise APIError("bad-request", "model is required")
        messages = record.get("messages")
        messages = [] if messages is None else messages
        if not isinstance(messages, list):
            raise _refuse_type(messages, "messages", "[]api.Message")
        for message in messages:
            if not isinstance(message, dict):
                raise _refuse_type(message, "messages", "api.Message")
        check_fields(record, _FIELDS, _refuse_field)
        check_required(record, _REQUIRED, _refuse_missing)
        count = record.get("top_logprobs") or 0
        if not 0 <= count <= _MAX_TOP_LOGPROBS:
            raise APIError("bad-request", f"top_logprobs must be between 0 and {_MAX_TOP_LOGPROBS}")
        output = build_output(call, _chat_request(record, messages))
        entries = openai_entries(tokens_of(output.text_parts, count)) if record.get("logprobs") else []
        head = {"model": record["model"], "created_at": _CREATED}
        if record.get("stream", True):
            return stream_response("application/x-ndjson", _lines(head, output, entries))
        logprobs = {"logprobs": entries} if entries else {}
        return json_response({**head, "message": _message(output), **logprobs, **_ending(output)})

    def search(self, call: Call) -> Response:
        """List the pages that a search finds."""
        record = self._parse_site_request(call, "query")
        limit = record.get("max_results", 5)
        if type(limit) is not int or not 1 <= limit <= _MAX_RESULTS:
            raise APIError("bad-request", f"max_results must be between 1 and {_MAX_RESULTS}")
        found = play_search(call, [record["query"]])
        pages = () if found is None else found.pages
        results = [
            {"title": page.title, "url": page.url, "content": f"{page.title}: zwölf Stunden 🌙"} for page in pages
        ]
        return json_response({"results": results[:limit]})

    def fetch(self, call: Call) -> Response:
        """Return the text of a page."""
        record = self._parse_site_request(call, "url")
        if not record["url"].startswith(("http://", "https://")):
            raise APIError("bad-request", "invalid url")
        return json_response({"title": "Ebbe und Flut", "content": "Alle zwölf Stunden 🌙", "links": [record["url"]]})

    def _parse_site_request(self, call: Call, field: str) -> dict[str, Any]:
        key = call.request.headers.get("authorization", "").partition(" ")[2]
        accepted = self.settings.api_keys
        if not key or (accepted is not None and key not in accepted):
            raise APIError("unauthorized", "unauthorized")
        record = parse_json(call.request)
        if not isinstance(record.get(field), str) or not record[field]:
            raise APIError("bad-request", f"{field} is required")
        return record

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build an error object with a single key."""
        return json_response({"error": error.message}, error.status, error.headers)


def _refuse_field(bad: BadField) -> APIError:
    return _refuse_type(bad.value, re.sub(r"\[\d+\]", "", bad.path), _TYPES[bad.field.kind])


def _refuse_type(value: Any, path: str, go_type: str) -> APIError:
    message = f"json: cannot unmarshal {json_type(value)} into Go struct field ChatRequest.{path} of type {go_type}"
    return APIError("bad-request", message)


def _refuse_missing(place: str, name: str) -> APIError:
    return APIError("bad-request", f"{place}: {name} is required")


def _chat_request(record: dict[str, Any], messages: list[dict[str, Any]]) -> ChatRequest:
    functions = [tool.get("function", {}) for tool in record.get("tools") or ()]
    format_ = record.get("format")
    return ChatRequest(
        turns=[str(message.get("content", "")) for message in messages if message.get("role") == "user"],
        tools={str(function.get("name")): function.get("parameters", {}) for function in functions},
        tool_results=trailing_tool_results(messages),
        schema={} if format_ == "json" else format_ or None,
        max_tokens=(record.get("options") or {}).get("num_predict"),
    )


def _tool_calls(output: Output) -> list[dict[str, Any]]:
    return [{"function": {"name": tool_call.name, "arguments": tool_call.arguments}} for tool_call in output.tool_calls]


def _message(output: Output) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": output.text}
    message.update({"thinking": output.reasoning} if output.reasoning_parts else {})
    message.update({"tool_calls": _tool_calls(output)} if output.tool_calls else {})
    return message


def _ending(output: Output) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": output.finish_reason("stop", "length", "stop"),
        "total_duration": 1,
        "prompt_eval_count": output.prompt_tokens,
        "eval_count": output.output_tokens,
    }


def _lines(head: dict[str, Any], output: Output, entries: list[dict[str, Any]]) -> Iterator[Piece]:
    for part in output.reasoning_parts:
        thought = {"role": "assistant", "content": "", "thinking": part}
        yield _line({**head, "message": thought, "done": False}, "open")
    for number, part in enumerate(output.text_parts):
        logprobs = {"logprobs": [entries[number]]} if entries else {}
        message = {"role": "assistant", "content": part}
        yield _line({**head, "message": message, "done": False, **logprobs}, "text")
    for tool_call in _tool_calls(output):
        message_with_call: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [tool_call]}
        yield _line({**head, "message": message_with_call, "done": False}, "text")
    yield _line({**head, "message": {"role": "assistant", "content": ""}, **_ending(output)}, "done")


def _line(record: dict[str, Any], phase: str) -> Piece:
    return Piece(json.dumps(record).encode() + b"\n", phase)
