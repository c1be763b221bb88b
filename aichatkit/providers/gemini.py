"""Google's Gemini: contents made of parts in; a stream of events or one JSON array out.

The only end marker is a `finishReason` on the last candidate; a blocked prompt gets no candidates at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import requests

from aichatkit._lazy import lazy_module
from aichatkit.chunks import (
    Answered,
    ArgumentFields,
    Block,
    Citation,
    Finish,
    Part,
    Picture,
    Reasoning,
    ToolCall,
    ToolCallPart,
    dict_or_empty,
    dicts_in,
    is_generated_call_id,
)
from aichatkit.errors import ConfigurationError, ContentFilteredError
from aichatkit.events import Event, sniffing
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import NO_OPTIONS, Options, Provider, Tool
from aichatkit.providers.gemini_usage import parse_usage
from aichatkit.providers.odd_events import check_error, parse_unreadable
from aichatkit.providers.request_bodies import (
    add_options,
    encode_base64,
    exact_record,
    find_signature,
    iter_parts,
    merge_turns,
    parse_arguments,
    set_path,
    split_system,
)

if TYPE_CHECKING:
    from aichatkit.providers import image_fields, logprobs, search_results
else:
    # Few calls search, generate images, or ask for log probabilities.
    image_fields = lazy_module("aichatkit.providers.image_fields")
    logprobs = lazy_module("aichatkit.providers.logprobs")
    search_results = lazy_module("aichatkit.providers.search_results")

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

#: Models that ask for no signatures, and models that take tools and a schema together.
_EARLY_MODEL, _LATE_MODEL = (
    re.compile(r"gemini-[12](?![0-9])|gemma|learnlm"),
    re.compile(r"gemini-(?:[3-9]|[1-9][0-9])"),
)
_NO_SIGNATURE = "skip_thought_signature_validator"
#: Files that the service knows the types of: uploaded ones, and films.
_OWN_FILE = re.compile(r"https://(?:generativelanguage\.googleapis\.com/|(?:www\.)?youtube\.com/|youtu\.be/)")

_STEP = re.compile(r"""\.([^.\[\]]+)|\[([0-9]+)\]|\[['"]([^'"]+)['"]\]""")
_PATH = re.compile(rf"\$(?:{_STEP.pattern})+")
#: The fields of a candidate that is text only, and of a record that holds nothing but such a candidate.
_TEXT_CANDIDATE = {"content", "index", "safetyRatings"}
_TEXT_RECORD = {"candidates", "modelVersion", "responseId", "usageMetadata", "createTime"}


#: Models that generate images only if the request lists them as a modality.
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
    takes_result_files = frozenset({"image", "pdf"})
    takes_images = frozenset(("image/heic", "image/heif", "image/jpeg", "image/png", "image/webp"))
    takes_tools = True
    takes_schema = True
    tool_choice_style = "gemini"
    takes_service_tools = True
    search_style = "gemini"
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
    image_style = "gemini"

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        system, others = split_system(messages)
        turns = merge_turns((_role(message), self._build_parts(message, model)) for message in others)
        payload: dict[str, Any] = {"contents": [{"role": role, "parts": parts} for role, parts in turns]}
        if system:
            payload["systemInstruction"] = {"parts": [{"text": system}]}
        if options.tools:
            payload["tools"] = [{"functionDeclarations": [_build_tool(tool) for tool in options.tools]}]
        if options.tools and (options.search is not None or options.service_tools):
            # The parts of the service's tools are then in the answer, and are sent back with the results of functions.
            set_path(payload, "toolConfig.includeServerSideToolInvocations", True)
        if options.schema is not None:
            set_path(payload, "generationConfig.responseMimeType", "application/json")
            set_path(payload, "generationConfig.responseJsonSchema", options.schema)
        if _DRAWS.search(model):
            set_path(payload, "generationConfig.responseModalities", ["TEXT", "IMAGE"])
        if options.image is not None:
            for path, value in image_fields.image_fields(self, options.image).items():
                set_path(payload, path, value)
        payload = add_options(payload, self.params, options, provider=self, model=model)
        url = f"{self._model_url(model)}:streamGenerateContent?alt=sse"
        return requests.Request("POST", url, json=payload, headers=dict(self.headers))

    def _model_url(self, model: str) -> str:
        # A name with a slash already has its collection, such as tunedModels/mine.
        return f"{self.url}{self.version}/{quote(model if '/' in model else f'models/{model}')}"

    def parse_event(self, event: Event) -> Any:
        try:
            record = event.json()
        except ValueError:
            return parse_unreadable(self, event)
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
                and event.type != "json"
            ):
                return [text, *_parse_metadata(record)]
        except (LookupError, TypeError, ValueError, AttributeError):
            pass
        return self._parse_record(exact_record(event), event)

    def _parse_record(self, record: Any, event: Event) -> list[Any]:
        check_error(self, event, record)
        blocked = dict_or_empty(record.get("promptFeedback")).get("blockReason")
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
            # A JSON document that parses is complete; some bridges send it without a finish reason.
            *([Finish()] if event.type == "json" else ()),
        ]

    def takes_schema_for(self, model: str, options: Options) -> bool:
        # Before version 3, calls of tools cannot be combined with JSON answers; what an alias means is not known.
        uses_tools = bool(options.tools) or options.search is not None
        return not uses_tools or _LATE_MODEL.search(model) is not None

    def _build_parts(self, message: Message, model: str) -> list[dict[str, Any]]:
        if isinstance(message, ToolResultMessage):
            return self._build_result(message, model)
        if isinstance(message, ToolCallsMessage) and message.blocks_for(self.name):
            own = [{"text": block["text"]} if block.get("type") == "text" else dict(block) for block in message.blocks]
            return own + list(map(self._build_call, message.calls))
        contents = iter_parts(message.content, provider=self.name)
        parts = [{"text": part} if isinstance(part, str) else self._build_file(part) for part in contents]
        calls = message.calls if isinstance(message, ToolCallsMessage) else ()
        built = [self._build_call(call) for call in calls]
        if built and _EARLY_MODEL.search(model) is None:
            # A call made elsewhere has no signature, and without one on the first call the turn is rejected.
            built[0].setdefault("thoughtSignature", _NO_SIGNATURE)
        return parts + built

    def _build_result(self, message: ToolResultMessage, model: str) -> list[dict[str, Any]]:
        contents = list(iter_parts(message.content, provider=self.name))
        text = "\n".join(part for part in contents if isinstance(part, str))
        response: dict[str, Any] = {**_identify(message.call), "response": {"result": text}}
        files = [self._build_file(part) for part in contents if isinstance(part, File)]
        if files and _LATE_MODEL.search(model) is not None:
            response["parts"] = files
            files = []
        # Before version 3, a result has no files, but they may be next to it.
        return [{"functionResponse": response}, *files]

    def _build_call(self, call: ToolCall) -> dict[str, Any]:
        part: dict[str, Any] = {"functionCall": {**_identify(call), "args": call.arguments}}
        signature = find_signature(call, provider=self.name)
        return {**part, "thoughtSignature": signature} if signature else part

    def _build_file(self, file: File) -> dict[str, Any]:
        if file.url and not file.data:
            if not file.media_type.endswith("*"):
                return {"fileData": {"mimeType": file.media_type, "fileUri": file.url}}
            if _OWN_FILE.match(file.url):
                return {"fileData": {"fileUri": file.url}}
            raise ConfigurationError(
                f"{self.name} needs the type of a file, and {file.url!r} does not show it; pass the bytes, "
                "as in files=requests.get(url, timeout=30).content",
                provider=self.name,
                action="next",
            )
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
    for number, part in enumerate((candidate.get("content") or {}).get("parts") or ()):
        if number or "text" not in part or part.get("thought"):
            # Places of citations are counted from the start of a part of the text.
            yield Part((None,))
        yield from _parse_part(part)
    if candidate.get("logprobsResult"):
        yield from logprobs.parse_result(candidate["logprobsResult"])
    grounding = dict_or_empty(candidate.get("groundingMetadata"))
    if grounding:
        yield from search_results.parse_grounding(grounding)
    metadata = dict_or_empty(candidate.get("citationMetadata"))
    for source in dicts_in(metadata.get("citationSources") or metadata.get("citations")):
        yield from _parse_citation(source)
    reason = candidate.get("finishReason")
    if isinstance(reason, int):
        reason = _REASON_NUMBERS[reason] if 0 <= reason < len(_REASON_NUMBERS) else str(reason)
    if reason and reason != "FINISH_REASON_UNSPECIFIED":
        yield Finish(_FINISH_REASONS.get(reason, reason))


def _parse_part(part: Mapping[str, Any]) -> Iterator[Any]:
    if "toolCall" in part or "toolResponse" in part:
        yield Block(None, part)
        yield Block(None)
    if part.get("text"):
        yield Reasoning(part["text"]) if part.get("thought") else part["text"]
    data = part.get("inlineData") or {}
    if data.get("data") and not part.get("thought"):
        yield Picture(data=f"data:{data['mimeType']};base64,{data['data']}")
    call = part.get("functionCall")
    if call is not None:
        yield from _parse_call(call, part.get("thoughtSignature") or "")


def _parse_call(call: Mapping[str, Any], signature: str) -> Iterator[Any]:
    """Yield a call, whole or field by field: a piece without a name goes on with the call before it."""
    comes_in_pieces = bool(call.get("willContinue") or call.get("partialArgs"))
    if call.get("name"):
        arguments = "" if comes_in_pieces and not call.get("args") else parse_arguments(call.get("args") or {})
        yield ToolCallPart(None, call.get("id") or "", call["name"], arguments, signature)
    if comes_in_pieces or not call.get("name"):
        pieces = call.get("partialArgs") or ()
        fields = [(_parse_path(piece["jsonPath"]), _field_value(piece)) for piece in pieces]
        yield ArgumentFields(fields, more=bool(call.get("willContinue")))


def _parse_path(path: str) -> list[str | int]:
    """Return the steps of a JSON path.

    >>> _parse_path("$.stops[0].city"), _parse_path("$['a b']")
    (['stops', 0, 'city'], ['a b'])
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f"not a path of an argument: {path}")
    return [int(index) if index else quoted or name for name, index, quoted in _STEP.findall(path)]


def _field_value(piece: Mapping[str, Any]) -> Any:
    if "nullValue" in piece:
        return None
    return next(piece[name] for name in ("stringValue", "numberValue", "boolValue") if name in piece)


def _parse_citation(source: Mapping[str, Any]) -> Iterator[Citation]:
    if source.get("uri"):
        yield Citation(source["uri"], source.get("title") or "")
