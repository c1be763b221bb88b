"""What a provider sends for a prompt and parses from an answer, without a network."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from aichatkit.chunks import Reasoning, Refusal, ToolCall, ToolCallPart, Usage
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage, parse_messages
from aichatkit.providers.base import Options, Tool
from aichatkit.registry import registry

PNG = b"\x89PNG\r\n\x1a\n"
PICTURE = File("image", "image/png", "dot.png", PNG)
PICTURE_URL = File("image", "image/png", url="https://example.org/dot.png")
PAPER = File("pdf", "application/pdf", "paper.pdf", b"%PDF")
NOTE = File("text", "text/plain", "note.txt", b"Remember.")
SOUND = File("audio", "audio/mpeg", "hi.mp3", b"ID3")
FILM = File("video", "video/mp4", "film.mp4", b"....")
WEATHER = Tool("weather", "Tell the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
STRICT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
CALL = ToolCall("call_1", "weather", {"city": "Oslo"}, "gemini:c2ln")
ROUND = [
    Message("user", "Rain?"),
    ToolCallsMessage("assistant", "", (CALL, ToolCall("call_2", "weather", {"city": "Rome"})), "Two cities."),
    ToolResultMessage("tool", "rain", CALL),
    ToolResultMessage("tool", "sun", ToolCall("call_2", "weather")),
]


def request(name: str, prompt: Any = "Hi", *, model: str = "", base_url: str | None = None, **options: Any):
    """Return the prepared request of a provider for a prompt."""
    provider = registry[name](base_url)
    messages = parse_messages(prompt) if isinstance(prompt, str) else prompt
    given = Options(**{"tokens": provider.find_settings(), **options})
    return provider.build_request(messages, model or provider.default_model, options=given).prepare()


def body(name: str, prompt: Any = "Hi", **options: Any) -> Any:
    """Return the request body as the service would parse it."""
    return json.loads(request(name, prompt, **options).body)


def with_file(file: File, text: str = "What is this?") -> list[Message]:
    return [Message("user", [{"type": "text", "text": text}, {"type": "file", "file": file}])]


def chunks(name: str, answer: bytes) -> list[Any]:
    """Return all chunks of an answer, in order."""
    provider = registry[name]()
    return [chunk for event in provider.iter_events([answer]) for chunk in flat(provider.parse_event(event))]


def text(found: list[Any]) -> str:
    return "".join(
        chunk if isinstance(chunk, str) else chunk.text for chunk in found if isinstance(chunk, (str, Refusal))
    )


def thoughts(found: list[Any]) -> str:
    return "".join(chunk.text for chunk in found if isinstance(chunk, Reasoning))


def calls(found: list[Any]) -> list[ToolCallPart]:
    return [chunk for chunk in found if isinstance(chunk, ToolCallPart)]


def usage(found: list[Any]) -> dict[str, int]:
    """Return the last reported value of each token count."""
    told: dict[str, int] = {}
    for chunk in (chunk for chunk in found if isinstance(chunk, Usage)):
        given = {field.name: getattr(chunk, field.name) for field in fields(chunk)}
        told.update({name: value for name, value in given.items() if value is not None})
    return told


def of_kind(found: list[Any], kind: type) -> list[Any]:
    return [chunk for chunk in found if isinstance(chunk, kind)]


def event(record: Any, name: str = "") -> bytes:
    title = f"event: {name}\n" if name else ""
    return f"{title}data: {json.dumps(record, ensure_ascii=False)}\n\n".encode()


def flat(chunk: Any) -> list[Any]:
    if chunk is None:
        return []
    return [part for inner in chunk for part in flat(inner)] if type(chunk) is list else [chunk]
