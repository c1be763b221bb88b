"""Record of a chat completions stream -> chunks, in all the variants that services send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.chunks import Citation, Reasoning, ToolCallPart
from aichatkit.providers.request_bodies import parse_arguments

if TYPE_CHECKING:
    from aichatkit.providers import openai_images
else:
    openai_images = lazy_module("aichatkit.providers.openai_images")

__all__ = ["find_tier", "find_usage", "parse_citations", "parse_message"]


def parse_message(message: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the chunks of a message or delta: reasoning, text, images, citations, tool calls."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str):
        yield Reasoning(reasoning)
    yield from _parse_content(message.get("content"))
    if message.get("refusal"):
        yield str(message["refusal"])
    for image in message.get("images") or ():
        yield openai_images.picture_from_uri(image["image_url"]["url"])
    for annotation in message.get("annotations") or ():
        if annotation.get("type") == "url_citation":
            source = annotation.get("url_citation") or annotation
            yield Citation(source["url"], source.get("title") or "")
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        arguments = parse_arguments(function.get("arguments") or "")
        yield ToolCallPart(call.get("index"), call.get("id") or "", function.get("name") or "", arguments)


def parse_citations(record: Mapping[str, Any]) -> Iterator[Citation]:
    """Yield the citations outside the message, from a list with titles if there is one."""
    for source in record.get("search_results") or record.get("citations") or ():
        yield Citation(source) if isinstance(source, str) else Citation(source["url"], source.get("title") or "")


def find_usage(record: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> Any:
    """Return the usage: services send it next to the choices, inside one, or under a custom key."""
    parents = [record, _groq_part(record), *choices]
    return next((parent["usage"] for parent in parents if parent.get("usage")), None)


def find_tier(record: Mapping[str, Any]) -> Any:
    """Return the service tier that served the request, as the service names it."""
    return record.get("service_tier") or _groq_part(record).get("service_tier")


def _groq_part(record: Mapping[str, Any]) -> Mapping[str, Any]:
    part = record.get("x_groq")
    return part if isinstance(part, Mapping) else {}


def _parse_content(content: Any) -> Iterator[Any]:
    if isinstance(content, str):
        yield content
        return
    for part in content or ():
        if part.get("type") == "thinking":
            yield Reasoning("".join(item.get("text", "") for item in part.get("thinking") or ()))
        else:
            yield str(part.get("text") or "")
