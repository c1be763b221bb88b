"""OpenAI's Responses API, the successor to chat completions: items in, typed events out; `store` is off.

An answer ends with `response.completed` or `response.incomplete`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import requests

from aichatkit.chunks import Answered, Citation, Finish, Reasoning, ToolCall, ToolCallPart, Usage
from aichatkit.classification import classify
from aichatkit.events import Event, sniffing
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers import openai_images
from aichatkit.providers.base import NO_OPTIONS, Options, Provider, Tool
from aichatkit.providers.openai_usage import parse_usage
from aichatkit.providers.request_bodies import (
    add_options,
    call_id,
    file_uri,
    is_strict,
    iter_parts,
    set_path,
    stream_headers,
    unsupported_file_error,
)

_FINISH_REASONS = {"completed": "stop", "max_output_tokens": "length"}
_REASONING_DELTAS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


class OpenAIResponses(Provider):
    """Chat with OpenAI's models through the Responses API."""

    name = "openai-responses"
    url = "https://api.openai.com/v1"
    path = "/responses"
    models_path = "/models"
    priced_as = "openai"
    default_model = "gpt-6-luna"
    models: ClassVar[Sequence[str]] = (
        "gpt-6-luna",
        "gpt-6-sol",
        "gpt-6.1-terra",
        "gpt-6.1-sol",
        "gpt-6-astra",
        "gpt-5.4-mini",
        "gpt-5.5-pro",
    )
    api_key_env: ClassVar[str | Sequence[str]] = "OPENAI_API_KEY"
    base_url_env = "OPENAI_BASE_URL"
    settings_env: ClassVar[Mapping[str, str]] = {
        "OpenAI-Organization": "OPENAI_ORG_ID",
        "OpenAI-Project": "OPENAI_PROJECT_ID",
    }
    region_urls = r"https://(eu|us)\.api\.openai\.com"
    requires_end = True
    takes_files = frozenset({"image", "pdf", "text"})
    takes_tools = True
    takes_schema = True
    iter_events = staticmethod(sniffing.iter_sse_or_json)
    params: ClassVar[Mapping[str, str]] = {
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
        items = [item for message in messages for item in self._build_items(message)]
        payload: dict[str, Any] = {"model": model, "input": items, "stream": True, "store": False}
        if options.tools:
            payload["tools"] = [_build_tool(tool) for tool in options.tools]
        if options.schema is not None:
            response_format = {"type": "json_schema", "name": "answer", "schema": options.schema}
            set_path(payload, "text.format", {**response_format, "strict": is_strict(options.schema)})
        payload = add_options(payload, self.params, options, provider=self, model=model)
        return requests.Request("POST", self.api_endpoint, json=payload, headers=stream_headers(self, options))

    def parse_event(self, event: Event) -> Any:
        # Gateways end a stream as in chat completions.
        if event.data.startswith("[DONE]"):
            return None
        record = event.json()
        event_type = record.get("type")
        if event_type == "response.output_text.delta":
            return record["delta"]
        if classify.find_error(record) is not None or event.type == "error":
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        if event_type in _REASONING_DELTAS:
            return Reasoning(record["delta"])
        if record.get("object") == "response":
            return [*_parse_output(record), *_parse_ending(record)]
        parse = _PARSERS.get(event_type)
        return list(parse(record)) if parse else None

    def _build_items(self, message: Message) -> Iterator[dict[str, Any]]:
        if isinstance(message, ToolResultMessage):
            yield {"type": "function_call_output", "call_id": call_id(message.call), "output": message.text}
            return
        # The assistant's text is output, even when sent back as input.
        text_type = "output_text" if message.role == "assistant" else "input_text"
        parts = iter_parts(message.content, provider=self.name)
        content = [
            {"type": text_type, "text": part} if isinstance(part, str) else self._build_file(part) for part in parts
        ]
        if content:
            yield {"role": message.role, "content": content}
        for call in message.calls if isinstance(message, ToolCallsMessage) else ():
            yield _build_call(call)

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
    # `strict` defaults to true.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": is_strict(tool.parameters),
    }


def _build_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"type": "function_call", "call_id": call_id(call), **function}


def _parse_created(record: Mapping[str, Any]) -> Iterator[Any]:
    response = record.get("response") or {}
    if response.get("model"):
        yield Answered(response["model"], response.get("id") or "")


def _parse_refusal(record: Mapping[str, Any]) -> Iterator[Any]:
    yield record["delta"]


def _parse_annotation(record: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_citations([record["annotation"]])


def _parse_item_added(record: Mapping[str, Any]) -> Iterator[Any]:
    item = record["item"]
    if item["type"] == "function_call":
        yield ToolCallPart(record["output_index"], item["call_id"], item["name"], item.get("arguments") or "")


def _parse_arguments(record: Mapping[str, Any]) -> Iterator[Any]:
    yield ToolCallPart(record["output_index"], arguments=record["delta"])


def _parse_item_done(record: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_image(record["item"])


def _parse_end(record: Mapping[str, Any]) -> Iterator[Any]:
    yield from _parse_ending({"status": record["type"].rpartition(".")[2], **record["response"]})


_PARSERS = {
    "response.created": _parse_created,
    "response.refusal.delta": _parse_refusal,
    "response.output_text.annotation.added": _parse_annotation,
    "response.output_item.added": _parse_item_added,
    "response.function_call_arguments.delta": _parse_arguments,
    "response.output_item.done": _parse_item_done,
    "response.completed": _parse_end,
    "response.incomplete": _parse_end,
}


def _parse_output(response: Mapping[str, Any]) -> Iterator[Any]:
    for index, item in enumerate(response["output"]):
        for part in item.get("summary") or ():
            yield Reasoning(part["text"])
        if item["type"] == "message":
            for part in item["content"]:
                yield part.get("text") or part.get("refusal") or ""
                yield from _parse_citations(part.get("annotations") or ())
        yield from _parse_item_added({"item": item, "output_index": index})
        yield from _parse_image(item)


def _parse_image(item: Mapping[str, Any]) -> Iterator[Any]:
    if item["type"] == "image_generation_call" and item.get("result"):
        yield openai_images.decode_picture(item["result"])


def _parse_citations(annotations: Sequence[Mapping[str, Any]]) -> Iterator[Citation]:
    for annotation in annotations:
        if annotation.get("type") == "url_citation":
            yield Citation(annotation["url"], annotation.get("title") or "")


def _parse_ending(response: Mapping[str, Any]) -> Iterator[Any]:
    if response.get("model"):
        yield Answered(response["model"], response.get("id") or "")
    yield from parse_usage(response.get("usage"), tier=response.get("service_tier"))
    yield from _parse_searches(response)
    # An incomplete response may have no reason; then use its status.
    reason = (response.get("incomplete_details") or {}).get("reason") or response.get("status") or "completed"
    yield Finish(_FINISH_REASONS.get(reason, reason), last=True)


def _parse_searches(response: Mapping[str, Any]) -> Iterator[Usage]:
    """Yield the number of searches, each of which is charged for; reading a page that was found is free."""
    calls = [item for item in response.get("output") or () if item.get("type") == "web_search_call"]
    searches = [item for item in calls if (item.get("action") or {}).get("type", "search") == "search"]
    if calls:
        yield Usage(searches=len(searches))
