"""OpenAI chat completions, which most services speak."""

from __future__ import annotations

import json
import time
from typing import Any

from aichatkit.sandbox.exchange import Answer, Piece, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.acts import Act, Question, ToolUse, act
from aichatkit.sandbox.wires.base import Call, Route, need, read_json
from aichatkit.sandbox.wires.openai import ANY_BASE, OpenAIWire, content_text, event, results_at_end

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class OpenAIChat(OpenAIWire):
    """Chat completions, streamed or whole."""

    name = "openai"
    routes = (Route("POST", f"{ANY_BASE}/chat/completions", "chat"),)

    def chat(self, call: Call) -> Answer:
        """Check the request as the service does, then answer it."""
        self.parse_key(call)
        record = read_json(call.request)
        _check(record)
        name = "chatcmpl-" + self.token(json.dumps(record))[:24]
        head = {"id": name, "created": int(time.time()), "model": record["model"]}
        completion = _Completion(head, act(call, _question(record)))
        if not record.get("stream"):
            return completion.whole()
        return completion.streamed(with_usage=bool((record.get("stream_options") or {}).get("include_usage")))


class _Completion:
    """One answer in its two forms."""

    def __init__(self, head: dict[str, Any], done: Act) -> None:
        self.head = head
        self.act = done
        self.finish = done.finish("stop", "length", "tool_calls")
        self.usage = {
            "prompt_tokens": done.prompt_tokens,
            "completion_tokens": done.output_tokens,
            "total_tokens": done.prompt_tokens + done.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": len(done.thoughts)},
        }

    def whole(self) -> Answer:
        """Make the answer as one document."""
        message: dict[str, Any] = {"role": "assistant", "content": None if self.act.uses else self.act.text}
        if self.act.thoughts:
            message["reasoning_content"] = self.act.thought
        if self.act.uses:
            message["tool_calls"] = [_tool_call(use, json.dumps(use.arguments)) for use in self.act.uses]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return json_answer({**self.head, "object": "chat.completion", "choices": [choice], "usage": self.usage})

    def streamed(self, *, with_usage: bool) -> Answer:
        """Make the answer as events."""
        pieces = [self._chunk({"role": "assistant", "content": ""}, kind="open")]
        pieces += [self._chunk({"reasoning_content": part}, kind="open") for part in self.act.thoughts]
        pieces += [self._chunk({"content": part}) for part in self.act.parts]
        for index, use in enumerate(self.act.uses):
            pieces.append(self._chunk({"tool_calls": [{"index": index, **_tool_call(use, "")}]}))
            further = [{"index": index, "function": {"arguments": part}} for part in use.parts]
            pieces += [self._chunk({"tool_calls": [entry]}) for entry in further]
        pieces.append(self._chunk({}, kind="finish", finish=self.finish))
        if with_usage:
            pieces.append(self._piece([], "finish", usage=self.usage))
        return stream_answer("text/event-stream; charset=utf-8", [*pieces, Piece(b"data: [DONE]\n\n", "done")])

    def _chunk(self, delta: dict[str, Any], *, kind: str = "text", finish: str | None = None) -> Piece:
        return self._piece([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], kind)

    def _piece(self, choices: list[dict[str, Any]], kind: str, **extra: Any) -> Piece:
        return Piece(event({**self.head, "object": "chat.completion.chunk", "choices": choices, **extra}), kind)


def _check(record: dict[str, Any]) -> None:
    if not isinstance(record.get("model"), str) or not record["model"]:
        raise Trouble("bad-request", "you must provide a model parameter")
    need(record, [("messages", list)])
    if not record["messages"]:
        raise Trouble("bad-request", "[] is too short - 'messages'")
    for message in record["messages"]:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise Trouble("bad-request", f"Invalid value for 'role'. Supported values are: {', '.join(_ROLES)}.")
        if not isinstance(message.get("content"), (str, list, type(None))):
            raise Trouble("bad-request", "Invalid type for 'content': expected a string or an array of objects.")


def _question(record: dict[str, Any]) -> Question:
    messages = record["messages"]
    functions = [tool.get("function", {}) for tool in record.get("tools") or ()]
    choice = record.get("tool_choice")
    wanted = choice["function"]["name"] if isinstance(choice, dict) else {"required": "*"}.get(str(choice))
    answer_format = record.get("response_format") or {}
    schemas = {"json_object": {}, "json_schema": answer_format.get("json_schema", {}).get("schema", {})}
    return Question(
        turns=[content_text(message.get("content")) for message in messages if message["role"] == "user"],
        tools={str(function.get("name")): function.get("parameters", {}) for function in functions},
        forced=wanted,
        results=results_at_end(messages),
        schema=schemas.get(answer_format.get("type", "")),
        limit=record.get("max_completion_tokens") or record.get("max_tokens"),
    )


def _tool_call(use: ToolUse, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{use.id}", "type": "function", "function": {"name": use.name, "arguments": arguments}}
