"""Gemini: contents and parts; a stream is events or one JSON array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aichatkit.sandbox.exchange import Answer, Piece, Request, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.acts import Act, Question, act
from aichatkit.sandbox.wires.base import Call, Route, Wire, read_json
from aichatkit.sandbox.wires.openai import MODELS

_STATUSES = {
    "unauthorized": (400, "INVALID_ARGUMENT"),
    "forbidden": (403, "PERMISSION_DENIED"),
    "not-found": (404, "NOT_FOUND"),
    "model-not-found": (404, "NOT_FOUND"),
    "rate-limit": (429, "RESOURCE_EXHAUSTED"),
    "quota": (429, "RESOURCE_EXHAUSTED"),
    "server-error": (500, "INTERNAL"),
    "overloaded": (503, "UNAVAILABLE"),
}
_MESSAGES = {
    "unauthorized": "API key not valid. Please pass a valid API key.",
    "context-too-long": "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
}
_VERSION = "/v1(?:alpha|beta)?"
_RPC = "type.googleapis.com/google.rpc."


class Gemini(Wire):
    """Content generation and the model list."""

    name = "gemini"
    routes = (
        Route("GET", f"{_VERSION}/models", "models", "models"),
        Route("POST", f"{_VERSION}/models/[^/:]+:generateContent", "chat"),
        Route("POST", f"{_VERSION}/models/[^/:]+:streamGenerateContent", "chat"),
    )

    def find(self, request: Request) -> tuple[Route | None, list[str]]:
        """Leave the path that OpenAI has too to OpenAI, unless the key is sent as here."""
        if request.path == "/v1/models" and "x-goog-api-key" not in request.headers:
            return None, []
        return super().find(request)

    def models(self, call: Call) -> Answer:
        """List some models."""
        self._check_key(call)
        methods = ["generateContent", "streamGenerateContent"]
        entries = [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in MODELS]
        return json_answer({"models": entries})

    def chat(self, call: Call) -> Answer:
        """Check the request as the service does, then answer whole or in a stream."""
        self._check_key(call)
        record = read_json(call.request)
        _check(record)
        done = act(call, _question(record))
        model = call.request.path.rpartition("/")[2].partition(":")[0]
        head = {"modelVersion": model, "responseId": self.token(json.dumps(record))[:22]}
        if not _streams(call.request):
            return json_answer(_chunk(head, done, _whole(done), finish=True))
        pieces = list(_chunks(head, done))
        if call.request.query.get("alt") == "sse":
            return stream_answer("text/event-stream", [Piece(_event(record), kind) for record, kind in pieces])
        return stream_answer("application/json; charset=UTF-8", _array(pieces))

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make an error object with status and details; in a JSON stream it is an array of one."""
        if trouble.kind == "content-filter" and trouble.forced_status is None:
            return self._blocked(request)
        record = {"error": _error(trouble)}
        status, _ = _STATUSES.get(trouble.kind, (trouble.status, ""))
        in_array = request is not None and _streams(request) and request.query.get("alt") != "sse"
        # The wait is told in the body here, and in no header.
        return json_answer([record] if in_array else record, trouble.forced_status or status)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make an event with the error object."""
        return _event({"error": _error(trouble)})

    def _blocked(self, request: Request | None) -> Answer:
        record = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 1}}
        if request is not None and request.query.get("alt") == "sse":
            return stream_answer("text/event-stream", [Piece(_event(record), "open")])
        return json_answer([record] if request is not None and _streams(request) else record)

    def _check_key(self, call: Call) -> None:
        key = call.request.headers.get("x-goog-api-key") or call.request.query.get("key", "")
        if self.settings.api_keys is not None and not key:
            raise Trouble("forbidden", "Method doesn't allow unregistered callers. Please use an API key.")
        if self.settings.api_keys is not None and key not in self.settings.api_keys:
            raise Trouble("unauthorized")


def _streams(request: Request) -> bool:
    return request.path.endswith(":streamGenerateContent")


def _error(trouble: Trouble) -> dict[str, Any]:
    code, status = _STATUSES.get(trouble.kind, (trouble.status, "INVALID_ARGUMENT"))
    usual = trouble.message == Trouble(trouble.kind).message
    message = _MESSAGES.get(trouble.kind, trouble.message) if usual else trouble.message
    error: dict[str, Any] = {"code": trouble.forced_status or code, "message": message, "status": status}
    if trouble.kind == "unauthorized":
        error["details"] = [{"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
    if trouble.kind in ("quota", "rate-limit"):
        error["details"] = _violations("PerDay" if trouble.kind == "quota" else "PerMinute", trouble)
    return error


def _violations(period: str, trouble: Trouble) -> list[dict[str, Any]]:
    quota = {"quotaId": f"GenerateRequests{period}PerProjectPerModel-FreeTier", "quotaValue": "15"}
    details: list[dict[str, Any]] = [{"@type": f"{_RPC}QuotaFailure", "violations": [quota]}]
    waits = [value for name, value in trouble.headers if name.lower() == "retry-after"]
    return details + [{"@type": f"{_RPC}RetryInfo", "retryDelay": f"{wait}s"} for wait in waits]


def _check(record: dict[str, Any]) -> None:
    contents = record.get("contents")
    if not isinstance(contents, list) or not contents:
        raise Trouble("bad-request", "* GenerateContentRequest.contents: contents is not specified")
    for content in contents:
        if not isinstance(content, dict) or not isinstance(content.get("parts"), list):
            raise Trouble("bad-request", "* GenerateContentRequest.contents: contents.parts must not be empty.")
        if content.get("role", "user") not in ("user", "model", "function"):
            raise Trouble("bad-request", "Please use a valid role: user, model.")


def _question(record: dict[str, Any]) -> Question:
    texts = [_text(content) for content in record["contents"] if content.get("role", "user") == "user"]
    config = record.get("generationConfig") or {}
    groups = [group.get("functionDeclarations") or () for group in record.get("tools") or ()]
    declared = [declaration for group in groups for declaration in group]
    calling = (record.get("toolConfig") or {}).get("functionCallingConfig") or {}
    results = [part["functionResponse"] for part in record["contents"][-1]["parts"] if "functionResponse" in part]
    wants_json = config.get("responseMimeType") == "application/json"
    return Question(
        turns=[text for text in texts if text],
        tools={
            str(entry.get("name")): entry.get("parametersJsonSchema") or entry.get("parameters", {})
            for entry in declared
        },
        forced=[*calling.get("allowedFunctionNames", ()), "*"][0] if calling.get("mode") == "ANY" else None,
        results=[json.dumps(result.get("response")) for result in results],
        schema=config.get("responseJsonSchema") or config.get("responseSchema") or {} if wants_json else None,
        limit=config.get("maxOutputTokens"),
    )


def _text(content: dict[str, Any]) -> str:
    return "\n".join(str(part["text"]) for part in content["parts"] if isinstance(part, dict) and part.get("text"))


def _calls(done: Act) -> list[dict[str, Any]]:
    return [{"functionCall": {"name": use.name, "args": use.arguments}} for use in done.uses]


def _whole(done: Act) -> list[dict[str, Any]]:
    thoughts: list[dict[str, Any]] = [{"text": done.thought, "thought": True}] if done.thoughts else []
    return thoughts + (_calls(done) if done.uses else [{"text": done.text}])


def _chunk(head: dict[str, Any], done: Act, parts: list[dict[str, Any]], *, finish: bool = False) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    usage = {"promptTokenCount": done.prompt_tokens, "totalTokenCount": done.prompt_tokens}
    if finish:
        candidate["finishReason"] = done.finish("STOP", "MAX_TOKENS", "STOP")
        usage["candidatesTokenCount"] = done.output_tokens - len(done.thoughts)
        usage["totalTokenCount"] += done.output_tokens
        usage.update({"thoughtsTokenCount": len(done.thoughts)} if done.thoughts else {})
    return {"candidates": [candidate], "usageMetadata": usage, **head}


def _chunks(head: dict[str, Any], done: Act) -> Iterator[tuple[dict[str, Any], str]]:
    for part in done.thoughts:
        yield _chunk(head, done, [{"text": part, "thought": True}]), "open"
    for part in done.parts:
        yield _chunk(head, done, [{"text": part}]), "text"
    for call in _calls(done):
        yield _chunk(head, done, [call]), "text"
    yield _chunk(head, done, [{"text": ""}], finish=True), "finish"


def _event(record: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(record)}\r\n\r\n".encode()


def _array(chunks: list[tuple[dict[str, Any], str]]) -> list[Piece]:
    starts = [b"[", *[b",\r\n"] * len(chunks)]
    pieces = [Piece(start + json.dumps(record).encode(), kind) for start, (record, kind) in zip(starts, chunks)]
    return [*pieces, Piece(b"\n]", "done")]
