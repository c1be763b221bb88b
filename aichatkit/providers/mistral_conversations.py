"""Mistral's Conversations API, for the tools that the service runs; nothing is stored.

Entries in, named events out. Sources are chunks between the chunks of text: that is where they belong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import requests

from aichatkit import _json
from aichatkit.chunks import Answered, Cited, Finish, SearchPart, ToolCallPart, Usage, dict_or_empty, dicts_in
from aichatkit.classification import classify
from aichatkit.events import Event, sniffing
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import NO_OPTIONS, Options, Provider
from aichatkit.providers.odd_events import check_error, parse_unreadable
from aichatkit.providers.openai_usage import parse_usage
from aichatkit.providers.request_bodies import (
    add_options,
    build_tool,
    call_id,
    file_uri,
    iter_parts,
    set_path,
    split_system,
    stream_headers,
    unsupported_file_error,
)
from aichatkit.providers.search_results import query_of

#: The ids of tool calls that the service takes.
_CALL_IDS = "[a-zA-Z0-9]{9}"


class MistralConversations(Provider):
    """Mistral's models with web search and other tools of the service."""

    name = "mistral"
    url = "https://api.mistral.ai/v1"
    path = "/conversations"
    models_path = "/models"
    api_key_env: ClassVar[str | Sequence[str]] = "MISTRAL_API_KEY"
    requires_end = True
    takes_files = frozenset({"image", "text"})
    takes_result_files = None
    takes_tools = True
    takes_schema = True
    takes_service_tools = True
    tool_choice_style = "mistral"
    search_style = "mistral"
    iter_events = staticmethod(sniffing.iter_sse_or_json)
    params: ClassVar[Mapping[str, str]] = {
        "frequency_penalty": "completion_args.frequency_penalty",
        "max_tokens": "completion_args.max_tokens",
        "presence_penalty": "completion_args.presence_penalty",
        "response_format": "completion_args.response_format",
        "seed": "completion_args.random_seed",
        "stop": "completion_args.stop",
        "temperature": "completion_args.temperature",
        "top_p": "completion_args.top_p",
    }

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        system, others = split_system(messages)
        inputs = [entry for message in others for entry in self._build_entries(message)]
        payload: dict[str, Any] = {"model": model, "inputs": inputs, "stream": True, "store": False}
        if system:
            payload["instructions"] = system
        if options.tools:
            payload["tools"] = [build_tool(tool) for tool in options.tools]
        if options.schema is not None:
            schema = {"name": "answer", "schema": options.schema}
            set_path(payload, "completion_args.response_format", {"type": "json_schema", "json_schema": schema})
        payload = add_options(payload, self.params, options, provider=self, model=model)
        return requests.Request("POST", self.api_endpoint, json=payload, headers=stream_headers(self, options))

    def parse_event(self, event: Event) -> Any:
        try:
            record = event.json()
        except ValueError:
            return parse_unreadable(self, event)
        check_error(self, event, record)
        event_type = record.get("type")
        if event_type == "conversation.response.error":
            error = {"error": {"message": record.get("message"), "code": record.get("code")}}
            raise classify.event_error(error, provider=self.name, rules=self.rules)
        if record.get("object") == "conversation.response":
            outputs = dicts_in(record.get("outputs"))
            return [*(chunk for entry in outputs for chunk in _parse_entry(entry)), *_parse_done(record)]
        return [*_parse_entry(record), *(_parse_done(record) if event_type == "conversation.response.done" else ())]

    def _build_entries(self, message: Message) -> Iterator[dict[str, Any]]:
        if isinstance(message, ToolResultMessage):
            call = call_id(message.call, _CALL_IDS)
            yield {"type": "function.result", "tool_call_id": call, "result": message.text}
            return
        parts = iter_parts(message.content, provider=self.name)
        content = [self._build_part(part) for part in parts]
        if content:
            entry_type = "message.output" if message.role == "assistant" else "message.input"
            is_text = isinstance(message.content, str)
            yield {"type": entry_type, "role": message.role, "content": message.content if is_text else content}
        for tool_call in message.calls if isinstance(message, ToolCallsMessage) else ():
            arguments = _json.dumps(tool_call.arguments)
            call = call_id(tool_call, _CALL_IDS)
            yield {"type": "function.call", "tool_call_id": call, "name": tool_call.name, "arguments": arguments}

    def _build_part(self, file: str | File) -> dict[str, Any]:
        if isinstance(file, str):
            return {"type": "text", "text": file}
        if file.kind != "image":
            raise unsupported_file_error(file, provider=self.name)
        return {"type": "image_url", "image_url": file_uri(file, provider=self.name)}


def _parse_entry(record: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what an event holds, or an entry of an answer that was not streamed."""
    entry_type = record.get("type")
    if record.get("model") and isinstance(record["model"], str):
        yield Answered(record["model"], "")
    if entry_type in ("message.output.delta", "message.output"):
        yield from _parse_content(record.get("content"))
    elif entry_type in ("function.call.delta", "function.call"):
        index, id = record.get("output_index"), record.get("tool_call_id") or ""
        yield ToolCallPart(index, id, record.get("name") or "", record.get("arguments") or "")
    elif entry_type in ("tool.execution.started", "tool.execution") and _is_search(record):
        id = record.get("id") or f"#{record.get('output_index')}"
        yield SearchPart(str(id), query_of(record.get("arguments")))


def _is_search(record: Mapping[str, Any]) -> bool:
    return str(record.get("name")).startswith("web_search")


def _parse_content(content: Any) -> Iterator[Any]:
    if isinstance(content, str):
        yield content
        return
    for chunk in [content] if isinstance(content, dict) else dicts_in(content):
        if chunk.get("type") == "tool_reference":
            yield Cited(chunk.get("url") or "", chunk.get("title") or "")
        elif isinstance(chunk.get("text"), str):
            yield chunk["text"]


def _parse_done(record: Mapping[str, Any]) -> Iterator[Any]:
    usage = dict_or_empty(record.get("usage"))
    yield from parse_usage(usage)
    count = sum(
        number for name, number in dict_or_empty(usage.get("connectors")).items() if name.startswith("web_search")
    )
    if count:
        yield Usage(searches=count)
    yield Answered("", str(record.get("conversation_id") or ""))
    yield Finish("stop", last=True)
