"""Ollama: one JSON object a line, the last of them says done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aichatkit.sandbox.exchange import Answer, Piece, Request, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.acts import Act, Question, act
from aichatkit.sandbox.wires.base import Call, Route, Wire, read_json
from aichatkit.sandbox.wires.openai import MODELS, results_at_end

_CREATED = "2000-01-01T00:00:00Z"


class Ollama(Wire):
    """Chat and the list of local models; it looks at no key and no content type."""

    name = "ollama"
    routes = (
        Route("POST", "/api/chat", "chat"),
        Route("GET", "/api/tags", "models", "models"),
    )

    def models(self, call: Call) -> Answer:
        """List some models."""
        entries = [{"name": f"{name}:latest", "model": f"{name}:latest", "modified_at": _CREATED} for name in MODELS]
        return json_answer({"models": entries})

    def chat(self, call: Call) -> Answer:
        """Answer with lines, or with one object when no stream is wanted."""
        record = read_json(call.request, any_type=True)
        if not record.get("model"):
            raise Trouble("bad-request", "model is required")
        messages = record.get("messages") or []
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise Trouble("bad-request", "json: cannot unmarshal into Go struct field ChatRequest.messages")
        done = act(call, _question(record, messages))
        head = {"model": record["model"], "created_at": _CREATED}
        if record.get("stream", True):
            return stream_answer("application/x-ndjson", _lines(head, done))
        return json_answer({**head, "message": _whole(done), **_ending(done)})

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make an error of one key."""
        return json_answer({"error": trouble.message}, trouble.status, trouble.headers)


def _question(record: dict[str, Any], messages: list[dict[str, Any]]) -> Question:
    functions = [tool.get("function", {}) for tool in record.get("tools") or ()]
    wanted = record.get("format")
    return Question(
        turns=[str(message.get("content", "")) for message in messages if message.get("role") == "user"],
        tools={str(function.get("name")): function.get("parameters", {}) for function in functions},
        results=results_at_end(messages),
        schema={} if wanted == "json" else wanted or None,
        limit=(record.get("options") or {}).get("num_predict"),
    )


def _calls(done: Act) -> list[dict[str, Any]]:
    return [{"function": {"name": use.name, "arguments": use.arguments}} for use in done.uses]


def _whole(done: Act) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": done.text}
    message.update({"thinking": done.thought} if done.thoughts else {})
    message.update({"tool_calls": _calls(done)} if done.uses else {})
    return message


def _ending(done: Act) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": done.finish("stop", "length", "stop"),
        "total_duration": 1,
        "prompt_eval_count": done.prompt_tokens,
        "eval_count": done.output_tokens,
    }


def _lines(head: dict[str, Any], done: Act) -> Iterator[Piece]:
    messages = [({"content": "", "thinking": part}, "open") for part in done.thoughts]
    messages += [({"content": part}, "text") for part in done.parts]
    for message, kind in messages:
        yield _line({**head, "message": {"role": "assistant", **message}, "done": False}, kind)
    for use in _calls(done):
        asking: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [use]}
        yield _line({**head, "message": asking, "done": False}, "text")
    yield _line({**head, "message": {"role": "assistant", "content": ""}, **_ending(done)}, "done")


def _line(record: dict[str, Any], kind: str) -> Piece:
    return Piece(json.dumps(record).encode() + b"\n", kind)
