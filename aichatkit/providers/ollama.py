"""Ollama on this machine or elsewhere: one JSON object a line, the last of them says done.

The first call of a model loads it, which may take minutes. Its OpenAI-compatible side is the provider `ollama-v1`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import requests

from aichatkit import events
from aichatkit.chunks import Answered, Finish, Reasoning, ToolCallPart, Usage
from aichatkit.classification import classify
from aichatkit.messages import Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import Options, Provider
from aichatkit.providers.request_bodies import add_options, encoded, iter_parts, parse_arguments, refused_file

_NO_OPTIONS = Options()
_PORT = 11434
#: The fields of a record that is a piece of text and nothing else.
_PIECE = {"model", "created_at", "message", "done"}


class Ollama(Provider):
    """Chat with the models of an Ollama server; OLLAMA_HOST tells where it is, its cloud wants OLLAMA_API_KEY."""

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
    read_timeout = 300.0
    not_running = "Start it with: ollama serve"
    requires_end = True
    takes_files = frozenset({"image", "text"})
    takes_tools = True
    takes_schema = True
    iter_events = staticmethod(events.iter_json_lines)
    params: ClassVar[Mapping[str, str]] = {
        "frequency_penalty": "options.frequency_penalty",
        "max_tokens": "options.num_predict",
        "min_p": "options.min_p",
        "presence_penalty": "options.presence_penalty",
        "reasoning_effort": "think",
        "repetition_penalty": "options.repeat_penalty",
        "seed": "options.seed",
        "stop": "options.stop",
        "temperature": "options.temperature",
        "top_k": "options.top_k",
        "top_p": "options.top_p",
    }

    @classmethod
    def find_base_url(cls) -> str | None:
        host = os.environ.get(cls.base_url_env, "").strip().rstrip("/")
        return _address(host) if host else None

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = _NO_OPTIONS
    ) -> requests.Request:
        turns = [self._turn(message) for message in messages]
        payload: dict[str, Any] = {"model": model, "messages": turns, "stream": True}
        if options.tools:
            functions = [
                {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
                for tool in options.tools
            ]
            payload["tools"] = [{"type": "function", "function": function} for function in functions]
        if options.schema is not None:
            payload["format"] = options.schema
        payload = add_options(payload, self.params, options)
        return requests.Request("POST", self.api_endpoint, json=payload, headers=dict(self.headers))

    def parse_event(self, event: events.Event) -> Any:
        record = event.json()
        # The usual piece: one text and nothing else.
        try:
            message = record["message"]
            text = message["content"]
            if (
                text.__class__ is str
                and len(message) == 2
                and "role" in message
                and record.keys() <= _PIECE
                and record["done"] is False
            ):
                return text
        except (LookupError, TypeError, AttributeError):
            pass
        if classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        return [*_parse_message(record.get("message") or {}), *_parse_ending(record)]

    def _turn(self, message: Message) -> dict[str, Any]:
        if isinstance(message, ToolResultMessage):
            return {"role": "tool", "tool_name": message.call.name, "content": message.text}
        role = "system" if message.role == "developer" else message.role
        texts, images = [], []
        for part in iter_parts(message.content, provider=self.name):
            if isinstance(part, str):
                texts.append(part)
            elif part.kind == "image":
                images.append(encoded(part, provider=self.name))
            else:
                raise refused_file(part, provider=self.name)
        turn: dict[str, Any] = {"role": role, "content": "\n".join(texts)}
        if images:
            turn["images"] = images
        if isinstance(message, ToolCallsMessage):
            calls = [{"name": call.name, "arguments": call.arguments} for call in message.calls]
            turn["tool_calls"] = [{"function": call} for call in calls]
        return turn


def _address(host: str) -> str:
    """Return an address for what OLLAMA_HOST may hold: a host, a port, both, or a whole address.

    >>> _address("0.0.0.0"), _address(":8080"), _address("https://gpu.example")
    ('http://127.0.0.1:11434', 'http://127.0.0.1:8080', 'https://gpu.example')
    """
    if "://" in host:
        return host
    if host.startswith(":"):
        host = f"127.0.0.1{host}"
    # A server may listen everywhere; a client has to name one place.
    host = re.sub(r"^0\.0\.0\.0(?=$|:)", "127.0.0.1", host)
    return f"http://{host}" if re.search(r":[0-9]+$", host) else f"http://{host}:{_PORT}"


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
    # Missing counts: the prompt came from the cache, or a newer backend told no more than the reason.
    if record.get("prompt_eval_count") is not None or record.get("eval_count") is not None:
        yield Usage(record.get("prompt_eval_count"), record.get("eval_count"))
    if record.get("done"):
        if record.get("model"):
            yield Answered(record["model"])
        yield Finish(record.get("done_reason") or "stop", last=True)
    elif record.get("done_reason"):
        yield Finish(record["done_reason"])
