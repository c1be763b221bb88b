"""Ollama, local or remote: one JSON object per line, the last with `done` set.

The first call to a model loads it, which may take minutes. Ollama's OpenAI-compatible API is the provider `ollama-v1`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import requests

from aichatkit import events
from aichatkit._lazy import lazy_module
from aichatkit.chunks import Answered, Finish, Reasoning, ToolCallPart, Usage
from aichatkit.classification import classify
from aichatkit.events import documents
from aichatkit.messages import Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import NO_OPTIONS, Options, Provider
from aichatkit.providers.request_bodies import (
    add_options,
    build_tool,
    encode_base64,
    exact_record,
    iter_parts,
    parse_arguments,
    unsupported_file_error,
)

if TYPE_CHECKING:
    from aichatkit.providers import logprobs
else:
    # Few calls ask for them.
    logprobs = lazy_module("aichatkit.providers.logprobs")

_PORT = 11434
#: The fields of a record that holds text and nothing else.
_TEXT_RECORD = {"model", "created_at", "message", "done"}


class Ollama(Provider):
    """Chat with the models of an Ollama server at OLLAMA_HOST; Ollama's cloud requires OLLAMA_API_KEY."""

    name = "ollama"
    url = "http://localhost:11434"
    path = "/api/chat"
    models_path = "/api/tags"
    default_model = "llama3.2"
    models = ("llama3.2", "llama3.1", "qwen3", "gemma3", "mistral", "phi4", "deepseek-r1", "gpt-oss")
    api_key_env = "OLLAMA_API_KEY"
    base_url_env = "OLLAMA_HOST"
    needs_key = False
    direct = True
    free = True
    read_timeout = 300.0
    not_running = "Start it with: ollama serve"
    requires_end = True
    takes_files = frozenset({"image", "text"})
    takes_tools = True
    takes_schema = True
    iter_events = staticmethod(documents.iter_json_lines_or_document)
    params: ClassVar[Mapping[str, str]] = {
        "frequency_penalty": "options.frequency_penalty",
        "logprobs": "logprobs",
        "max_tokens": "options.num_predict",
        "min_p": "options.min_p",
        "presence_penalty": "options.presence_penalty",
        "reasoning_effort": "think",
        "repetition_penalty": "options.repeat_penalty",
        "seed": "options.seed",
        "stop": "options.stop",
        "temperature": "options.temperature",
        "top_k": "options.top_k",
        "top_logprobs": "top_logprobs",
        "top_p": "options.top_p",
    }
    effort_style = "ollama"
    search_style = "ollama"

    @classmethod
    def find_base_url(cls) -> str | None:
        # `set` of Windows and some service files keep the quotes.
        host = os.environ.get(cls.base_url_env, "").strip().strip("\"'").strip()
        return _base_url(host) if host else None

    def is_free(self, model: str) -> bool:
        # Models of Ollama's cloud are charged for, although the local server passes them on.
        return super().is_free(model) and not re.search(r"[:-]cloud$", model)

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        payload: dict[str, Any] = {
            "model": model,
            "messages": [self._build_message(message) for message in messages],
            "stream": True,
        }
        if options.tools:
            payload["tools"] = [build_tool(tool) for tool in options.tools]
        if options.schema is not None:
            payload["format"] = options.schema
        payload = add_options(payload, self.params, options, provider=self, model=model)
        return requests.Request("POST", self.api_endpoint, json=payload, headers=dict(self.headers))

    def parse_event(self, event: events.Event) -> Any:
        record = event.json()
        # Fast path: text and nothing else.
        try:
            message = record["message"]
            text = message["content"]
            if (
                text.__class__ is str
                and len(message) == 2
                and "role" in message
                and record.keys() <= _TEXT_RECORD
                and record["done"] is False
            ):
                return text
        except (LookupError, TypeError, AttributeError):
            pass
        if classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        record = exact_record(event)
        tokens = logprobs.parse_entries(record["logprobs"]) if record.get("logprobs") else ()
        return [*tokens, *_parse_message(record.get("message") or {}), *_parse_ending(record)]

    def _build_message(self, message: Message) -> dict[str, Any]:
        if isinstance(message, ToolResultMessage):
            return {"role": "tool", "tool_name": message.call.name, "content": message.text}
        role = "system" if message.role == "developer" else message.role
        texts, images = [], []
        for part in iter_parts(message.content, provider=self.name):
            if isinstance(part, str):
                texts.append(part)
            elif part.kind == "image":
                images.append(encode_base64(part, provider=self.name))
            else:
                raise unsupported_file_error(part, provider=self.name)
        payload: dict[str, Any] = {"role": role, "content": "\n".join(texts)}
        if images:
            payload["images"] = images
        if isinstance(message, ToolCallsMessage):
            calls = [{"name": call.name, "arguments": call.arguments} for call in message.calls]
            payload["tool_calls"] = [{"function": call} for call in calls]
        return payload


def _base_url(value: str) -> str:
    """Return the base URL for a value of OLLAMA_HOST, read as Ollama's own client does: all its parts are optional.

    >>> _base_url("0.0.0.0"), _base_url(":8080/ollama"), _base_url("https://gpu.example"), _base_url("::1")
    ('http://127.0.0.1:11434', 'http://127.0.0.1:8080/ollama', 'https://gpu.example', 'http://[::1]:11434')
    """
    scheme, separator, rest = value.rpartition("://")
    address, _slash, path = rest.partition("/")
    if address.count(":") > 1 and not address.startswith("["):
        address = f"[{address}]"
    host, colon, port = (address, "", "") if address.endswith("]") else address.rpartition(":")
    if not colon:
        host, port = address, ""
    if not port and not separator:
        port = str(_PORT)
    # A server may listen on all interfaces; a client has to name one host.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    path = path.rstrip("/")
    return f"{scheme or 'http'}://{host}{f':{port}' if port else ''}{f'/{path}' if path else ''}"


def _parse_message(message: Mapping[str, Any]) -> Iterator[Any]:
    if message.get("thinking"):
        yield Reasoning(message["thinking"])
    if message.get("content"):
        yield message["content"]
    for call in message.get("tool_calls") or ():
        function = call["function"]
        yield ToolCallPart(
            None, call.get("id") or "", function["name"], parse_arguments(function.get("arguments") or {})
        )


def _parse_ending(record: Mapping[str, Any]) -> Iterator[Any]:
    # Counts are missing if the prompt was cached, or if a newer backend sends only the reason.
    if record.get("prompt_eval_count") is not None or record.get("eval_count") is not None:
        yield Usage(record.get("prompt_eval_count"), record.get("eval_count"))
    if record.get("done"):
        if record.get("model"):
            yield Answered(record["model"])
        yield Finish(record.get("done_reason") or "stop", last=True)
    elif record.get("done_reason"):
        yield Finish(record["done_reason"])
