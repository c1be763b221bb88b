"""Cohere chat, version 2: named events with a delta each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aichatkit.sandbox.exchange import Answer, Piece, Request, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.acts import Act, Question, act
from aichatkit.sandbox.wires.base import Call, Route, need, read_json
from aichatkit.sandbox.wires.openai import OpenAIWire, content_text, event, results_at_end

_MESSAGES = {
    "unauthorized": "invalid api token",
    "quota": "You are using a Trial key, which is limited to 1000 API calls / month.",
    "context-too-long": "too many tokens: total number of tokens in the prompt cannot exceed 8192 - received 9000.",
}


class Cohere(OpenAIWire):
    """Chat; keys are sent as at OpenAI, refusals are a bare message."""

    name = "cohere"
    routes = (Route("POST", "/v2/chat", "chat"),)

    def chat(self, call: Call) -> Answer:
        """Check the request, then answer it."""
        self.parse_key(call)
        record = read_json(call.request)
        if not record.get("model"):
            raise Trouble("bad-request", "invalid request: model is required")
        need(record, [("messages", list)])
        if not record["messages"] or not all(isinstance(message, dict) for message in record["messages"]):
            raise Trouble("bad-request", "invalid request: messages must not be empty")
        done = act(call, _question(record))
        name = self.token(json.dumps(record))[:32]
        if not record.get("stream"):
            return json_answer({"id": name, "message": _message(done), **_ending(done)})
        return stream_answer("text/event-stream", _events(name, done))

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make a bare message with a number."""
        record = {"id": self.token(trouble.kind)[:32], "message": _words(trouble)}
        return json_answer(record, trouble.status, trouble.headers)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make an end that says why."""
        delta = {"error": _words(trouble), "finish_reason": "ERROR"}
        return event({"type": "message-end", "delta": delta}, "message-end")


def _words(trouble: Trouble) -> str:
    usual = trouble.message == Trouble(trouble.kind).message
    return _MESSAGES.get(trouble.kind, trouble.message) if usual else trouble.message


def _question(record: dict[str, Any]) -> Question:
    messages = record["messages"]
    functions = [tool.get("function", {}) for tool in record.get("tools") or ()]
    wanted = record.get("response_format") or {}
    as_json = wanted.get("type") == "json_object"
    return Question(
        turns=[content_text(message.get("content")) for message in messages if message.get("role") == "user"],
        tools={str(function.get("name")): function.get("parameters", {}) for function in functions},
        forced={"REQUIRED": "*"}.get(str(record.get("tool_choice"))),
        results=results_at_end(messages),
        schema=wanted.get("json_schema") or wanted.get("schema") or {} if as_json else None,
        limit=record.get("max_tokens"),
    )


def _ending(done: Act) -> dict[str, Any]:
    tokens = {"input_tokens": done.prompt_tokens, "output_tokens": done.output_tokens}
    reason = done.finish("COMPLETE", "MAX_TOKENS", "TOOL_CALL")
    return {"finish_reason": reason, "usage": {"billed_units": tokens, "tokens": tokens}}


def _message(done: Act) -> dict[str, Any]:
    content: list[dict[str, str]] = []
    content += [{"type": "thinking", "thinking": done.thought}] if done.thoughts else []
    content += [{"type": "text", "text": done.text}] if not done.uses else []
    calls = [_call(use.id, use.name, json.dumps(use.arguments)) for use in done.uses]
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def _call(name: str, function: str, arguments: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": function, "arguments": arguments}}


def _events(name: str, done: Act) -> Iterator[Piece]:
    yield _piece("message-start", id=name, delta={"message": {"role": "assistant", "content": []}})
    blocks = [("thinking", done.thoughts, "open"), ("text", done.parts, "text")]
    for index, (block, parts, kind) in enumerate(entry for entry in blocks if entry[1]):
        yield _piece("content-start", index=index, delta=_content({"type": block, block: ""}))
        for part in parts:
            yield _piece("content-delta", kind, index=index, delta=_content({block: part}))
        yield _piece("content-end", "finish", index=index)
    for index, use in enumerate(done.uses):
        started = {"message": {"tool_calls": _call(use.id, use.name, "")}}
        yield _piece("tool-call-start", "text", index=index, delta=started)
        for part in use.parts:
            delta = {"message": {"tool_calls": {"function": {"arguments": part}}}}
            yield _piece("tool-call-delta", "text", index=index, delta=delta)
        yield _piece("tool-call-end", "finish", index=index)
    yield _piece("message-end", "finish", id=name, delta=_ending(done))
    yield Piece(b"data: [DONE]\n\n", "done")


def _content(fields: dict[str, str]) -> dict[str, Any]:
    return {"message": {"content": fields}}


def _piece(kind_of_event: str, kind: str = "open", **fields: Any) -> Piece:
    return Piece(event({"type": kind_of_event, **fields}, kind_of_event), kind)
