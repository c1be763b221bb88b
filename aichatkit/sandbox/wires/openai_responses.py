"""OpenAI Responses: items in, typed events out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from aichatkit.sandbox.exchange import Answer, Piece, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.acts import Act, Question, act
from aichatkit.sandbox.wires.base import Call, Route, read_json
from aichatkit.sandbox.wires.openai import ANY_BASE, OpenAIWire, content_text, error_object, event


class OpenAIResponses(OpenAIWire):
    """The successor of chat completions; nothing is stored."""

    name = "openai-responses"
    routes = (Route("POST", f"{ANY_BASE}/responses", "chat"),)

    def chat(self, call: Call) -> Answer:
        """Check the request, then answer it with items or with events."""
        self.parse_key(call)
        record = read_json(call.request)
        if not isinstance(record.get("model"), str):
            raise Trouble("bad-request", "Missing required parameter: 'model'.")
        if not isinstance(record.get("input"), (str, list)) or not record["input"]:
            raise Trouble("bad-request", "Missing required parameter: 'input'.")
        done = act(call, _question(record))
        response = _response("resp_" + self.token(json.dumps(record))[:24], record, done)
        if not record.get("stream"):
            return json_answer(response)
        return stream_answer("text/event-stream; charset=utf-8", _events(response, done))

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make an error event, and the failed response after it."""
        found = error_object(trouble)
        failed = {"status": "failed", "error": {"code": found["code"] or found["type"], "message": trouble.message}}
        return event(
            {"type": "error", "code": found["code"], "message": trouble.message, "param": None}, "error"
        ) + event({"type": "response.failed", "response": failed}, "response.failed")


def _question(record: dict[str, Any]) -> Question:
    items = [{"role": "user", "content": record["input"]}] if isinstance(record["input"], str) else record["input"]
    items = [item for item in items if isinstance(item, dict)]
    results = list(itertools.takewhile(lambda item: item.get("type") == "function_call_output", reversed(items)))
    choice = record.get("tool_choice")
    answer_format = (record.get("text") or {}).get("format") or {}
    schemas = {"json_object": {}, "json_schema": answer_format.get("schema", {})}
    return Question(
        turns=[content_text(item.get("content")) for item in items if item.get("role") == "user"],
        tools={str(tool.get("name")): tool.get("parameters", {}) for tool in record.get("tools") or ()},
        forced=choice.get("name") if isinstance(choice, dict) else {"required": "*"}.get(str(choice)),
        results=[str(item.get("output")) for item in reversed(results)],
        schema=schemas.get(answer_format.get("type", "")),
        limit=record.get("max_output_tokens"),
    )


def _response(name: str, record: dict[str, Any], done: Act) -> dict[str, Any]:
    usage = {
        "input_tokens": done.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": done.output_tokens,
        "output_tokens_details": {"reasoning_tokens": len(done.thoughts)},
        "total_tokens": done.prompt_tokens + done.output_tokens,
    }
    return {
        "id": name,
        "object": "response",
        "created_at": 0,
        "status": "incomplete" if done.cut_short else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if done.cut_short else None,
        "model": record["model"],
        "output": _items(name, done),
        "parallel_tool_calls": record.get("parallel_tool_calls", True),
        "tool_choice": record.get("tool_choice", "auto"),
        "tools": record.get("tools") or [],
        "usage": usage,
    }


def _items(name: str, done: Act) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if done.thoughts:
        summary = [{"type": "summary_text", "text": done.thought}]
        items.append({"id": f"rs_{name[5:]}", "type": "reasoning", "summary": summary})
    if not done.uses:
        content = [{"type": "output_text", "text": done.text, "annotations": []}]
        head = {"id": f"msg_{name[5:]}", "type": "message", "role": "assistant", "status": "completed"}
        items.append({**head, "content": content})
    for use in done.uses:
        arguments = json.dumps(use.arguments)
        head = {"id": f"fc_{use.id}", "type": "function_call", "status": "completed", "call_id": f"call_{use.id}"}
        items.append({**head, "name": use.name, "arguments": arguments})
    return items


def _events(response: dict[str, Any], done: Act) -> Iterator[Piece]:
    number = itertools.count()

    def piece(name: str, kind: str = "open", **fields: Any) -> Piece:
        return Piece(event({"type": name, "sequence_number": next(number), **fields}, name), kind)

    started = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield piece("response.created", response=started)
    yield piece("response.in_progress", response=started)
    for index, item in enumerate(response["output"]):
        place = {"item_id": item["id"], "output_index": index}
        yield piece("response.output_item.added", output_index=index, item=_emptied(item))
        for name, kind, fields in _inside(item, done):
            yield piece(name, kind, **place, **fields)
        yield piece("response.output_item.done", "finish", output_index=index, item=item)
    name = "response.incomplete" if done.cut_short else "response.completed"
    yield piece(name, "finish", response=response)


def _emptied(item: dict[str, Any]) -> dict[str, Any]:
    empty = {"content": [], "summary": [], "arguments": ""}
    return {**item, **{key: value for key, value in empty.items() if key in item}}


def _inside(item: dict[str, Any], done: Act) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if item["type"] == "reasoning":
        for part in done.thoughts:
            yield "response.reasoning_summary_text.delta", "open", {"summary_index": 0, "delta": part}
        yield "response.reasoning_summary_text.done", "open", {"summary_index": 0, "text": done.thought}
    elif item["type"] == "message":
        part_of = {"content_index": 0}
        empty = {"type": "output_text", "text": "", "annotations": []}
        yield "response.content_part.added", "open", {**part_of, "part": empty}
        for part in done.parts:
            yield "response.output_text.delta", "text", {**part_of, "delta": part, "logprobs": []}
        yield "response.output_text.done", "finish", {**part_of, "text": done.text, "logprobs": []}
        yield "response.content_part.done", "finish", {**part_of, "part": item["content"][0]}
    else:
        use = next(use for use in done.uses if item["id"] == f"fc_{use.id}")
        for part in use.parts:
            yield "response.function_call_arguments.delta", "text", {"delta": part}
        yield "response.function_call_arguments.done", "finish", {"arguments": item["arguments"]}
