"""OpenAI chat completions and model list, which most services speak."""

from __future__ import annotations

import json
import time
from typing import Any

from aichatkit.sandbox.exchange import Answer, Piece, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.base import Call, Route, Wire, fragments, need, read_json

MODELS = ("eliza", "eliza-mini", "gpt-4o", "gpt-4o-mini")

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_CODES = {
    "bad-request": ("invalid_request_error", None),
    "context-too-long": ("invalid_request_error", "context_length_exceeded"),
    "content-filter": ("invalid_request_error", "content_policy_violation"),
    "unauthorized": ("invalid_request_error", "invalid_api_key"),
    "forbidden": ("invalid_request_error", "unsupported_country_region_territory"),
    "model-not-found": ("invalid_request_error", "model_not_found"),
    "rate-limit": ("requests", "rate_limit_exceeded"),
    "quota": ("insufficient_quota", "insufficient_quota"),
    "server-error": ("server_error", None),
    "overloaded": ("service_unavailable_error", "server_is_overloaded"),
}


class OpenAIWire(Wire):
    """What the OpenAI wires share: the key, the refusals and the model list."""

    name = "openai-models"
    routes = (Route("GET", "/v1/models", "models", "models"),)

    def models(self, call: Call) -> Answer:
        """List the models; any other name is taken as well."""
        self.check_key(call)
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "sandbox"} for name in MODELS]
        return json_answer({"object": "list", "data": entries})

    def check_key(self, call: Call) -> None:
        """Refuse a call without a key that is good."""
        scheme, _, key = call.request.headers.get("authorization", "").partition(" ")
        accepted = self.settings.api_keys
        if accepted is not None and (scheme.lower() != "bearer" or key not in accepted):
            raise Trouble("unauthorized", f"Incorrect API key provided: {key}." if key else "You provided no API key.")

    def refuse(self, trouble: Trouble) -> Answer:
        """Make an error object with type, parameter and code."""
        return json_answer({"error": error_object(trouble)}, trouble.status, trouble.headers)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make an event with the error object."""
        return event({"error": error_object(trouble)})

    def comment(self) -> bytes:
        """Make a comment line, as gateways do while they wait."""
        return b": PROCESSING\n\n"


class OpenAIChat(OpenAIWire):
    """Chat completions, streamed or whole."""

    name = "openai"
    routes = (Route("POST", "/v1/chat/completions", "chat"),)

    def chat(self, call: Call) -> Answer:
        """Check the request as the service does, then answer it."""
        self.check_key(call)
        record = read_json(call.request)
        check_request(record)
        text = call.say(turns_of(record["messages"]))
        parts = fragments(text)
        limit = record.get("max_completion_tokens") or record.get("max_tokens") or len(parts)
        answer = _Completion(self, record, parts[:limit], finish="length" if limit < len(parts) else "stop")
        return answer.streamed() if record.get("stream") else answer.whole()


class _Completion:
    """One answer in its two forms."""

    def __init__(self, wire: Wire, record: dict[str, Any], parts: list[str], *, finish: str) -> None:
        self.parts = parts
        self.finish = finish
        self.with_usage = bool((record.get("stream_options") or {}).get("include_usage"))
        prompt = sum(len(fragments(turn)) for turn in turns_of(record["messages"]))
        self.usage = {"prompt_tokens": prompt, "completion_tokens": len(parts), "total_tokens": prompt + len(parts)}
        name = "chatcmpl-" + wire.token(json.dumps(record))[:24]
        self.head = {"id": name, "created": int(time.time()), "model": record["model"]}

    def whole(self) -> Answer:
        """Make the answer as one document."""
        message = {"role": "assistant", "content": "".join(self.parts), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return json_answer({**self.head, "object": "chat.completion", "choices": [choice], "usage": self.usage})

    def streamed(self) -> Answer:
        """Make the answer as events."""
        pieces = [self._chunk({"role": "assistant", "content": ""}, kind="open")]
        pieces += [self._chunk({"content": part}) for part in self.parts]
        pieces.append(self._chunk({}, kind="finish", finish=self.finish))
        if self.with_usage:
            pieces.append(self._piece([], "finish", usage=self.usage))
        return stream_answer("text/event-stream; charset=utf-8", [*pieces, Piece(b"data: [DONE]\n\n", "done")])

    def _chunk(self, delta: dict[str, Any], *, kind: str = "text", finish: str | None = None) -> Piece:
        return self._piece([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], kind)

    def _piece(self, choices: list[dict[str, Any]], kind: str, **extra: Any) -> Piece:
        return Piece(event({**self.head, "object": "chat.completion.chunk", "choices": choices, **extra}), kind)


def check_request(record: dict[str, Any]) -> None:
    """Refuse what the service refuses."""
    if not isinstance(record.get("model"), str) or not record["model"]:
        raise Trouble("bad-request", "you must provide a model parameter")
    need(record, [("messages", list)])
    if not record["messages"]:
        raise Trouble("bad-request", "[] is too short - 'messages'")
    for message in record["messages"]:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise Trouble("bad-request", f"Invalid value for 'role'. Supported values are: {', '.join(_ROLES)}.")
        if not isinstance(message.get("content", ""), (str, list, type(None))):
            raise Trouble("bad-request", "Invalid type for 'content': expected a string or an array of objects.")


def turns_of(messages: list[dict[str, Any]]) -> list[str]:
    """Take the text of the user's messages, parts joined."""
    return [content_text(message.get("content")) for message in messages if message["role"] == "user"]


def content_text(content: Any) -> str:
    """Read the text out of a content that is a string or a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and "text" in part)
    return content or ""


def error_object(trouble: Trouble) -> dict[str, Any]:
    """Make the error object, with the type and code that the kind of trouble has."""
    kind, code = _CODES.get(trouble.kind, ("invalid_request_error", None))
    return {"message": trouble.message, "type": kind, "param": None, "code": code}


def event(record: dict[str, Any]) -> bytes:
    """Make one unnamed event."""
    return b"data: " + json.dumps(record).encode() + b"\n\n"
