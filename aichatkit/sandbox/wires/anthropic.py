"""Anthropic messages: named events, and blocks of text, thoughts and tool uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aichatkit.sandbox.exchange import Answer, Piece, Request, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.acts import Act, Question, act
from aichatkit.sandbox.wires.base import Call, Route, Wire, read_json
from aichatkit.sandbox.wires.openai import MODELS, content_text, event

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


class Anthropic(Wire):
    """Messages and the model list, told from OpenAI's by the version header."""

    name = "anthropic"
    routes = (
        Route("POST", "/v1/messages", "chat"),
        Route("GET", "/v1/models", "models", "models"),
    )

    def find(self, request: Request) -> tuple[Route | None, list[str]]:
        """Leave a request for models without the version header to OpenAI."""
        if request.path == "/v1/models" and "anthropic-version" not in request.headers:
            return None, []
        return super().find(request)

    def models(self, call: Call) -> Answer:
        """List some models."""
        self._check_key(call)
        facts = {"type": "model", "created_at": "2000-01-01T00:00:00Z", "lifecycle": "active"}
        entries = [{**facts, "id": name, "display_name": name.title()} for name in MODELS]
        return json_answer({"data": entries, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})

    def chat(self, call: Call) -> Answer:
        """Check the request as the service does, then answer it with blocks."""
        self._check_key(call)
        if "anthropic-version" not in call.request.headers:
            raise Trouble("bad-request", "anthropic-version: header is required")
        record = read_json(call.request)
        _check(record)
        done = act(call, _question(record))
        message = _message("msg_" + self.token(json.dumps(record))[:24], record["model"], done)
        if not record.get("stream"):
            return json_answer(message)
        return stream_answer("text/event-stream; charset=utf-8", _events(message, done))

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make an error with its type and the number of the request."""
        status, _ = _TYPES.get(trouble.kind, (trouble.status, ""))
        name = "req_" + self.token(trouble.kind)[:20]
        record = {**_error(trouble), "request_id": name}
        return json_answer(record, trouble.forced_status or status, [("request-id", name), *trouble.headers])

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make an error event."""
        return event(_error(trouble), "error")

    def comment(self) -> bytes:
        """Make a ping."""
        return event({"type": "ping"}, "ping")

    def _check_key(self, call: Call) -> None:
        headers = call.request.headers
        key = headers.get("x-api-key") or headers.get("authorization", "").partition(" ")[2]
        if self.settings.api_keys is not None and key not in self.settings.api_keys:
            raise Trouble("unauthorized", "invalid x-api-key")


def _error(trouble: Trouble) -> dict[str, Any]:
    _, kind = _TYPES.get(trouble.kind, (0, "invalid_request_error"))
    usual = trouble.message == Trouble(trouble.kind).message
    message = _MESSAGES.get(trouble.kind, trouble.message) if usual else trouble.message
    return {"type": "error", "error": {"type": kind, "message": message}}


def _check(record: dict[str, Any]) -> None:
    for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if not isinstance(record.get(name), kind):
            raise Trouble("bad-request", f"{name}: Field required")
    if not record["messages"]:
        raise Trouble("bad-request", "messages: at least one message is required")
    for place, message in enumerate(record["messages"]):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise Trouble("bad-request", f"messages.{place}.role: Input should be 'user' or 'assistant'")
        if not message.get("content"):
            raise Trouble("bad-request", f"messages.{place}: all messages must have non-empty content")


def _question(record: dict[str, Any]) -> Question:
    users = [message["content"] for message in record["messages"] if message["role"] == "user"]
    results = [block for block in _blocks(record["messages"][-1]["content"]) if block.get("type") == "tool_result"]
    choice = record.get("tool_choice") or {}
    asked = record.get("output_format") or (record.get("output_config") or {}).get("format") or {}
    return Question(
        turns=[text for text in map(content_text, users) if text],
        tools={str(tool.get("name")): tool.get("input_schema", {}) for tool in record.get("tools") or ()},
        forced={"tool": choice.get("name"), "any": "*"}.get(choice.get("type", "")),
        results=[content_text(block.get("content")) for block in results],
        schema=asked.get("schema"),
        limit=record["max_tokens"],
    )


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _message(name: str, model: str, done: Act) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if done.thoughts:
        content.append({"type": "thinking", "thinking": done.thought, "signature": "c2lnbmVk"})
    if done.parts:
        content.append({"type": "text", "text": done.text})
    content += [{"type": "tool_use", "id": f"toolu_{u.id}", "name": u.name, "input": u.arguments} for u in done.uses]
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": done.finish("end_turn", "max_tokens", "tool_use"),
        "stop_sequence": None,
        "usage": {"input_tokens": done.prompt_tokens, "output_tokens": done.output_tokens},
    }


def _events(message: dict[str, Any], done: Act) -> Iterator[Piece]:
    started_usage = {**message["usage"], "output_tokens": 1}
    yield _piece("message_start", message={**message, "content": [], "stop_reason": None, "usage": started_usage})
    yield _piece("ping")
    for index, block in enumerate(message["content"]):
        yield _piece("content_block_start", index=index, content_block=_emptied(block))
        for delta in _deltas(block, done):
            kind = "open" if block["type"] == "thinking" else "text"
            yield _piece("content_block_delta", kind, index=index, delta=delta)
        yield _piece("content_block_stop", "finish", index=index)
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield _piece("message_delta", "finish", delta=ending, usage={"output_tokens": done.output_tokens})
    yield _piece("message_stop", "done")


def _piece(name: str, kind: str = "open", **fields: Any) -> Piece:
    return Piece(event({"type": name, **fields}, name), kind)


def _emptied(block: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"thinking": "", "signature": "", "text": "", "input": {}}
    return {**block, **{key: value for key, value in empty.items() if key in block}}


def _deltas(block: dict[str, Any], done: Act) -> Iterator[dict[str, Any]]:
    if block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": part} for part in done.thoughts)
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "text":
        yield from ({"type": "text_delta", "text": part} for part in done.parts)
    else:
        use = next(use for use in done.uses if block["id"] == f"toolu_{use.id}")
        yield from ({"type": "input_json_delta", "partial_json": part} for part in use.parts)
