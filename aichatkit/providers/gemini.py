"""Google's Gemini: contents made of parts in; a stream of events or one JSON array out.

The only end marker is a `finishReason` on the last candidate; a blocked prompt gets no candidates at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import requests

from aichatkit.chunks import (
    Answered,
    Citation,
    Finish,
    Picture,
    Reasoning,
    ToolCall,
    ToolCallPart,
    Usage,
    is_generated_call_id,
)
from aichatkit.classification import classify
from aichatkit.errors import ContentFilteredError
from aichatkit.events import Event, sniffing
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import NO_OPTIONS, Options, Provider, Tool
from aichatkit.providers.gemini_usage import parse_usage
from aichatkit.providers.request_bodies import (
    add_options,
    encode_base64,
    find_signature,
    iter_parts,
    merge_turns,
    parse_arguments,
    set_path,
    split_system,
)

_FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "MALFORMED_FUNCTION_CALL": "error",
    **dict.fromkeys(
        (
            "BLOCKLIST",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_SAFETY",
            "LANGUAGE",
            "PROHIBITED_CONTENT",
            "RECITATION",
            "SAFETY",
            "SPII",
        ),
        "content_filter",
    ),
}
#: Finish reasons by the enum number that some gateways send.
_REASON_NUMBERS = (
    "",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
)

#: The fields of a candidate that is text only, and of a record that holds nothing but such a candidate.
_TEXT_CANDIDATE = {"content", "index", "safetyRatings"}
_TEXT_RECORD = {"candidates", "modelVersion", "responseId", "usageMetadata", "createTime"}


#: Models that generate images only if asked for them.
_DRAWS = re.compile(r"-image|nano-banana")


class Gemini(Provider):
    """Chat with Google's Gemini models; the API key is sent in a header, never in the URL."""

    name = "gemini"
    url = "https://generativelanguage.googleapis.com"
    version = "/v1beta"
    path = "/v1beta/models"
    models_path = "/v1beta/models?pageSize=1000"
    default_model = "gemini-flash-latest"
    models = (
        "gemini-flash-latest",
        "gemini-flash-lite-latest",
        "gemini-pro-latest",
        "gemini-3.8-flash",
        "gemini-3.5-flash-lite",
        "gemini-nano-banana-2.1",
        "gemini-3-pro-image",
    )
    api_key_env = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    base_url_env = "GOOGLE_GEMINI_BASE_URL"
    key_header = "x-goog-api-key"
    key_prefix = ""
    rank = 3
    requires_end = True
    takes_files = frozenset({"image", "pdf", "audio", "text"})
    takes_tools = True
    takes_schema = True
    iter_events = staticmethod(sniffing.iter_sse_or_json_array)
    params: ClassVar[Mapping[str, str]] = {
        "frequency_penalty": "generationConfig.frequencyPenalty",
        "logprobs": "generationConfig.responseLogprobs",
        "max_tokens": "generationConfig.maxOutputTokens",
        "presence_penalty": "generationConfig.presencePenalty",
        "reasoning_effort": "generationConfig.thinkingConfig",
        "seed": "generationConfig.seed",
        "stop": "generationConfig.stopSequences",
        "temperature": "generationConfig.temperature",
        "top_k": "generationConfig.topK",
        "top_logprobs": "generationConfig.logprobs",
        "top_p": "generationConfig.topP",
    }
    effort_style = "gemini"

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        system, others = split_system(messages)
        turns = merge_turns((_role(message), self._build_parts(message)) for message in others)
        payload: dict[str, Any] = {"contents": [{"role": role, "parts": parts} for role, parts in turns]}
        if system:
            payload["systemInstruction"] = {"parts": [{"text": system}]}
        if options.tools:
            payload["tools"] = [{"functionDeclarations": [_build_tool(tool) for tool in options.tools]}]
        if options.schema is not None:
            set_path(payload, "generationConfig.responseMimeType", "application/json")
            set_path(payload, "generationConfig.responseJsonSchema", options.schema)
        if _DRAWS.search(model):
            set_path(payload, "generationConfig.responseModalities", ["TEXT", "IMAGE"])
        payload = add_options(payload, self.params, options, provider=self, model=model)
        # A name with a slash already has its collection, such as tunedModels/mine.
        resource = model if "/" in model else f"models/{model}"
        url = f"{self.url}{self.version}/{quote(resource)}:streamGenerateContent?alt=sse"
        return requests.Request("POST", url, json=payload, headers=dict(self.headers))

    def parse_event(self, event: Event) -> Any:
        record = event.json()
        # Fast path: one text, and the metadata that every record has.
        try:
            (candidate,) = record["candidates"]
            (part,) = candidate["content"]["parts"]
            text = part["text"]
            if (
                text.__class__ is str
                and len(part) == 1
                and not candidate.get("index")
                and candidate.keys() <= _TEXT_CANDIDATE
                and record.keys() <= _TEXT_RECORD
            ):
                return [text, *_parse_metadata(record)]
        except (LookupError, TypeError, ValueError, AttributeError):
            pass
        return self._parse_record(record)

    def _parse_record(self, record: Any) -> list[Any]:
        if classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        blocked = (record.get("promptFeedback") or {}).get("blockReason")
        if blocked:
            raise ContentFilteredError(
                f"{self.name}: the prompt was stopped by a content filter ({blocked}); change the prompt",
                provider=self.name,
                code=str(blocked),
            )
        candidates = [candidate for candidate in record.get("candidates") or () if not candidate.get("index")][:1]
        return [
            *(chunk for candidate in candidates for chunk in _parse_candidate(candidate)),
            *_parse_metadata(record),
        ]

    def _build_parts(self, message: Message) -> list[dict[str, Any]]:
        if isinstance(message, ToolResultMessage):
            return [{"functionResponse": {**_identify(message.call), "response": {"result": message.text}}}]
        contents = iter_parts(message.content, provider=self.name)
        parts = [{"text": part} if isinstance(part, str) else self._build_file(part) for part in contents]
        calls = message.calls if isinstance(message, ToolCallsMessage) else ()
        return parts + [self._build_call(call) for call in calls]

    def _build_call(self, call: ToolCall) -> dict[str, Any]:
        part: dict[str, Any] = {"functionCall": {**_identify(call), "args": call.arguments}}
        signature = find_signature(call, provider=self.name)
        return {**part, "thoughtSignature": signature} if signature else part

    def _build_file(self, file: File) -> dict[str, Any]:
        if file.url and not file.data:
            return {"fileData": {"mimeType": file.media_type, "fileUri": file.url}}
        return {"inlineData": {"mimeType": file.media_type, "data": encode_base64(file, provider=self.name)}}


def _role(message: Message) -> str:
    return "model" if message.role == "assistant" else "user"


def _build_tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}


def _identify(call: ToolCall) -> dict[str, Any]:
    # The service does not know ids generated by this package.
    has_id = bool(call.id) and not is_generated_call_id(call.id)
    return {"id": call.id, "name": call.name} if has_id else {"name": call.name}


def _parse_metadata(record: Mapping[str, Any]) -> list[Any]:
    """Return what every record has in addition to its text: the model, and the token usage so far."""
    chunks: list[Any] = []
    if record.get("modelVersion"):
        chunks.append(Answered(record["modelVersion"], record.get("responseId") or ""))
    chunks += parse_usage(record.get("usageMetadata"))
    return chunks


def _parse_candidate(candidate: Mapping[str, Any]) -> Iterator[Any]:
    for part in (candidate.get("content") or {}).get("parts") or ():
        yield from _parse_part(part)
    grounding = candidate.get("groundingMetadata") or {}
    if grounding.get("webSearchQueries"):
        # Queries may be listed twice, and are charged for once.
        yield Usage(searches=len(set(grounding["webSearchQueries"])))
    for chunk in grounding.get("groundingChunks") or ():
        yield from _parse_citation(chunk.get("web") or {})
    metadata = candidate.get("citationMetadata") or {}
    for source in metadata.get("citationSources") or metadata.get("citations") or ():
        yield from _parse_citation(source)
    reason = candidate.get("finishReason")
    if isinstance(reason, int):
        reason = _REASON_NUMBERS[reason] if 0 <= reason < len(_REASON_NUMBERS) else str(reason)
    if reason and reason != "FINISH_REASON_UNSPECIFIED":
        yield Finish(_FINISH_REASONS.get(reason, reason))


def _parse_part(part: Mapping[str, Any]) -> Iterator[Any]:
    if part.get("text"):
        yield Reasoning(part["text"]) if part.get("thought") else part["text"]
    data = part.get("inlineData") or {}
    if data.get("data") and not part.get("thought"):
        yield Picture(data=f"data:{data['mimeType']};base64,{data['data']}")
    call = part.get("functionCall")
    if call:
        arguments = parse_arguments(call.get("args") or {})
        yield ToolCallPart(None, call.get("id") or "", call["name"], arguments, part.get("thoughtSignature") or "")


def _parse_citation(source: Mapping[str, Any]) -> Iterator[Citation]:
    if source.get("uri"):
        yield Citation(source["uri"], source.get("title") or "")
