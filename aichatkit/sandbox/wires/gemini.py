"""Gemini: contents and parts; streamed as server-sent events or as a JSON array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, json_response, stream_response
from aichatkit.sandbox.prompt_caches import CacheUse
from aichatkit.sandbox.wires.base import Call, Route, Wire, parse_json
from aichatkit.sandbox.wires.cached_prompts import gemini_prompt
from aichatkit.sandbox.wires.fields import BadField, check_fields, check_required, parse_fields, parse_required
from aichatkit.sandbox.wires.image_rules import accept_snake_case, add_gemini_usage, gemini_images
from aichatkit.sandbox.wires.logprobs import Token, gemini_result, tokens_of
from aichatkit.sandbox.wires.model_rules import check_retired, find_record
from aichatkit.sandbox.wires.openai import MODELS
from aichatkit.sandbox.wires.outputs import ChatRequest, Output, build_output
from aichatkit.sandbox.wires.searches import WebSearch, refuse_combination

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
_VERTEX = "/v1(?:/projects/[^/]+/locations/[^/]+)?/publishers/google"
_RPC = "type.googleapis.com/google.rpc."


_FIELDS = parse_fields(
    """
    object generationConfig toolConfig toolConfig.functionCallingConfig
    number generationConfig.temperature:0..2 generationConfig.topP:0..1
    number generationConfig.presencePenalty:-2..2 generationConfig.frequencyPenalty:-2..2
    integer generationConfig.topK:0.. generationConfig.maxOutputTokens:1.. generationConfig.seed
    integer generationConfig.logprobs:0..20 generationConfig.candidateCount:1..8
    boolean generationConfig.responseLogprobs
    strings generationConfig.stopSequences toolConfig.functionCallingConfig.allowedFunctionNames
    string generationConfig.responseMimeType
    object generationConfig.thinkingConfig generationConfig.responseJsonSchema generationConfig.responseSchema
    objects tools safetySettings tools.[].functionDeclarations
    string tools.[].functionDeclarations.[].description tools.[].functionDeclarations.[].name
    string contents.[].role contents.[].parts.[].text
    string contents.[].parts.[].inlineData.mimeType contents.[].parts.[].inlineData.data
    string contents.[].parts.[].fileData.fileUri contents.[].parts.[].functionCall.name
    string contents.[].parts.[].functionResponse.name toolConfig.functionCallingConfig.mode
    object systemInstruction
    objects systemInstruction.parts
    string systemInstruction.parts.[].text
    object tools.[].functionDeclarations.[].parameters tools.[].functionDeclarations.[].parametersJsonSchema
    objects contents.[].parts
    object contents.[].parts.[].functionResponse contents.[].parts.[].functionCall
    object contents.[].parts.[].functionResponse.response contents.[].parts.[].functionCall.args
    object contents.[].parts.[].inlineData contents.[].parts.[].fileData
    """
)
_REQUIRED = parse_required(
    """
    tools.[].functionDeclarations.[]: name
    contents.[].parts.[].functionResponse: name response
    contents.[].parts.[].functionCall: name
    contents.[].parts.[].inlineData: mimeType data
    contents.[].parts.[].fileData: fileUri
    """
)


#: Fields of a part that are not its content.
_SIDE_FIELDS = frozenset({"thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"})


class Gemini(Wire):
    """Content generation and the model list."""

    name = "gemini"
    routes: ClassVar[Sequence[Route]] = (
        Route("GET", f"{_VERSION}/models", "models", "models"),
        Route("POST", f"(?:{_VERSION}|{_VERTEX})/models/[^/:]+:generateContent", "chat"),
        Route("POST", f"(?:{_VERSION}|{_VERTEX})/models/[^/:]+:streamGenerateContent", "chat"),
    )

    def match(self, request: Request) -> tuple[Route | None, list[str]]:
        """Match the path shared with OpenAI only if the key is sent in Gemini's header."""
        if request.path == "/v1/models" and "x-goog-api-key" not in request.headers:
            return None, []
        return super().match(request)

    def models(self, call: Call) -> Response:
        """List some models."""
        self.check_key(call)
        methods = ["generateContent", "streamGenerateContent"]
        entries = [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in MODELS]
        return json_response({"models": entries})

    def chat(self, call: Call) -> Response:
        """Validate the request as the service does, then answer it, streamed or not."""
        self.check_key(call)
        record = parse_json(call.request)
        _validate(record)
        check_fields(record, _FIELDS, _refuse_field)
        accept_snake_case(record)
        check_required(record, _REQUIRED, _refuse_missing)
        _check_variants(record)
        model = call.request.path.rpartition("/")[2].partition(":")[0]
        check_retired(
            find_record("gemini", model),
            "This model models/{model} is no longer available to new users. Please update your code to use a newer "
            "model for the latest features and improvements.",
        )
        _check_search(record, model)
        images = gemini_images(record, model, _text(record["contents"][-1]))
        tokens_for = _logprobs_option(record)
        output = build_output(call, _chat_request(record))
        tokens = [] if tokens_for is None or output.tool_calls else tokens_of(output.text_parts, tokens_for)
        cached = call.use_cache(gemini_prompt(record, model), output.prompt_tokens, output.output_tokens)
        head = {"modelVersion": model, "responseId": self.digest(json.dumps(record))[:22]}
        if not _is_streaming(call.request):
            parts = [*_all_parts(output), *images]
            return json_response(_chunk(head, output, cached, parts, tokens, is_last=True, images=images))
        chunks = list(_chunks(head, output, cached, tokens, images))
        if call.request.query.get("alt") == "sse":
            return stream_response("text/event-stream", [Piece(_event(record), phase) for record, phase in chunks])
        return stream_response("application/json; charset=UTF-8", _array(chunks))

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build an error object with status and details; for a JSON stream, as an array of one."""
        if error.reason == "content-filter" and error.explicit_status is None:
            return self._blocked(request)
        record = {"error": _error_object(error)}
        status, _ = _STATUSES.get(error.reason, (error.status, ""))
        in_array = request is not None and _is_streaming(request) and request.query.get("alt") != "sse"
        # The retry delay is in the body here, not in a header.
        return json_response([record] if in_array else record, error.explicit_status or status)

    def error_event(self, error: APIError) -> bytes:
        """Build an event with the error object."""
        return _event({"error": _error_object(error)})

    def _blocked(self, request: Request | None) -> Response:
        record = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 1}}
        if request is not None and request.query.get("alt") == "sse":
            return stream_response("text/event-stream", [Piece(_event(record), "open")])
        return json_response([record] if request is not None and _is_streaming(request) else record)

    def check_key(self, call: Call) -> None:
        """Reject a call without a valid API key."""
        headers = call.request.headers
        # An access token is for Vertex AI.
        token = headers.get("authorization", "").partition(" ")[2] if "/projects/" in call.request.path else ""
        key = headers.get("x-goog-api-key") or token or call.request.query.get("key", "")
        if self.settings.api_keys is not None and not key:
            raise APIError("forbidden", "Method doesn't allow unregistered callers. Please use an API key.")
        if self.settings.api_keys is not None and key not in self.settings.api_keys:
            raise APIError("unauthorized")


def _is_streaming(request: Request) -> bool:
    return request.path.endswith(":streamGenerateContent")


def _error_object(error: APIError) -> dict[str, Any]:
    code, status = _STATUSES.get(error.reason, (error.status, "INVALID_ARGUMENT"))
    message = error.message_from(_MESSAGES)
    record: dict[str, Any] = {"code": error.explicit_status or code, "message": message, "status": status}
    if error.reason == "unauthorized":
        record["details"] = [{"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
    if error.reason in ("quota", "rate-limit"):
        record["details"] = _violations("PerDay" if error.reason == "quota" else "PerMinute", error)
    return record


def _violations(period: str, error: APIError) -> list[dict[str, Any]]:
    quota = {"quotaId": f"GenerateRequests{period}PerProjectPerModel-FreeTier", "quotaValue": "15"}
    details: list[dict[str, Any]] = [{"@type": f"{_RPC}QuotaFailure", "violations": [quota]}]
    delays = [value for name, value in error.headers if name.lower() == "retry-after"]
    return details + [{"@type": f"{_RPC}RetryInfo", "retryDelay": f"{delay}s"} for delay in delays]


def _snake_case(path: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", path)


def _refuse_missing(place: str, name: str) -> APIError:
    path = f"GenerateContentRequest.{_snake_case(f'{place}.{name}')}"
    if place.startswith("tools"):
        return APIError("bad-request", f"* {path}: Invalid function name. Must start with a letter or an underscore.\n")
    return APIError("bad-request", f"* {path}: must not be empty.\n")


def _check_variants(record: dict[str, Any]) -> None:
    """Reject a tool and a part that are none of what they could be."""
    for number, tool in enumerate(record.get("tools") or ()):
        if not _names(tool):
            raise _refuse_empty(f"tools[{number}].tool_type", "one_of 'tool_type'")
    for index, content in enumerate(record["contents"]):
        for number, part in enumerate(content["parts"]):
            if not _names(part) - _SIDE_FIELDS:
                raise _refuse_empty(f"contents[{index}].parts[{number}].data", "oneof field 'data'")


def _names(record: dict[str, Any]) -> set[str]:
    """Return the names of the fields that are set."""
    return {name for name, value in record.items() if value is not None}


def _refuse_empty(place: str, choice: str) -> APIError:
    message = f"* GenerateContentRequest.{place}: required {choice} must have one initialized field\n"
    return APIError("bad-request", message)


def _refuse_field(bad: BadField) -> APIError:
    place = _snake_case(bad.path)
    value = json.dumps(bad.value)[:60]
    if not bad.is_out_of_bounds:
        return APIError("bad-request", f"Invalid value at '{place}' (must be {bad.expected}), {value}")
    low, high = ("unbounded" if bound is None else f"{bound:g}" for bound in (bad.field.low, bad.field.high))
    return APIError("bad-request", f"* {place}: value must be in the range [{low}, {high}], but got {value}")


def _validate(record: dict[str, Any]) -> None:
    contents = record.get("contents")
    if not isinstance(contents, list) or not contents:
        raise APIError("bad-request", "* GenerateContentRequest.contents: contents is not specified")
    for content in contents:
        if not isinstance(content, dict) or not isinstance(content.get("parts"), list):
            raise APIError("bad-request", "* GenerateContentRequest.contents: contents.parts must not be empty.")
        if content.get("role", "user") not in ("user", "model", "function"):
            raise APIError("bad-request", "Please use a valid role: user, model.")


def _chat_request(record: dict[str, Any]) -> ChatRequest:
    texts = [_text(content) for content in record["contents"] if content.get("role", "user") == "user"]
    config = record.get("generationConfig") or {}
    groups = [group.get("functionDeclarations") or () for group in record.get("tools") or ()]
    declarations = [declaration for group in groups for declaration in group]
    calling_config = (record.get("toolConfig") or {}).get("functionCallingConfig") or {}
    results = [part["functionResponse"] for part in record["contents"][-1]["parts"] if "functionResponse" in part]
    wants_json = config.get("responseMimeType") == "application/json"
    return ChatRequest(
        turns=[text for text in texts if text],
        tools={
            str(declaration.get("name")): declaration.get("parametersJsonSchema") or declaration.get("parameters", {})
            for declaration in declarations
        },
        tool_choice=[*calling_config.get("allowedFunctionNames", ()), "*"][0]
        if calling_config.get("mode") == "ANY"
        else None,
        tool_results=[json.dumps(result.get("response")) for result in results],
        schema=config.get("responseJsonSchema") or config.get("responseSchema") or {} if wants_json else None,
        max_tokens=config.get("maxOutputTokens"),
        searches=_offers_search(record),
        adds_server_calls=bool((record.get("toolConfig") or {}).get("includeServerSideToolInvocations")),
    )


def _offers_search(record: dict[str, Any]) -> bool:
    return any("google_search" in tool or "googleSearch" in tool for tool in record.get("tools") or ())


def _check_search(record: dict[str, Any], model: str) -> None:
    tools, config = record.get("tools") or [], record.get("toolConfig") or {}
    declares = any(tool.get("functionDeclarations") for tool in tools)
    refuse_combination(
        config.get("functionCallingConfig") and not declares,
        "Function calling config is set without function_declarations.",
    )
    combines = declares and _offers_search(record)
    refuse_combination(
        combines and re.match(r"gemini-[12]\b", model),
        "Built-in tools ({google_search}) and Function Calling cannot be combined in the same request.",
    )
    refuse_combination(
        combines and not config.get("includeServerSideToolInvocations"),
        "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function calling.",
    )
    parts = [part for content in record["contents"] for part in content["parts"]]
    refuse_combination(
        combines and any("functionResponse" in part for part in parts) and not all(map(parts.count, _SERVER_PARTS)),
        "Tool call is missing a thought_signature in toolCall parts.",
    )


#: A search that comes before the call of a function, and must be sent back unchanged.
_SERVER_PARTS: tuple[dict[str, Any], ...] = (
    {"toolCall": {"id": "srv1", "toolType": "GOOGLE_SEARCH_WEB"}, "thoughtSignature": "c2VhcmNo"},
    {"toolResponse": {"id": "srv1", "toolType": "GOOGLE_SEARCH_WEB", "response": {}}, "thoughtSignature": "Zm91bmQ="},
)


def _grounding(search: WebSearch) -> dict[str, Any]:
    """Return where the answer comes from: places are counted in bytes, and a zero is left out."""
    if search.error:
        return {}
    supports: list[dict[str, Any]] = []
    position = 0
    for segment in search.segments:
        start, position = position, position + len(segment.text.encode())
        if segment.page is not None:
            place: dict[str, Any] = {"startIndex": start} if start else {}
            supports.append(
                {
                    "segment": {**place, "endIndex": position, "text": segment.text},
                    "groundingChunkIndices": [list(search.pages).index(segment.page)],
                }
            )
    return {
        "webSearchQueries": [search.query, search.query],
        "groundingChunks": [{"web": {"uri": page.url, "title": page.title}} for page in search.pages],
        "groundingSupports": supports,
        "searchEntryPoint": {"renderedContent": "<div>search</div>"},
    }


def _text(content: dict[str, Any]) -> str:
    return "\n".join(str(part["text"]) for part in content["parts"] if isinstance(part, dict) and part.get("text"))


def _tool_calls(output: Output) -> list[dict[str, Any]]:
    server_parts = list(_SERVER_PARTS) if output.adds_server_calls and output.tool_calls else []
    return server_parts + [
        {"functionCall": {"name": tool_call.name, "args": tool_call.arguments}} for tool_call in output.tool_calls
    ]


def _all_parts(output: Output) -> list[dict[str, Any]]:
    reasoning: list[dict[str, Any]] = [{"text": output.reasoning, "thought": True}] if output.reasoning_parts else []
    return reasoning + (_tool_calls(output) if output.tool_calls else [{"text": output.text}])


def _logprobs_option(record: dict[str, Any]) -> int | None:
    """Return the number of alternatives to each token, None if no log probabilities are asked for."""
    config = record.get("generationConfig") or {}
    count: int | None = config.get("logprobs")
    if config.get("responseLogprobs"):
        return count or 0
    if count is not None:
        raise APIError("bad-request", "Logprobs is set but response_logprobs is not enabled.")
    return None


def _chunk(
    head: dict[str, Any],
    output: Output,
    cached: CacheUse,
    parts: list[dict[str, Any]],
    tokens: Sequence[Token] = (),
    *,
    is_last: bool = False,
    images: Sequence[Any] = (),
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if tokens:
        candidate["avgLogprobs"] = sum(token.logprob for token in tokens) / len(tokens)
        candidate["logprobsResult"] = gemini_result(tokens)
    usage: dict[str, Any] = {
        "promptTokenCount": cached.total,
        "totalTokenCount": cached.total,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": cached.total}],
        **({"cachedContentTokenCount": cached.read} if cached.read else {}),
    }
    if is_last:
        grounding = _grounding(output.search) if output.search is not None else {}
        candidate.update({"groundingMetadata": grounding} if grounding else {})
        candidate["finishReason"] = output.finish_reason("STOP", "MAX_TOKENS", "STOP")
        usage["candidatesTokenCount"] = output.output_tokens - len(output.reasoning_parts)
        usage["totalTokenCount"] += output.output_tokens
        add_gemini_usage(usage, images)
        usage.update({"thoughtsTokenCount": len(output.reasoning_parts)} if output.reasoning_parts else {})
    return {"candidates": [candidate], "usageMetadata": usage, **head}


def _chunks(
    head: dict[str, Any], output: Output, cached: CacheUse, tokens: Sequence[Token], images: Sequence[Any]
) -> Iterator[tuple[dict[str, Any], str]]:
    for part in output.reasoning_parts:
        yield _chunk(head, output, cached, [{"text": part, "thought": True}]), "open"
    for number, part in enumerate(output.text_parts):
        yield _chunk(head, output, cached, [{"text": part}], tokens[number : number + 1]), "text"
    for call in _tool_calls(output):
        yield _chunk(head, output, cached, [call]), "text"
    for image in images:
        yield _chunk(head, output, cached, [image]), "text"
    yield _chunk(head, output, cached, [{"text": ""}], is_last=True, images=images), "finish"


def _event(record: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(record)}\r\n\r\n".encode()


def _array(chunks: list[tuple[dict[str, Any], str]]) -> list[Piece]:
    starts = [b"[", *[b",\r\n"] * len(chunks)]
    pieces = [Piece(start + json.dumps(record).encode(), phase) for start, (record, phase) in zip(starts, chunks)]
    return [*pieces, Piece(b"\n]", "done")]
