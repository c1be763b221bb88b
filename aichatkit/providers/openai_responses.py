"""OpenAI's Responses API, the successor to chat completions: items in, typed events out; `store` is off.

An answer ends with `response.completed` or `response.incomplete`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import requests

from aichatkit import _json
from aichatkit._lazy import lazy_module
from aichatkit.chunks import (
    Answered,
    Finish,
    Part,
    Reasoning,
    Refusal,
    ToolCall,
    ToolCallPart,
    Unread,
    Usage,
    Whole,
    dict_or_empty,
    dicts_in,
)
from aichatkit.errors import BadResponseError
from aichatkit.events import Event, sniffing
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers import cache_marks, openai_images
from aichatkit.providers.base import NO_OPTIONS, WEB_IMAGES, Options, Provider, Tool
from aichatkit.providers.odd_events import check_error, parse_unreadable
from aichatkit.providers.openai import OpenAI
from aichatkit.providers.openai_usage import parse_usage
from aichatkit.providers.request_bodies import (
    add_options,
    call_id,
    file_uri,
    iter_parts,
    set_path,
    stream_headers,
    unsupported_file_error,
)
from aichatkit.structured import dialects

if TYPE_CHECKING:
    from aichatkit.providers import logprobs, search_results
else:
    # Few calls search, or ask for log probabilities.
    logprobs = lazy_module("aichatkit.providers.logprobs")
    search_results = lazy_module("aichatkit.providers.search_results")

#: The ids of tool calls that the service takes.
_CALL_IDS = r"[\s\S]{1,40}"
_FINISH_REASONS = {"completed": "stop", "max_output_tokens": "length"}
_REASONING_DELTAS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


class OpenAIResponses(Provider):
    """Chat with OpenAI's models through the Responses API."""

    name = "openai-responses"
    url = "https://api.openai.com/v1"
    path = "/responses"
    models_path = "/models"
    priced_as = "openai"
    default_model = OpenAI.default_model
    models: ClassVar[Sequence[str]] = (*(name for name in OpenAI.models if not OpenAI.draws(name)), "gpt-5.5-pro")
    api_key_env: ClassVar[str | Sequence[str]] = "OPENAI_API_KEY"
    base_url_env = "OPENAI_BASE_URL"
    settings_env: ClassVar[Mapping[str, str]] = {
        "OpenAI-Organization": "OPENAI_ORG_ID",
        "OpenAI-Project": "OPENAI_PROJECT_ID",
    }
    writes_cache = True
    cache_style = "openai"
    region_urls = OpenAI.region_urls
    requires_end = True
    takes_files = frozenset({"image", "pdf", "text"})
    takes_result_files: ClassVar[frozenset[str] | None] = frozenset({"image", "pdf"})
    takes_images = WEB_IMAGES
    takes_tools = True
    takes_schema = True
    tool_choice_style = "responses"
    takes_service_tools = True
    search_style = "responses"
    iter_events = staticmethod(sniffing.iter_sse_or_json)
    params: ClassVar[Mapping[str, str]] = {
        "logprobs": "logprobs",
        "max_tokens": "max_output_tokens",
        "parallel_tool_calls": "parallel_tool_calls",
        "reasoning_effort": "reasoning.effort",
        "temperature": "temperature",
        "top_logprobs": "top_logprobs",
        "top_p": "top_p",
        "user": "user",
        "verbosity": "text.verbosity",
    }
    effort_style = "responses"

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        built = [list(self._build_items(message)) for message in messages]
        payload: dict[str, Any] = {"model": model, "input": [], "stream": True, "store": False}
        if options.cache is not None:
            cache_marks.mark_openai(payload, built, options.cache)
        payload["input"] = [item for items in built for item in items]
        if options.tools:
            payload["tools"] = [_build_tool(tool) for tool in options.tools]
        if options.schema is not None:
            strict = dialects.strict(options.schema)
            response_format = {"type": "json_schema", "name": "answer", "schema": strict or options.schema}
            set_path(payload, "text.format", {**response_format, "strict": strict is not None})
        payload = add_options(payload, self.params, options, provider=self, model=model)
        if "logprobs" in self.params and payload.pop("logprobs", None):
            payload["include"] = [*payload.get("include", ()), "message.output_text.logprobs"]
        return requests.Request("POST", self.api_endpoint, json=payload, headers=stream_headers(self, options))

    def parse_event(self, event: Event) -> Any:
        try:
            record = event.json()
        except ValueError:
            # Gateways end a stream as in chat completions.
            return parse_unreadable(self, event)
        event_type = record.get("type") if isinstance(record, dict) else None
        if event_type == "response.output_text.delta":
            if record.get("logprobs"):
                return [Part(_keys(record)), *logprobs.parse_entries(record["logprobs"]), record["delta"]]
            # Only what is not the first part of its item needs its name.
            return [Part(_keys(record)), record["delta"]] if record.get("content_index") else record["delta"]
        check_error(self, event, record)
        if event_type in _REASONING_DELTAS:
            return Reasoning(record["delta"])
        if record.get("object") == "response":
            return [*_parse_output(record), *_parse_ending(record)]
        parse = _PARSERS.get(event_type or "")
        return list(parse(record)) if parse else None

    def _build_items(self, message: Message) -> Iterator[dict[str, Any]]:
        if isinstance(message, ToolResultMessage):
            output: Any = message.content
            if not isinstance(output, str):
                output = self._build_content(message)
            yield {"type": "function_call_output", "call_id": call_id(message.call, _CALL_IDS), "output": output}
            return
        content = self._build_content(message)
        if content:
            yield {"role": message.role, "content": content}
        for call in message.calls if isinstance(message, ToolCallsMessage) else ():
            yield _build_call(call)

    def _build_content(self, message: Message) -> list[dict[str, Any]]:
        # The assistant's text is output, even when sent back as input.
        text_type = "output_text" if message.role == "assistant" else "input_text"
        parts = iter_parts(message.content, provider=self.name)
        return [
            {"type": text_type, "text": part} if isinstance(part, str) else self._build_file(part) for part in parts
        ]

    def _build_file(self, file: File) -> dict[str, Any]:
        if file.kind == "image":
            detail = {"detail": file.detail} if file.detail else {}
            return {"type": "input_image", "image_url": file_uri(file, provider=self.name), **detail}
        if file.kind not in self.takes_files:
            raise unsupported_file_error(file, provider=self.name)
        if file.url and not file.data:
            return {"type": "input_file", "file_url": file.url}
        uri = file_uri(file, provider=self.name)
        return {"type": "input_file", "filename": file.name or "file", "file_data": uri}


def _build_tool(tool: Tool) -> dict[str, Any]:
    strict = dialects.strict(tool.parameters)
    # `strict` defaults to true.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": strict or tool.parameters,
        "strict": strict is not None,
    }


def _build_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": _json.dumps(call.arguments)}
    return {"type": "function_call", "call_id": call_id(call, _CALL_IDS), **function}


def _parse_created(record: Mapping[str, Any]) -> Iterator[Any]:
    response = record.get("response") or {}
    if response.get("model"):
        yield Answered(response["model"], response.get("id") or "")


def _parse_refusal(record: Mapping[str, Any]) -> Iterator[Any]:
    yield Part(_keys(record))
    yield Refusal(record["delta"])


def _parse_part_added(record: Mapping[str, Any]) -> Iterator[Any]:
    yield Part(_keys(record))


def _parse_text_done(record: Mapping[str, Any]) -> Iterator[Any]:
    refusal = record.get("refusal")
    yield Whole((Refusal(refusal) if isinstance(refusal, str) else record.get("text") or "",), _keys(record))


def _parse_reasoning_done(record: Mapping[str, Any]) -> Iterator[Any]:
    yield Whole((Reasoning(record.get("text") or ""),), _keys(record, "reasoning"))


def _parse_annotation(record: Mapping[str, Any]) -> Iterator[Any]:
    yield from search_results.parse_annotations([record.get("annotation")], _keys(record))


def _parse_item_added(record: Mapping[str, Any]) -> Iterator[Any]:
    item = record["item"]
    if item["type"] == "function_call":
        yield _call_part(item, record.get("output_index"))
    elif item["type"] == "message":
        yield Part(_keys({**record, "item_id": item.get("id")}))


def _parse_arguments(record: Mapping[str, Any]) -> Iterator[Any]:
    yield ToolCallPart(record.get("output_index"), arguments=record["delta"])


def _parse_arguments_done(record: Mapping[str, Any]) -> Iterator[Any]:
    arguments = record.get("arguments") or ""
    yield ToolCallPart(record.get("output_index"), name=record.get("name") or "", arguments=arguments, whole=True)


def _parse_item_done(record: Mapping[str, Any]) -> Iterator[Any]:
    item = record["item"]
    position = {"item_id": item.get("id"), "output_index": record.get("output_index")}
    if item["type"] == "message":
        for index, part in enumerate(item.get("content") or ()):
            keys = _keys({**position, "content_index": index})
            yield Whole(tuple(_parse_content(part, keys)), keys)
    else:
        yield Whole(tuple(_parse_item(item, record.get("output_index"), repeats=True)), _keys(position, "item"))


def _parse_end(record: Mapping[str, Any]) -> Iterator[Any]:
    response = record["response"]
    if response.get("output"):
        yield Whole(tuple(_parse_output(response, repeats=True)))
    yield from _parse_ending({"status": record["type"].rpartition(".")[2], **response})


_PARSERS = {
    "response.created": _parse_created,
    "response.content_part.added": _parse_part_added,
    "response.refusal.delta": _parse_refusal,
    "response.refusal.done": _parse_text_done,
    "response.output_text.done": _parse_text_done,
    "response.output_text.annotation.added": _parse_annotation,
    "response.output_item.added": _parse_item_added,
    "response.function_call_arguments.delta": _parse_arguments,
    "response.function_call_arguments.done": _parse_arguments_done,
    "response.reasoning_summary_text.done": _parse_reasoning_done,
    "response.reasoning_text.done": _parse_reasoning_done,
    "response.output_item.done": _parse_item_done,
    "response.completed": _parse_end,
    "response.incomplete": _parse_end,
}


def _keys(record: Mapping[str, Any], part_type: str = "text") -> tuple[Any, ...]:
    """Return the names of a part: services leave out one or the other."""
    index = record.get("content_index", record.get("summary_index")) or 0
    names = ("item_id", "output_index")
    return tuple(
        (part_type, name, record[name], index) for name in names if isinstance(record.get(name), (int, str))
    ) or ((part_type, "", "", index),)


def _parse_output(response: Mapping[str, Any], *, repeats: bool = False) -> Iterator[Any]:
    for index, item in enumerate(response["output"]):
        yield from _parse_item(item, index, repeats=repeats)


def _parse_item(item: Mapping[str, Any], position: int | None, *, repeats: bool = False) -> Iterator[Any]:
    item_type = item["type"]
    if item_type == "message":
        for index, part in enumerate(item.get("content") or ()):
            keys = _keys({"item_id": item.get("id"), "output_index": position, "content_index": index})
            if not repeats:
                yield Part(keys)
                yield from logprobs.parse_entries(part["logprobs"]) if part.get("logprobs") else ()
            yield from _parse_content(part, keys)
    elif item_type == "reasoning":
        for part in (*(item.get("summary") or ()), *(item.get("content") or ())):
            yield Reasoning(part.get("text") or "")
    elif item_type == "function_call":
        yield _call_part(item, position, whole=repeats)
    elif item_type == "image_generation_call" and item.get("result"):
        yield _picture(item["result"])
    elif item_type == "web_search_call":
        yield from search_results.parse_search_item(item, position)


def _parse_content(part: Mapping[str, Any], keys: Sequence[Any]) -> Iterator[Any]:
    if part.get("refusal"):
        yield Refusal(part["refusal"])
    else:
        yield part.get("text") or ""
    if part.get("annotations"):
        yield from search_results.parse_annotations(part["annotations"], keys)


def _call_part(item: Mapping[str, Any], position: int | None, *, whole: bool = False) -> ToolCallPart:
    id = item.get("call_id") or item.get("id") or ""
    return ToolCallPart(position, id, item.get("name") or "", item.get("arguments") or "", whole=whole)


def _picture(data: str) -> Any:
    try:
        return openai_images.decode_picture(data)
    except BadResponseError as error:
        return Unread(error)
    except ValueError:
        return Unread(BadResponseError("the picture cannot be decoded: its base64 is damaged"))


def _parse_ending(response: Mapping[str, Any]) -> Iterator[Any]:
    if response.get("model"):
        yield Answered(response["model"], response.get("id") or "")
    yield from parse_usage(response.get("usage"), tier=response.get("service_tier"))
    yield from _parse_searches(response)
    # An incomplete response may have no reason; then use its status.
    reason = dict_or_empty(response.get("incomplete_details")).get("reason") or response.get("status") or "completed"
    yield Finish(_FINISH_REASONS.get(reason, reason), last=True)


def _parse_searches(response: Mapping[str, Any]) -> Iterator[Usage]:
    """Yield the number of searches, each of which is charged for; reading a page that was found is free."""
    calls = [item for item in dicts_in(response.get("output")) if item.get("type") == "web_search_call"]
    searches = [item for item in calls if dict_or_empty(item.get("action")).get("type", "search") == "search"]
    if calls:
        yield Usage(searches=len(searches))
