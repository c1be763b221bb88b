"""A record of OpenAI's chat completions -> chunks, whatever form the many services give to its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.chunks import Citation, Reasoning, ToolCallPart, Usage
from aichatkit.providers.request_bodies import parse_arguments

if TYPE_CHECKING:
    from aichatkit.providers import openai_images
else:
    openai_images = lazy_module("aichatkit.providers.openai_images")

__all__ = ["find_usage", "parse_message", "parse_sources", "parse_usage"]


def parse_message(message: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what a message, or a piece of one, holds: thoughts, text, pictures, sources, calls of tools."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str):
        yield Reasoning(reasoning)
    yield from _parse_content(message.get("content"))
    if message.get("refusal"):
        yield str(message["refusal"])
    for image in message.get("images") or ():
        yield openai_images.picture(image["image_url"]["url"])
    for note in message.get("annotations") or ():
        if note.get("type") == "url_citation":
            source = note.get("url_citation") or note
            yield Citation(source["url"], source.get("title") or "")
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        arguments = parse_arguments(function.get("arguments") or "")
        yield ToolCallPart(call.get("index"), call.get("id") or "", function.get("name") or "", arguments)


def parse_sources(record: Mapping[str, Any]) -> Iterator[Citation]:
    """Yield the sources that stand beside the message; the list with titles is preferred."""
    for source in record.get("search_results") or record.get("citations") or ():
        yield Citation(source) if isinstance(source, str) else Citation(source["url"], source.get("title") or "")


def find_usage(record: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> Any:
    """Return the usage from where a service puts it: beside the choices, inside one, or in a corner of its own."""
    inside = [record, record.get("x_groq") or {}, *choices]
    return next((place["usage"] for place in inside if place.get("usage")), None)


def parse_usage(usage: Mapping[str, Any] | None) -> Iterator[Usage]:
    """Yield the tokens that were told."""
    if usage:
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
        yield Usage(
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
            total_tokens=usage.get("total_tokens"),
            # DeepSeek and Moonshot have words of their own.
            cached_tokens=usage.get("prompt_cache_hit_tokens", usage.get("cached_tokens"))
            if cached is None
            else cached,
            reasoning_tokens=usage.get("reasoning_tokens") if thought is None else thought,
        )


def _parse_content(content: Any) -> Iterator[Any]:
    if isinstance(content, str):
        yield content
        return
    for part in content or ():
        if part.get("type") == "thinking":
            yield Reasoning("".join(piece.get("text", "") for piece in part.get("thinking") or ()))
        else:
            yield str(part.get("text") or "")
